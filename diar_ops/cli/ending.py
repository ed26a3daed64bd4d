"""How programs begin and end: calm threads, sentences instead of tracebacks, exit codes."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from diar_ops._errors import DiarError
from diar_ops._options import flag_of, spell_options

#: After Ctrl-C, as shells have it.
STOPPED = 130
#: Python looks for garbage each time that so many more objects live: while modules are loaded, which leave none,
#: seldom, which takes a tenth to a quarter off it; then as always.
_LOADING, _WORKING = (50_000, 10, 10), gc.get_threshold()


def set_up_process() -> None:
    """Set what has to stand before torch is loaded, unless the user has; prepare the streams.

    Threads that wait for the next operation sleep instead of spinning: beside other programs,
    spinning ones keep each other from working, and the same job takes five times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.set_threshold(*_LOADING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the console cannot show


def say(text: str, *, error: bool = False) -> None:
    """Print to the standard output or error; where nobody reads or the disk is full, quietly not."""
    stream = sys.stderr if error else sys.stdout
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # What is left in the buffer goes nowhere, or Python complains when it ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def name_flags(sentence: str) -> str:
    """Return a sentence of the library with its `options` named as on a command line."""
    return spell_options(sentence, flag_of)


def exit_code(
    run: Callable[[], str], *, less_memory: str, stopped: str, failed: Callable[[str], str] | None = None
) -> int:
    """Run, print what it returns, and turn every failure into one sentence and an exit code.

    Args:
        run: The program.
        less_memory: What to do where memory is short.
        stopped: What became of the results after Ctrl-C.
        failed: Returns what the standard output says of an error, of its sentence; nothing if None.

    Returns:
        0 on success, 1 after an error, 130 after Ctrl-C. What becomes of the output changes
        nothing of it.
    """
    set_up_process()
    gc.set_threshold(*_WORKING)
    try:
        if text := run():
            say(text)
        return 0
    except (DiarError, MemoryError) as error:
        sentence = f"not enough memory; {less_memory}" if isinstance(error, MemoryError) else name_flags(str(error))
        if failed is not None:
            say(failed(sentence))
        say(f"error: {sentence}", error=True)
        return 1
    except KeyboardInterrupt:
        say(f"stopped; {stopped}", error=True)
        return STOPPED
