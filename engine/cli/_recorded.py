"""What the commands on recorded events share: their options' values, and how they print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.table import Table

from engine.core.durations import DurationError, parse_duration
from engine.intake.recordings import BadLine
from engine.model.diagnostic import Diagnostic
from engine.runtime.simulate import Tally

#: Bad lines that are shown one by one; of the others there is only the number.
SHOWN = 10


def duration(text: str, option: str) -> timedelta:
    """``60d`` or ``36 hours`` as given to ``option``; wrong is wrong usage."""
    try:
        return parse_duration(text, short=True)
    except DurationError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def moment(text: str, option: str, now: datetime) -> datetime:
    """A time as given to ``option``, or how long before ``now`` it is; wrong is wrong usage."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now - duration(text, option)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def print_errors(console: Console, findings: Iterable[Diagnostic]) -> bool:
    """Show the errors among ``findings``; whether there were any."""
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in errors:
        console.print(str(finding), style="red", markup=False)
    return bool(errors)


def print_bad_lines(console: Console, bad: Sequence[BadLine]) -> None:
    for line in bad[:SHOWN]:
        console.print(str(line), style="yellow", markup=False, soft_wrap=True)
    if len(bad) > SHOWN:
        console.print(f"… and {len(bad) - SHOWN:,} more lines without an event", style="yellow")


def print_tallies(tallies: Mapping[str, Tally], title: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"journeys": {name: asdict(t) for name, t in tallies.items()}}))
        return
    table = Table(title=title, title_justify="left")
    table.add_column("journey")
    for name in ("enrolled", "held out", "messages", "stopped", "goals"):
        table.add_column(name, justify="right")
    for name, tally in sorted(tallies.items()):
        table.add_row(name, *(f"{value:,}" for value in asdict(tally).values()))
    Console().print(table)
