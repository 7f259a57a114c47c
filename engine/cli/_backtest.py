"""What ``winback simulate`` reads and how it shows what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from engine.intake.recordings import BadLine, Ordered
from engine.language import load_journey
from engine.model.journey import Journey
from engine.runtime.backtest import Account, Balance, Side, in_order
from engine.runtime.observer import Tally
from engine.runtime.plan import live_now
from engine.runtime.sources import Mapped, TableError, is_table, write_lines
from engine.store import journeys as journeys_store
from engine.store import recorded
from engine.store.database import Database

#: Places of a journey that are shown, at most; the rest are counted.
_PLACES = 40


def bar(console: Console, disable: bool) -> Progress:
    """A bar that tells the speed and the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=disable,
    )


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """``FIELD=WORD`` as given to ``option``; anything else is wrong usage."""
    found = {}
    for text in given:
        field, equals, word = text.partition("=")
        if not equals or not field.strip() or not word.strip():
            raise click.BadParameter(f"'{text}' is not FIELD=…", param_hint=option)
        found[field.strip()] = word.strip()
    return found


def open_files(
    files: Sequence[Path], mapped: Mapped, scratch: Path, received_at: datetime, console: Console
) -> Ordered:
    """The recordings, ready to be read in order. Says which columns of tables are not used."""
    bad: list[BadLine] = []
    ordered = Ordered(scratch, received_at, bad=bad)
    for number, file in enumerate(files):
        if is_table(file):
            if not file.exists():
                raise TableError(f"{file}: there is no such file")
            lines = scratch / f"table-{number}.jsonl"
            unused = write_lines(file, mapped, lines, bad)
            if unused:
                shown = ", ".join(unused[:8]) + (", …" if len(unused) > 8 else "")
                console.print(f"{file}: columns not used: {shown}", style="dim", markup=False)
            ordered.named[lines] = str(file)
            ordered.add(lines)
        else:
            ordered.add(file)
    return ordered


def live_journeys(database: Database, console: Console) -> dict[str, Journey]:
    """The journeys that are live: those applied; where the journeys follow the files, those that
    came into use last."""
    with database.connection() as connection:
        live = live_now(connection)
        kept = journeys_store.sources(connection, live.versions.items()) if live else []
    found = {}
    for name, version, source in kept if live else recorded.latest_journeys(database):
        journey, findings = load_journey(source, name)
        if journey is None:
            console.print(
                f"live journey {name} ({version}) cannot be read: {findings[0]}", style="red"
            )
        else:
            found[name] = journey
    return found


#: What is counted, in the words of the table -> how it is got.
_ROWS: tuple[tuple[str, Callable[[Tally, Account], int]], ...] = (
    ("enrolled", lambda t, a: t.enrolled),
    ("held out", lambda t, a: t.held_out),
    ("messages", lambda t, a: t.messages),
    ("stopped", lambda t, a: t.stopped),
    ("goals", lambda t, a: t.goals),
    ("after they had bought it", lambda t, a: a.too_late),
    ("withheld by the holdout", lambda t, a: a.held_back),
    ("webhooks", lambda t, a: a.webhooks),
    ("coupons sent", lambda t, a: a.offered),
    ("coupons used", lambda t, a: a.used),
    ("segments of text messages", lambda t, a: a.texts.segments),
    ("text messages without a price", lambda t, a: a.texts.unpriced),
    ("text messages not rendered", lambda t, a: a.texts.unwritten),
)
_ALWAYS = 5


def print_details(console: Console, sides: Sequence[Side], currency: str) -> None:
    """A table for each journey; with two sides (before, after) what differs between them too."""
    names = sorted({name for side in sides for name in side.tallies})
    for name in names:
        tallies = [side.tallies.get(name, Tally()) for side in sides]
        accounts = [side.accounts.get(name, Account()) for side in sides]
        table = Table(title=_title(name, sides), title_justify="left")
        table.add_column("")
        for word in ("before", "after", "difference") if len(sides) == 2 else ("",):
            table.add_column(word, justify="right")
        for row, values in _values(tallies, accounts):
            table.add_row(row, *with_change(values))
        if any(account.cost for account in accounts):
            costs = [account.cost for account in accounts]
            table.add_row(f"coupon cost, {currency}", *_costs(costs))
        for money in sorted({money for account in accounts for money in account.texts.cost}):
            costs = [account.texts.cost.get(money, Decimal(0)) for account in accounts]
            table.add_row(f"text messages cost about, {money}", *_costs(costs))
        console.print(table)
        console.print(_places(accounts))


def _title(name: str, sides: Sequence[Side]) -> str:
    if len(sides) == 2:
        if name not in sides[0].tallies:
            return f"{name} (new)"
        if name not in sides[1].tallies:
            return f"{name} (gone)"
    return name


def _values(
    tallies: Sequence[Tally], accounts: Sequence[Account]
) -> Iterator[tuple[str, list[int]]]:
    both = list(zip(tallies, accounts, strict=True))
    for number, (row, of) in enumerate(_ROWS):
        values = [of(tally, account) for tally, account in both]
        if number < _ALWAYS or any(values):
            yield row, values
    counters: tuple[tuple[str, list[Counter[str]]], ...] = (
        ("messages by {}", [a.messages for a in accounts]),
        ("skipped: {}", [a.skipped for a in accounts]),
        ("waited: {}", [a.waited for a in accounts]),
        ("codes of pool {}", [a.codes for a in accounts]),
    )
    for words, found in counters:
        for key in sorted({key for counter in found for key in counter}):
            yield words.format(key), [counter[key] for counter in found]


def with_change(values: Sequence[int]) -> list[str]:
    """The numbers of one or two sides, and how the second differs from the first."""
    cells = [f"{value:,}" for value in values]
    if len(values) == 2:
        change = values[1] - values[0]
        cells.append(f"{change:+,}" if change else "")
    return cells


def _costs(costs: Sequence[Decimal]) -> list[str]:
    words = [f"{cost:,.2f}" for cost in costs]
    if len(costs) == 2:
        words.append(f"{costs[1] - costs[0]:+,.2f}")
    return words


def _places(accounts: Sequence[Account]) -> Table:
    table = Table(title="runs per path", title_justify="left", title_style="italic", box=None)
    for word in ("path", "what", "which"):
        table.add_column(word, overflow="fold")
    for word in ("before", "after", "difference") if len(accounts) == 2 else ("runs",):
        table.add_column(word, justify="right")
    places = sorted({place for account in accounts for place in account.places}, key=in_order)
    for place in places[:_PLACES]:
        table.add_row(*place, *with_change([account.places[place] for account in accounts]))
    if len(places) > _PLACES:
        table.add_row(f"… and {len(places) - _PLACES} more", "", "")
    return table


def print_balance(console: Console, balance: Balance, called: Callable[[int], str] | None) -> None:
    """Who gets more and who less. Shoppers are named only with ``called``."""
    console.print(
        f"Shoppers who get messages on either side: {balance.more:,} get more, "
        f"{balance.less:,} get less, {balance.same:,} as many as before."
    )
    if not balance.largest:
        return
    table = Table(title="largest differences", title_justify="left", title_style="italic", box=None)
    table.add_column("shopper")
    for word in ("before", "after", "difference"):
        table.add_column(word, justify="right")
    for number, (shopper, before, after) in enumerate(balance.largest, 1):
        name = called(shopper) if called else f"no. {number}"
        table.add_row(name, *with_change([before, after]))
    console.print(table)


def as_document(side: Side) -> dict[str, Any]:
    """One side for a program, by journey."""
    return {name: _account(account) for name, account in sorted(side.accounts.items())}


def _account(account: Account) -> dict[str, Any]:
    # By hand: dataclasses.asdict takes a Counter for a list of things to count.
    return {
        "messages": dict(sorted(account.messages.items())),
        "skipped": dict(sorted(account.skipped.items())),
        "waited": dict(sorted(account.waited.items())),
        "held_back": account.held_back,
        "webhooks": account.webhooks,
        "too_late": account.too_late,
        "offered": account.offered,
        "used": account.used,
        "cost": f"{account.cost:.2f}",
        "texts": {
            "segments": account.texts.segments,
            "cost": {money: f"{cost:f}" for money, cost in sorted(account.texts.cost.items())},
            "unpriced": account.texts.unpriced,
            "unwritten": account.texts.unwritten,
        },
        "codes": dict(sorted(account.codes.items())),
        "by_day": {str(day): n for day, n in sorted(account.by_day.items())},
        "by_hour": {str(hour): n for hour, n in sorted(account.by_hour.items())},
        "places": [
            {"path": path, "what": what, "which": which, "runs": account.places[path, what, which]}
            for path, what, which in sorted(account.places, key=in_order)
        ],
    }


def balance_document(balance: Balance, called: Callable[[int], str] | None) -> Mapping[str, Any]:
    largest: list[dict[str, Any]] = [
        {"before": before, "after": after} | ({"shopper": called(shopper)} if called else {})
        for shopper, before, after in balance.largest
    ]
    return {"more": balance.more, "less": balance.less, "same": balance.same, "largest": largest}
