"""``winback coupons``: what is left in the pools, and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine import bootstrap
from engine.cli._changes import shop
from engine.cli.main import FINDINGS, print_json
from engine.core.coupons import pools_of
from engine.runtime.pools import Outlook, outlooks
from engine.settings import Settings


@click.command()
@click.argument("pool", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(project_dir: Path | None, pool: str | None, as_json: bool) -> int:
    """Tell of each pool of coupon codes (or of POOL) how many codes are left, and until when.

    The rate is that of the last seven days. Not to be had are the codes that a run asked for
    when the pool was empty; the step says what happens then.

    Exit codes: 0 fine, 1 a journey that is live takes from a pool that is empty, 2 wrong usage.

    \b
    Example:
      winback coupons
      winback coupons winter --json
      winback import coupons winter codes.csv
    """
    settings = Settings.from_environment(project_dir=project_dir)
    with shop(settings) as (database, clock):
        named = pools_of(bootstrap.journeys(settings, database).book().current.values())
        with database.connection() as connection:
            found = {each.stock.pool: each for each in outlooks(connection, clock.now())}
    known = sorted(found.keys() | named.keys())
    if pool is not None:
        if pool not in known:
            told = f"There are {', '.join(known)}." if known else "There are none yet."
            raise click.UsageError(f"There is no pool '{pool}'. {told}")
        known = [pool]
    rows = [_row(each, found.get(each), named.get(each, [])) for each in known]
    empty = [row["pool"] for row in rows if row["journeys"] and not row["left"]]
    if as_json:
        print_json({"pools": rows, "empty": empty})
    else:
        _print(rows, empty)
    return FINDINGS if empty else 0


def _row(pool: str, found: Outlook | None, journeys: list[str]) -> dict[str, Any]:
    stock = None if found is None else found.stock
    return {
        "pool": pool,
        "left": stock.left if stock else 0,
        "claimed": stock.claimed if stock else 0,
        "a_day": found.a_day if found else 0.0,
        "runs_dry": found.dry if found else None,
        "missed": stock.missed if stock else 0,
        "last_missed": stock.missed_at if stock else None,
        "journeys": journeys,
    }


def _print(rows: list[dict[str, Any]], empty: list[str]) -> None:
    console = Console(highlight=False)
    if not rows:
        console.print("There are no pools yet: winback import coupons POOL FILE")
        return
    table = Table(title="Pools of coupon codes", title_justify="left")
    table.add_column("pool")
    for word in ("left", "claimed", "a day", "runs dry", "not to be had"):
        table.add_column(word, justify="right")
    table.add_column("journeys", overflow="fold")
    for row in rows:
        dry = row["runs_dry"]
        table.add_row(
            row["pool"],
            Text(f"{row['left']:,}", "" if row["left"] else "bold red"),
            f"{row['claimed']:,}",
            f"{row['a_day']:,.1f}" if row["a_day"] else "",
            f"{dry:%Y-%m-%d}" if dry and row["left"] else "",
            f"{row['missed']:,}" if row["missed"] else "",
            ", ".join(row["journeys"]),
        )
    console.print(table)
    for pool in empty:
        line = f"pool {pool} is empty: winback import coupons {pool} FILE"
        console.print(Text(line, "bold red"))
