"""``winback replay``: recorded events again, through the collector or in event time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.cli._recorded import duration, print_bad_lines, print_errors, print_tallies
from engine.cli.main import FINDINGS, print_json
from engine.embedded.postgres import temporary_postgres
from engine.intake.recordings import BadLine, events, lines
from engine.language import load_journeys, load_policy, load_segments
from engine.runtime.feed import Fed, Feed
from engine.runtime.replay import Replay
from engine.store.database import Database, migrate

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True, exists=True)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--url", metavar="URL", help="The collector, such as http://127.0.0.1:8080.")
@click.option("--key", metavar="KEY", envvar="WINBACK_WRITE_KEY", help="Its write key.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Keep the recording's pace, so many times as fast. Default: as fast as it goes.",
)
@click.option("--as-now", is_flag=True, help="Let each event happen at the time it is sent.")
@click.option(
    "--batch",
    type=click.IntRange(1, 2500),
    default=500,
    show_default=True,
    help="Events a request, at most.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="With several, only the events of each sender stay in order.",
)
@click.option("--event-time", is_flag=True, help="In this process, by the recording's own clock.")
@click.option(
    "--journeys",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --event-time: the journeys. Default: journeys/ of the project.",
)
@click.option(
    "--until",
    default="60d",
    show_default=True,
    help="With --event-time: how far the clock runs past the last event.",
)
@click.option(
    "--bare",
    is_flag=True,
    help="With --event-time: leave out holdout, caps, quiet hours, consent and addresses.",
)
@click.option(
    "--database",
    metavar="URL",
    envvar="DATABASE_URL",
    help="With --event-time: an empty one. Default: DATABASE_URL, else a temporary one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None,
    files: tuple[Path, ...],
    url: str | None,
    key: str | None,
    speed: float | None,
    as_now: bool,
    batch: int,
    connections: int,
    event_time: bool,
    directory: Path | None,
    until: str,
    bare: bool,
    database: str | None,
    as_json: bool,
) -> None:
    """Send recorded events (JSON Lines in Segment form, .gz too, - for standard input) again.

    Through the real HTTP collector at --url; while it is down or busy, its events are sent again
    until they are taken. Or, with --event-time, through the real pipeline in this process: every
    timer due between two events fires between them, segments of config/segments are entered and
    left on the way, nothing is sent to anybody, and the numbers printed are those of `winback
    simulate`.

    Exit codes: 0 fine, 1 some lines were no events (they are named), 2 wrong usage.

    \b
    Example:
      winback replay orders.jsonl.gz --url http://127.0.0.1:8080 --key $WINBACK_WRITE_KEY --as-now
      winback replay orders.jsonl.gz --event-time --until 60d --bare --json
    """
    console = Console(stderr=True)
    if event_time:
        if url or speed or as_now:
            raise click.UsageError("--event-time works here, without --url, --speed and --as-now.")
        project = project_dir or Path.cwd()
        ahead = duration(until, "--until")
        _event_time(
            console,
            project,
            directory or project / "journeys",
            files,
            ahead,
            bare,
            database,
            as_json,
        )
        return
    if directory or bare:
        raise click.UsageError("--journeys and --bare belong to --event-time.")
    if not url:
        raise click.UsageError("Give --url, the collector to send to, or --event-time.")
    if not key:
        raise click.UsageError("Give --key or set WINBACK_WRITE_KEY: the collector asks for it.")
    with _bar(console, as_json) as progress:
        total = None if Path("-") in files else sum(1 for file in files for _ in lines(file))
        bar = progress.add_task("sending", total=total)
        feed = Feed(
            url,
            key,
            size=batch,
            connections=connections,
            speed=speed or 0.0,
            as_now=as_now,
            progress=lambda number: progress.advance(bar, number),
        )
        fed = feed.run(files)
    print_bad_lines(console, fed.bad)
    _print_fed(fed, as_json)
    if fed.bad:
        raise SystemExit(FINDINGS)


def _event_time(
    console: Console,
    project: Path,
    directory: Path,
    files: tuple[Path, ...],
    ahead: timedelta,
    bare: bool,
    database: str | None,
    as_json: bool,
) -> None:
    policy, findings = load_policy(project / "config" / "winback.yaml")
    found = load_journeys(directory)
    segments = load_segments(project / "config" / "segments", policy=policy)
    errors = print_errors(console, (*findings, *found.diagnostics, *segments.diagnostics))
    bad: list[BadLine] = []
    started = time.perf_counter()
    with _bar(console, as_json) as progress:
        bar = progress.add_task("reading", total=None)
        recorded = list(events([*files], datetime.now(UTC), policy.shop.country, bad))
        progress.update(bar, description="starting PostgreSQL")
        with _database(database or None) as store:
            replay = Replay(store, found.journeys.values(), policy, segments=segments, bare=bare)
            progress.update(bar, description="replaying", total=len(recorded))
            tallies = replay.run(
                recorded, ahead, lambda worked: progress.update(bar, completed=worked)
            )
    print_bad_lines(console, bad)
    if replay.refused:
        console.print(f"{replay.refused:,} events were set aside: see the log above", style="red")
    print_tallies(tallies, "What the pipeline did, in event time", as_json=as_json)
    if not as_json:
        seconds = time.perf_counter() - started
        console.print(f"{len(recorded):,} events in {seconds:.1f} s", highlight=False)
    if errors or bad or replay.refused:
        raise SystemExit(FINDINGS)


@contextmanager
def _database(url: str | None) -> Iterator[Database]:
    """The database at ``url`` with its schema up to date; without one, a temporary."""
    if url is None:
        with temporary_postgres() as server, _database(server.url) as database:
            yield database
        return
    migrate(url)
    with Database(url) as database:
        yield database


def _bar(console: Console, silent: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=silent,
    )


def _print_fed(fed: Fed, as_json: bool) -> None:
    pace = fed.accepted / fed.seconds if fed.seconds else 0.0
    if as_json:
        print_json(
            {
                "events": fed.read,
                "accepted": fed.accepted,
                "bad_lines": len(fed.bad),
                "requests": fed.requests,
                "retries": fed.retries,
                "seconds": round(fed.seconds, 3),
                "events_per_second": round(pace),
            }
        )
        return
    click.echo(
        f"{fed.accepted:,} of {fed.read:,} events accepted in {fed.seconds:.1f} s "
        f"({pace:,.0f}/s), {fed.requests:,} requests, {fed.retries:,} retries, "
        f"{len(fed.bad):,} bad lines"
    )
