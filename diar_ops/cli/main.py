"""Where the command begins: before Typer, and before torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diar_ops.cli.ending import STOPPED, say, set_up_process


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``diar-ops`` and return its exit code.

    Args:
        argv: Words after the command's name; those of the process if None.
    """
    set_up_process()
    try:
        try:
            from diar_ops.cli.commands import diar_ops
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "diar_ops":
                raise
            say(f"error: the command needs {error.name}: pip install 'diar-ops[app]'", error=True)
            return 1
        diar_ops(list(sys.argv[1:] if argv is None else argv), prog_name="diar-ops")
    except SystemExit as end:  # how Typer ends
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:  # while packages are loaded
        say("stopped", error=True)
        return STOPPED
    return 0
