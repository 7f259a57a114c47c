"""``winback export``: what is kept here, for elsewhere. Each kind is a file beside this one."""

from __future__ import annotations

import importlib
import pkgutil

import click

import engine.cli

_BEFORE = "_export_"
_KINDS = {
    info.name.removeprefix(_BEFORE): info.name
    for info in pkgutil.iter_modules(engine.cli.__path__)
    if info.name.startswith(_BEFORE)
}


class Kinds(click.Group):
    """One command per module ``_export_KIND.py``, loaded when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(_KINDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _KINDS:
            return None
        command = importlib.import_module(f"engine.cli.{_KINDS[name]}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Kinds)
def command() -> None:
    """Write out what Winback keeps.

    Exit codes: 0 written, 1 nobody goes by that name, 2 wrong usage.

    \b
    Example:
      winback export consent --format jsonl > consent.jsonl
    """
