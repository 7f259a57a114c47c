"""``winback simulate``: journeys on recorded events, in memory; a backtest of a change."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from engine import bootstrap
from engine.cli import _backtest as show
from engine.cli import _simulated_segments as in_segments
from engine.cli._database import answering
from engine.cli._recorded import duration, print_bad_lines, print_errors, print_tallies
from engine.cli.main import FINDINGS
from engine.intake.excerpt import Excerpt, Looks
from engine.intake.recordings import BadLine
from engine.language import load_journeys, load_policy
from engine.model.event import Event
from engine.model.journey import Journey, Send
from engine.model.policy import Policy
from engine.model.segment import Segment
from engine.rendering import Renderer
from engine.runtime.backtest import Backtest, Side, balance
from engine.runtime.looks import looks_of
from engine.runtime.reached import reached
from engine.runtime.sources import Mapped
from engine.runtime.texts import Biller
from engine.settings import Settings
from engine.store import recorded
from engine.store.database import Database

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_TITLE = "What the journeys would have done"


@click.command()
@click.option(
    "--journeys",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The journeys to run. Default: journeys/ of the project.",
)
@click.option(
    "--events",
    "files",
    type=_FILE,
    multiple=True,
    help="Recorded events: JSON Lines in Segment form (.gz too, - for standard input), CSV or "
    "Parquet; several times for several.",
)
@click.argument("more", nargs=-1, type=_FILE)
@click.option("--from-database", is_flag=True, help="The events of the live database instead.")
@click.option(
    "--days",
    type=click.IntRange(1, 3660),
    help="With --from-database: runs start in the last N days; what was before is only known.",
)
@click.option(
    "--map", "columns", multiple=True, metavar="FIELD=COLUMN", help="Of tables: timestamp=when, …"
)
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="FIELD=VALUE",
    help='Of tables: event="Order Completed"',
)
@click.option(
    "--against",
    metavar="DIR|live",
    help="Run these journeys too, and show the difference: a folder, or what is live.",
)
@click.option("--details", is_flag=True, help="Skips, waits, coupons and runs per path as well.")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write PNG there: messages by day and hour, runs per path.",
)
@click.option("--shoppers", is_flag=True, help="Name the shoppers with the largest differences.")
@click.option(
    "--bought-within",
    default="30d",
    show_default=True,
    help="A message about a product bought so shortly before it counts as one too many.",
)
@click.option(
    "--until",
    default="60d",
    show_default=True,
    help='How far the clock runs past the last event: "60d", "36 hours".',
)
@click.option("--bare", is_flag=True, help="Leave out holdout, caps, quiet hours and consent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None,
    directory: Path | None,
    files: tuple[Path, ...],
    more: tuple[Path, ...],
    from_database: bool,
    days: int | None,
    columns: tuple[str, ...],
    values: tuple[str, ...],
    against: str | None,
    details: bool,
    pictures: Path | None,
    shoppers: bool,
    bought_within: str,
    until: str,
    bare: bool,
    as_json: bool,
) -> None:
    """Run journeys on recorded events and count what they would have done. Nothing is sent.

    With --against it is a backtest of a change: both sets of journeys run over the same events.
    Segments that a journey hears of are kept, as config/segments says; with --against live the
    other side keeps those in force.
    A coupon counts as used on the shopper's first order while it is valid (30 days where it does
    not say), and costs its percent of that order.

    Exit codes: 0 fine, 1 errors in journeys, steps that raised, or lines without an event (they
    are named), 2 wrong usage.

    \b
    Example:
      winback simulate --events orders.jsonl.gz
      winback simulate --events views.jsonl orders.jsonl --json
      winback simulate --from-database --days 90 --against live --pictures pictures/
      winback simulate --events orders.csv --map timestamp=InvoiceDate --set "event=Order Completed"
    """
    console = Console(stderr=True)
    recordings = [*files, *more]
    if bool(recordings) == from_database:
        raise click.UsageError("Say what to run on: --events FILE, or --from-database.")
    if days and not from_database:
        raise click.UsageError("--days is for --from-database.")
    ahead, within = duration(until, "--until"), duration(bought_within, "--bought-within")
    mapped = Mapped(show.pairs(columns, "--map"), show.pairs(values, "--set"))
    project = project_dir or Path.cwd()
    policy, findings = load_policy(project / "config" / "winback.yaml")
    found = load_journeys(directory or project / "journeys")
    wrong = print_errors(console, (*findings, *found.diagnostics))
    journeys = list(found.journeys.values())

    started = time.perf_counter()
    with ExitStack() as stack:
        database: Database | None = None
        if from_database or against == "live":
            settings = Settings.from_environment(project_dir=project_dir)
            answer = stack.enter_context(answering(settings))
            database = stack.enter_context(bootstrap.database(answer, connections=2))
        other = None
        if against is not None:
            other, failed = _others(against, database, console)
            wrong = wrong or failed
        kept, broken = in_segments.of_project(
            project, policy, database if from_database else None, console
        )
        before = kept
        if against == "live" and database is not None:
            before = in_segments.live(database, console)
        wrong = wrong or broken
        in_segments.warn_of_scores(console, journeys, kept)
        now = datetime.now(UTC)
        watch = details or pictures is not None
        looked_at = watch or other is not None
        backtest = Backtest(
            journeys,
            policy,
            against=other,
            bare=bare,
            watch=watch,
            since=now - timedelta(days=days) if days else None,
            bought_within=within,
            biller=_biller(project, policy, [*journeys, *(other or ())]) if looked_at else None,
            segments=kept,
            others=before,
        )
        progress = stack.enter_context(show.bar(console, disable=as_json))
        task = progress.add_task("looking", total=None, speed="")
        source: _Source
        if database is not None and from_database:
            source = _Source(recorded.count(database), lambda: recorded.stream(database), [])
        else:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="winback-")))
            ordered = show.open_files(recordings, mapped, scratch, now, console)
            read: list[Journey | Segment] = [*journeys, *(other or ())]
            read += reached(journeys, kept.rules).values()
            read += reached(other or (), before.rules).values()
            looks = looks_of(read)
            if backtest.bills:  # a template may print anything
                looks = Looks()
            excerpt = Excerpt(looks, now, policy.shop.country)
            source = _Source(ordered.total, lambda: ordered.events(excerpt), ordered.bad)
        progress.update(task, description="running", total=source.total)
        begun = time.perf_counter()

        def worked(count: int) -> None:
            speed = count / max(time.perf_counter() - begun, 1e-6)
            progress.update(task, completed=count, speed=f"{speed:,.0f} events/s")

        sides = backtest.run(source.events(), ahead, worked)
    print_bad_lines(console, source.bad)
    for fault, times in backtest.failures.most_common():
        console.print(f"{fault}, {times:,} times", style="red", markup=False, soft_wrap=True)
    called = backtest.called if shoppers else None
    if as_json:
        click.echo(json.dumps(_document(sides, details, called)))
    else:
        _print(sides, details, policy.shop.currency, called)
    if pictures is not None:
        from engine.runtime.pictures import draw

        for file in draw(sides[::-1], pictures):
            console.print(f"wrote {file}", highlight=False, markup=False)
    if not as_json:
        seconds = time.perf_counter() - started
        console.print(f"{backtest.events:,} events in {seconds:.1f} s", highlight=False)
    if wrong or source.bad or backtest.failures:
        raise SystemExit(FINDINGS)


def _biller(project: Path, policy: Policy, journeys: Iterable[Journey]) -> Biller | None:
    """Who works out what text messages come to; None where there are none to be sent."""
    steps = [step for journey in journeys for step in journey.steps.values()]
    if not any(isinstance(step, Send) and step.channel == "sms" for step in steps):
        return None
    # A link of this length, for nothing is sent: a code of eight letters below a short host.
    renderer = Renderer(
        project / "templates", policy, public_url="https://go.shop.example", secret="-" * 32
    )
    return Biller(renderer, policy)


@dataclass(frozen=True, slots=True)
class _Source:
    total: int
    events: Callable[[], Iterable[Event]]
    bad: list[BadLine]


def _others(
    against: str, database: Database | None, console: Console
) -> tuple[list[Journey], bool]:
    """The journeys to compare with, and whether there are errors in them."""
    if against == "live":
        assert database is not None
        return list(show.live_journeys(database, console).values()), False
    folder = Path(against)
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder '{against}'", param_hint="--against")
    found = load_journeys(folder)
    return list(found.journeys.values()), print_errors(console, found.diagnostics)


def _document(
    sides: list[Side], details: bool, called: Callable[[int], str] | None
) -> dict[str, Any]:
    """The contract's object; more in it only where more was asked for."""
    found: dict[str, Any] = {"journeys": {n: asdict(t) for n, t in sides[0].tallies.items()}}
    if details or len(sides) == 2:
        found["details"] = show.as_document(sides[0])
    if sides[0].segments:
        found["segments"] = in_segments.as_document(sides[0])
    if len(sides) == 2:
        found["against"] = {
            "journeys": {n: asdict(t) for n, t in sides[1].tallies.items()},
            "details": show.as_document(sides[1]),
        }
        if sides[1].segments:
            found["against"]["segments"] = in_segments.as_document(sides[1])
        found["shoppers"] = show.balance_document(
            balance(sides[1].shoppers, sides[0].shoppers), called
        )
    return found


def _print(
    sides: list[Side], details: bool, currency: str, called: Callable[[int], str] | None
) -> None:
    console = Console(highlight=False)
    if len(sides) == 1 and not details:
        print_tallies(sides[0].tallies, _TITLE, as_json=False)
        in_segments.print_crossings(console, sides)
        return
    show.print_details(console, sides[::-1], currency)
    in_segments.print_crossings(console, sides[::-1])
    if len(sides) == 2:
        difference = balance(sides[1].shoppers, sides[0].shoppers)
        show.print_balance(console, difference, called)
