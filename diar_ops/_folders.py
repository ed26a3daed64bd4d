"""Write folders whole or not at all, and clear away what killed processes left behind."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO

from diar_ops._errors import OutputError
from diar_ops._files import describe_os_error

LOCK = ".lock"
# .diar-tmp-<machine>-<process id>-<random>
_NAME = re.compile(r"\.diar-tmp-([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{8}")


@contextmanager
def atomic_folder(path: str | PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a new hidden folder beside ``path`` that becomes ``path`` when the block succeeds.

    Missing parent folders are created. On success everything in it is flushed to the disk and the
    folder is renamed in one step: ``path`` is either absent or complete, even after a power cut.
    On any failure, Ctrl-C included, the temporary folder is removed. What a killed process leaves
    behind, :func:`remove_stale_folders` finds.

    Args:
        path: The folder to make; must not exist.
        overwrite: An existing folder is removed when the block has succeeded.

    Yields:
        The temporary folder, existing and empty.

    Raises:
        OutputError: ``path`` exists, or the operating system refused (disk full, no permission,
            ...), in the block or afterwards.
    """
    path = Path(path)
    name = f".diar-tmp-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.parent / name
    try:
        if not overwrite:
            _refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.mkdir()
            yield temporary
            _flush(temporary)
            if overwrite and path.is_dir():
                shutil.rmtree(path)
            _refuse_existing(path)
            os.replace(temporary, path)  # noqa: PTH105 - the one call whose atomicity is the point
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _flush_entries(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {describe_os_error(error)}") from error


def remove_stale_folders(parent: str | PathLike[str]) -> int:
    """Remove temporary folders of :func:`atomic_folder` whose process on this machine is gone.

    Args:
        parent: Where to look; not in sub-folders. It need not exist.

    Returns:
        How many were removed.

    Raises:
        OutputError: ``parent`` cannot be read, or a folder not be removed.
    """
    removed = 0
    try:
        for entry in sorted(Path(parent).iterdir()):
            match = _NAME.fullmatch(entry.name)
            if match and match[1] == _machine() and not _is_alive(int(match[2])):
                shutil.rmtree(entry)
                removed += 1
    except FileNotFoundError:
        pass  # nothing is there yet, or another process cleared it away first
    except OSError as error:
        raise OutputError(f"cannot clear away {error.filename or parent}: {describe_os_error(error)}") from (error)
    return removed


@contextmanager
def locked_folder(path: str | PathLike[str]) -> Iterator[None]:
    """Make a folder and hold it for this run alone; the lock ends with the process, however that ends.

    Args:
        path: The folder.

    Raises:
        OutputError: Another run holds it, or it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        file: IO[str] = (path / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {describe_os_error(error)}") from error
    with file:
        try:
            import fcntl
        except ImportError:  # not on this system: two runs would only do the work twice
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"another run works in {path}; wait for it to end") from error
        except OSError:
            pass  # a file system without locks
        yield


def _machine() -> str:
    """Return a short mark of this machine: on a shared disk, others' process ids mean nothing."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # there, signal 0 is Ctrl-C
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _flush(folder: Path) -> None:
    """Flush all files of a folder, then the folders' own entries, from the inside out."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            _flush(entry)
        elif entry.is_file():
            with entry.open("rb+") as file:
                os.fsync(file.fileno())
    _flush_entries(folder)


def _flush_entries(folder: Path) -> None:
    if os.name == "nt":
        return  # no folder can be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems do not flush folders
            raise
    finally:
        os.close(descriptor)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputError(f"{path} already exists; choose another folder or remove it")
