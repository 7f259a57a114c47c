"""``winback segment``: who is in a segment, how many, since when, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine import bootstrap
from engine.cli._changes import shop
from engine.cli._segments import print_because, print_list, print_picture
from engine.cli.main import FINDINGS, print_json
from engine.core.zones import zone_named
from engine.language.fields import did_you_mean
from engine.runtime.segments import desk, search
from engine.runtime.segments.files import SegmentFiles
from engine.runtime.shell import Shell
from engine.settings import Settings
from engine.store import segment_desk as desk_store
from engine.store.segment_desk import Known


@click.group()
def command() -> None:
    """Look into the segments of config/segments, and check them against everything stored.

    \b
    Example:
      winback segment list
      winback segment show big-spenders
      winback segment explain big-spenders asha@example.com
      winback segment recompute big-spenders
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(project_dir: Path | None, as_json: bool) -> None:
    """How many are in each segment, and who came and went today.

    \b
    Example:
      winback segment list
      winback segment list --json
    """
    with _opened(project_dir) as (shell, _), shell.database.connection() as connection:
        today = shell.clock.now().astimezone(zone_named(shell.book().timezone)).date()
        known = desk_store.known(connection)
        days = {each.name: desk.growth(connection, each, today, 1)[0] for each in known}
    if as_json:
        print_json({"segments": [_row(each, days[each.name]) for each in known]})
    else:
        print_list(Console(highlight=False), known, days)


@command.command()
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True)
@click.option("--members", type=click.IntRange(0, 1000), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def show(project_dir: Path | None, name: str, days: int, members: int, as_json: bool) -> None:
    """Size, growth by day, a few members (their addresses hidden), and what it shares with others.

    Exit codes: 0 shown, 2 there is no such segment.

    \b
    Example:
      winback segment show big-spenders
      winback segment show big-spenders --days 30 --json
    """
    with _opened(project_dir) as (shell, _), shell.database.connection() as connection:
        known = _named(desk_store.known(connection), name)
        now, zone = shell.clock.now(), shell.book().timezone
        found = desk.picture(connection, known, now, zone, days, members)
    if as_json:
        print_json(
            {
                **_row(known, found.growth[-1]),
                "growth": [asdict(each) for each in found.growth],
                "overlaps": [{"segment": n, "members": count} for n, count in found.overlaps],
                "sample": [asdict(each) for each in found.sample],
            }
        )
    else:
        print_picture(Console(highlight=False), found)


@command.command()
@click.argument("words", nargs=-1, required=True, metavar="[NAME] SHOPPER")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def explain(project_dir: Path | None, words: tuple[str, ...], as_json: bool) -> None:
    """Why a shopper is in the segment NAME or not, rule by rule; without NAME, in each segment.

    SHOPPER is a user id, an e-mail address, a phone number, an anonymous id, a cart id or a
    profile's number.

    Exit codes: 0 told, 1 nobody goes by that name, 2 there is no such segment.

    \b
    Example:
      winback segment explain big-spenders asha@example.com
      winback segment explain user:42 --json
    """
    if len(words) > 2:
        raise click.UsageError("Give a segment and a shopper, or a shopper alone.")
    only, asked = (words[0] if len(words) == 2 else None), words[-1]
    with _opened(project_dir) as (shell, _), shell.database.connection() as connection:
        if only is not None:
            _named(desk_store.known(connection), only)
        country = shell.policy().shop.country
        profile, found = desk.because(shell, connection, asked, country, only)
    if as_json:
        document = [
            {
                "segment": each.segment,
                "member": each.member,
                "until": each.until,
                "stored": each.standing._asdict(),
                "rules": [{"line": line, **told._asdict()} for line, told in each.told],
            }
            for each in found
        ]
        print_json({"profile": profile, "segments": document})
    else:
        print_because(Console(highlight=False, soft_wrap=True), profile, found, whole=only)


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def recompute(project_dir: Path | None, names: tuple[str, ...], as_json: bool) -> int:
    """Look at every shopper anew for these segments (default: all), and mend what is not right.

    Files that changed are put into force first. Nobody enters or leaves by it: no journey starts.
    It goes on where it stood when it is broken off, here or in a worker.

    Exit codes: 0 nothing had to be mended, 1 something had, 2 there is no such segment.

    \b
    Example:
      winback segment recompute
      winback segment recompute big-spenders --json
    """
    with _opened(project_dir) as (shell, settings):
        policy, clock = shell.policy, shell.clock
        new = SegmentFiles(shell.database, clock, policy, settings.project_dir).look()
        with shell.database.connection() as connection:
            known = desk_store.known(connection)
            chosen = [_named(known, name).name for name in names] or [k.name for k in known]
        search.measure(shell, chosen)
        with shell.database.connection() as connection:
            desk_store.search_anew(connection, chosen, quiet=True)
        began = time.monotonic()
        seen, mended = _search(shell, chosen, quiet=as_json)
        seconds = time.monotonic() - began
        with shell.database.connection() as connection:
            sizes = {k.name: k.size for k in desk_store.known(connection) if k.name in chosen}
    wrong = mended and not set(new) & set(chosen)
    if as_json:
        print_json(
            {"segments": sizes, "shoppers": seen, "mended": mended, "new": new, "seconds": seconds}
        )
        return FINDINGS if wrong else 0
    console = Console(highlight=False)
    for name, size in sizes.items():
        console.print(f"{name}: {size:,} members{' (new definition)' if name in new else ''}")
    console.print(f"{seen:,} shoppers in {seconds:.1f} s, {mended:,} changes")
    return FINDINGS if wrong else 0


def _search(shell: Shell, names: list[str], quiet: bool) -> tuple[int, int]:
    seen = mended = 0
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet,
    )
    with progress:
        bar = progress.add_task("searching", total=1.0)
        while True:
            some = search.search(shell, only=names, seconds=1.0, threads=search.THREADS)
            seen += some.seen
            mended += some.mended
            if some.busy:
                time.sleep(0.05)  # a worker is at it, or transactions of before have yet to end
                continue
            progress.update(bar, completed=search.progress(some.place))
            if some.place is None:
                with shell.database.connection() as connection:
                    if not desk_store.under_way(connection, names):
                        return seen, mended


@contextmanager
def _opened(project_dir: Path | None) -> Iterator[tuple[Shell, Settings]]:
    settings = Settings.from_environment(project_dir=project_dir)
    with shop(settings) as (database, clock):
        shelf = bootstrap.journeys(settings, database)
        yield Shell(database, clock, shelf.book, shelf.policy, secret=settings.secret), settings


def _named(known: list[Known], name: str) -> Known:
    for each in known:
        if each.name == name:
            return each
    names = [each.name for each in known]
    there = f"There are {', '.join(names)}." if names else "There are none in force."
    hint = did_you_mean(name, names, otherwise=there)
    raise click.UsageError(f"There is no segment '{name}': {hint}")


def _row(known: Known, today: desk.Growth) -> dict[str, Any]:
    searched: datetime | None = known.filled_at
    return {
        "segment": known.name,
        "title": known.title,
        "version": known.version,
        "members": known.size,
        "entered_today": today.entered,
        "left_today": today.left,
        "searched": search.progress(known.place),
        "changed_at": known.changed_at,
        "filled_at": searched,
    }
