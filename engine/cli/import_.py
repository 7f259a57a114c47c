"""``winback import``: what a shop brings along. Each kind is a file beside this one."""

from __future__ import annotations

import click

from engine.cli._kinds import Kinds


@click.group(cls=Kinds, group="import")
def command() -> None:
    """Bring in what the shop has elsewhere. To import a file twice does no harm.

    Exit codes: 0 all of it is in, 1 lines were refused (they are named), 2 wrong usage.

    \b
    Example:
      winback import coupons winter codes.csv
    """
