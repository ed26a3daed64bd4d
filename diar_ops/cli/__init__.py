"""The command ``diar-ops``: thin, on Typer, behind the extra ``app``.

:mod:`diar_ops.cli.ending` and :mod:`diar_ops.cli.terminal` need no extra: scripts end as the
command does.
"""
