"""``winback import``: what a shop brings along. Each kind is a file beside this one."""

from __future__ import annotations

import importlib
import pkgutil

import click

import engine.cli

_BEFORE = "_import_"
_KINDS = {
    info.name.removeprefix(_BEFORE): info.name
    for info in pkgutil.iter_modules(engine.cli.__path__)
    if info.name.startswith(_BEFORE)
}


class Kinds(click.Group):
    """One command per module ``_import_KIND.py``, loaded when it is asked for."""

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
    """Bring in what the shop has elsewhere. To import a file twice does no harm.

    Exit codes: 0 all of it is in, 1 lines were refused (they are named), 2 wrong usage.

    \b
    Example:
      winback import coupons winter codes.csv
    """
