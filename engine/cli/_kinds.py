"""Groups of commands of which each is a file: ``_import_coupons.py`` is ``import coupons``."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import click

import engine.cli


class Kinds(click.Group):
    """One command per module ``_GROUP_KIND.py`` beside this one, loaded when it is asked for."""

    def __init__(self, *words: Any, group: str, **more: Any) -> None:
        super().__init__(*words, **more)
        before = f"_{group}_"
        self._modules = {
            info.name.removeprefix(before): info.name
            for info in pkgutil.iter_modules(engine.cli.__path__)
            if info.name.startswith(before)
        }

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(self._modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self._modules:
            return None
        command = importlib.import_module(f"engine.cli.{self._modules[name]}").command
        assert isinstance(command, click.Command)
        return command
