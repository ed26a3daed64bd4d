"""A folder on this machine's disks, or behind a URL of fsspec such as ``s3://bucket/photos``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from diar_ops._errors import DiarError, OutputError
from diar_ops._files import describe_os_error, write_text_atomic


class FileState(NamedTuple):
    """What tells that a file is still the same without reading it: its bytes and its stamp."""

    size: int
    stamp: str


@dataclass(frozen=True)
class Storage:
    """A folder; names of files in it are relative paths with ``/``.

    Attributes:
        url: A path of this machine, or a URL.
    """

    url: str

    @cached_property
    def local(self) -> Path | None:
        """The folder on this machine's disks; None where it is elsewhere."""
        scheme, found, path = self.url.partition("://")
        return Path(self.url) if not found else Path(path) if scheme == "file" else None

    def list_files(self) -> dict[str, FileState]:
        """Return all files below that are not hidden, nor in hidden folders, by name.

        Raises:
            DiarError: The folder cannot be listed.
        """
        with self._sentences("cannot list"):
            if self.local is None:
                found = self._fs.find(self._path, detail=True)
                start = len(self._path.rstrip("/")) + 1
                states = {name[start:]: _remote_state(info) for name, info in found.items()}
            else:
                if not self.local.is_dir():
                    raise DiarError(f"{self.url} is not a folder; give one that holds photos, or folders of them")
                states = dict(_local_files(self.local))
        return {name: state for name, state in states.items() if not any(p.startswith(".") for p in name.split("/"))}

    @contextmanager
    def fetched(self, names: Iterable[str]) -> Iterator[Path]:
        """Yield a folder of this machine in which the files have their names; for a time, if elsewhere."""
        if self.local is not None:
            yield self.local
            return
        import tempfile

        with tempfile.TemporaryDirectory(prefix="diar-batch-") as folder:
            for name in names:
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._sentences(f"cannot read {name} in"):
                    self._fs.get_file(f"{self._path}/{name}", str(target))
            yield Path(folder)

    def read_texts(self, folder: str) -> dict[str, str]:
        """Return the texts of all files of a folder by name; none where there is no folder."""
        with self._sentences("cannot read"):
            if self.local is None:
                path = f"{self._path}/{folder}"
                names = self._fs.find(path) if self._fs.exists(path) else []
                texts = self._fs.cat(names) if names else {}
                return {name.rpartition("/")[2]: data.decode("utf-8", "replace") for name, data in texts.items()}
            files = [entry for entry in (self.local / folder).glob("*") if not entry.name.startswith(".")]
            return {file.name: file.read_text("utf-8", "replace") for file in files}

    def read_text(self, name: str) -> str | None:
        """Return the text of a file; None where there is none."""
        with self._sentences("cannot read"):
            try:
                if self.local is not None:
                    return (self.local / name).read_text("utf-8", "replace")
                return str(self._fs.cat_file(f"{self._path}/{name}").decode("utf-8", "replace"))
            except FileNotFoundError:
                return None

    def write_text(self, name: str, text: str) -> None:
        """Write a file, whole or not at all, over an earlier one."""
        if self.local is not None:
            write_text_atomic(self.local / name, text, overwrite=True)
            return
        with self._sentences("cannot write"):
            self._fs.pipe_file(f"{self._path}/{name}", text.encode("utf-8"))

    def put(self, source: Path, name: str) -> None:
        """Copy a file or a folder of this machine to storage elsewhere."""
        files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
        for file in files:
            path = "/".join((self._path, name, *file.relative_to(source).parts))
            with self._sentences("cannot write"):
                self._fs.put_file(str(file), path.rstrip("/"))

    def remove(self, name: str) -> None:
        """Remove a file or folder, if it is there."""
        import shutil

        with self._sentences("cannot write"):
            if self.local is None:
                path = f"{self._path}/{name}"
                if self._fs.exists(path):
                    self._fs.rm(path, recursive=True)
            elif (self.local / name).is_dir():
                shutil.rmtree(self.local / name)
            else:
                (self.local / name).unlink(missing_ok=True)

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            # Others write there, too: a listing holds for the moment.
            fs, path = url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise DiarError(f"{self.url} needs {error.name or 'fsspec'}: pip install 'diar-ops[cluster]'") from error
        except ValueError as error:
            raise DiarError(f"{self.url} is no path and no URL that fsspec knows: {error}") from error
        return fs, path

    @property
    def _fs(self) -> Any:
        return self._remote[0]

    @property
    def _path(self) -> str:
        return self._remote[1]

    @contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        """Turn what the system or a service refuses into one sentence."""
        try:
            yield
        except OSError as error:
            kind = OutputError if "write" in what else DiarError
            raise kind(f"{what} {self.url}: {describe_os_error(error)}") from error


def _local_files(folder: Path) -> Iterator[tuple[str, FileState]]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            try:
                state = path.stat()
            except OSError:  # a link into nowhere
                continue
            yield path.relative_to(folder).as_posix(), FileState(state.st_size, str(state.st_mtime_ns))


def _raise(error: OSError) -> None:
    raise error


def _remote_state(info: dict[str, Any]) -> FileState:
    stamp = next((info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if info.get(key)), "")
    return FileState(int(info.get("size") or 0), str(stamp))
