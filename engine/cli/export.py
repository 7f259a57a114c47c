"""``winback export``: what is kept here, for elsewhere. Each kind is a file beside this one."""

from __future__ import annotations

import click

from engine.cli._kinds import Kinds


@click.group(cls=Kinds, group="export")
def command() -> None:
    """Write out what Winback keeps.

    Exit codes: 0 written, 1 nobody goes by that name, 2 wrong usage.

    \b
    Example:
      winback export consent --format jsonl > consent.jsonl
    """
