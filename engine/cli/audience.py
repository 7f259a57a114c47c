"""``winback audience``: who is on the lists of ad platforms, and how fast a purchase lets go."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine import bootstrap
from engine.cli._ad_requests import ad_requests
from engine.cli._changes import shop
from engine.cli.main import FINDINGS, print_json
from engine.errors import ConfigError
from engine.language import load_policy
from engine.model.policy import Policy
from engine.runtime.push import Pushed
from engine.runtime.reconcile import reconcile as look_at_lists
from engine.runtime.shell import Shell
from engine.settings import Settings
from engine.store import listing_views as views_store
from engine.store import replacing as replace_store
from engine.store.audiences import AudienceStore
from engine.store.database import Connection
from engine.store.listing_views import Figures

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_SECONDS = click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Go on for so long at most; the workers do the rest.",
)
_NAMES = click.argument("names", nargs=-1, metavar="[AUDIENCE]...")


@click.group()
def command() -> None:
    """The lists at ad platforms: their sizes, and how fast a purchase takes a shopper off.

    An audience with a `list` in config/winback.yaml is kept up to date at Google or Meta by
    itself; all others are files under audiences/ in Winback's home, and where `to` says.

    Exit codes: 0 fine, 1 a platform refuses, or something was mended, 2 wrong usage.

    \b
    Example:
      winback audience list
      winback audience show google/left-behind --json
      winback audience sync
    """


@command.command("list")
@_AS_JSON
@click.pass_obj
def list_(project_dir: Path | None, as_json: bool) -> None:
    """Tell the size of each list, and how many have bought and are still on it.

    Somebody who has bought is taken off at once; until the platform says that it is done, they
    count as still on. Google takes minutes for that, at times hours.

    \b
    Example:
      winback audience list
    """
    settings = Settings.from_environment(project_dir=project_dir)
    policy = _policy(settings)
    with shop(settings) as (database, clock), database.connection() as connection:
        names = _known(connection, policy)
        found = views_store.figures(connection, names, clock.now())
        requests = ad_requests(connection, policy, clock)
    if as_json:
        print_json({"audiences": [_row(one, policy) for one in found], "requests": requests})
    else:
        _print_list(found, policy)
        for one in requests:
            click.echo(
                f"{one['platform']}: {one['made']:,} of {one['most']:,} requests in "
                f"{one['hours']:.0f} hours."
            )
    if any(one.hold for one in found):
        raise SystemExit(FINDINGS)


@command.command()
@click.argument("name", metavar="AUDIENCE")
@_AS_JSON
@click.pass_obj
def show(project_dir: Path | None, name: str, as_json: bool) -> None:
    """Tell of one list its last calls, its daily looks, and what the platform refused.

    \b
    Example:
      winback audience show google/left-behind
    """
    settings = Settings.from_environment(project_dir=project_dir)
    policy = _policy(settings)
    with shop(settings) as (database, clock), database.connection() as connection:
        [name] = _some([name], _known(connection, policy))
        [found] = views_store.figures(connection, [name], clock.now())
        calls = views_store.calls(connection, name)
        days = views_store.days(connection, name)
        problems = views_store.problems(connection, name)
        replaced = replace_store.last(connection, name)
    if as_json:
        document = {
            **_row(found, policy),
            "calls": [call._asdict() for call in calls],
            "days": [day._asdict() for day in days],
            "refusals": problems,
            "replaced": replaced,
        }
        print_json(document)
        return
    _print_list([found], policy)
    console = Console(highlight=False)
    for why, count in problems.items():
        console.print(Text(f"{count:,} members refused: {why}", "yellow"))
    if replaced:
        words = f"Replaced last: {replaced['asked_at']:%Y-%m-%d %H:%M:%S}, {replaced['reason']}"
        console.print(f"{words}: {replaced['status']} {replaced['detail']}".rstrip())
    if calls:
        rows = [
            (f"{c.claimed_at:%Y-%m-%d %H:%M:%S}", c.action, f"{c.members:,}", c.status, c.detail)
            for c in calls
        ]
        console.print(_table("Last calls", ("at", "", "members", "", ""), rows))
    if days:
        told = [
            (f"{d.at:%Y-%m-%d}", f"{d.confirmed:,}", _size(d.low, d.high), f"{d.mended:,}", d.note)
            for d in days
        ]
        heads = ("day", "confirmed", "the platform says", "mended", "")
        console.print(_table("Daily looks", heads, told))


@command.command()
@_NAMES
@_SECONDS
@_AS_JSON
@click.pass_obj
def sync(project_dir: Path | None, names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Bring the lists up to date now: first off, then on. Files are written too.

    \b
    Example:
      winback audience sync
      winback audience sync google/left-behind --seconds 300
    """
    with _open(project_dir) as (settings, of):
        pusher = bootstrap.pusher(settings, of)
        only = _some(names, sorted(pusher.audiences())) if names else ()
        total = {name: Pushed(name) for name in pusher.audiences() if not only or name in only}
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and total:
            moved = False
            for done in pusher.push(left, only):
                moved |= _add_up(total[done.audience], done)
            if not moved:
                break
        files = () if names else bootstrap.audience_sync(settings, of, again=True)()
        written = files.audiences if files else ()
        handed = files.handed if files else ()
        problems = [*(files.problems if files else ())]
    problems += [f"{one.audience}: {one.problem}" for one in total.values() if one.problem]
    if as_json:
        print_json(
            {
                "lists": [asdict(one) for one in total.values()],
                "files": [asdict(one) for one in written],
                "handed over": [asdict(one) for one in handed],
                "problems": problems,
            }
        )
    else:
        console = Console(highlight=False)
        rows = [
            (one.audience, f"{one.removed:,}", f"{one.added:,}", f"{one.requests:,}")
            for one in total.values()
        ]
        rows += [(one.audience, f"{one.removed:,}", f"{one.added:,}", "file") for one in written]
        rows += [
            (one.audience, f"{one.removed:,}", f"{one.added:,}", "handed over")
            for one in handed
            if not one.problem
        ]
        heads = ("audience", "taken off", "put on", "calls")
        console.print(_table("", heads, rows) if rows else "Nothing was to be done.")
        for problem in problems:
            console.print(Text(problem, "red"))
    if problems:
        raise SystemExit(FINDINGS)


@command.command()
@_NAMES
@_AS_JSON
@click.pass_obj
def reconcile(project_dir: Path | None, names: tuple[str, ...], as_json: bool) -> None:
    """Hold the lists against what is wanted, as the clock does daily, and mend what differs.

    The platform's figure counts people whom it could match, rounded: it is told, and held
    against that of the day before. What is to be sent for it goes with the next sync.

    \b
    Example:
      winback audience reconcile google/left-behind
    """
    with _open(project_dir) as (settings, of):
        pusher = bootstrap.pusher(settings, of)
        known = sorted(pusher.audiences())
        found = look_at_lists(pusher, _some(names, known) if names else ())
    if as_json:
        print_json({"audiences": [day._asdict() for day in found]})
    else:
        rows = [
            (d.audience, f"{d.confirmed:,}", _size(d.low, d.high), f"{d.mended:,}", d.note)
            for d in found
        ]
        heads = ("audience", "confirmed", "the platform says", "mended", "")
        empty = "No audience has a list at a platform: see `audiences` in config/README.md."
        Console(highlight=False).print(_table("", heads, rows) if rows else empty)
    if any(day.mended or day.note for day in found):
        raise SystemExit(FINDINGS)


@command.command("replace")
@click.argument("name", metavar="AUDIENCE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_SECONDS
@_AS_JSON
@click.pass_obj
def replace_(project_dir: Path | None, name: str, yes: bool, seconds: float, as_json: bool) -> None:
    """Rebuild a list at its platform: send all who are wanted anew, and take off all others.

    For a list that somebody else has put people on, or that you no longer trust. It is never
    empty in between. People whom you have put there yourself, or with another tool, are lost.

    \b
    Example:
      winback audience replace google/left-behind --yes
    """
    with _open(project_dir) as (settings, of):
        pusher = bootstrap.pusher(settings, of)
        [name] = _some([name], sorted(pusher.audiences()))
        if not yes:
            if as_json:
                raise click.UsageError("Say --yes to have the list replaced.")
            wanted = _wanted(of, name)
            click.confirm(f"{name}: send {wanted:,} anew, and take off all others?", abort=True)
        with of.database.connection() as connection:
            replace_store.ask(connection, name, "asked for", of.clock.now())
        deadline = time.monotonic() + seconds
        while True:
            [done] = pusher.push(max(0.0, deadline - time.monotonic()), [name])
            with of.database.connection() as connection:
                told = replace_store.last(connection, name) or {}
            over = told.get("status") in ("done", "failed")
            if over or done.problem or time.monotonic() >= deadline:
                break
            time.sleep(0.2)
    if as_json:
        print_json({"audience": name, **told, "problem": done.problem})
    else:
        console = Console(highlight=False)
        words = {"done": "replaced", "failed": f"not replaced: {told.get('detail')}"}
        going = "being replaced; the workers go on with it"
        console.print(f"{name} is {words.get(str(told.get('status')), going)}.")
        if done.problem:
            console.print(Text(done.problem, "red"))
    if told.get("status") == "failed" or done.problem:
        raise SystemExit(FINDINGS)


def _wanted(of: Shell, name: str) -> int:
    with of.database.connection() as connection:
        return views_store.figures(connection, [name], of.clock.now())[0].wanted


@contextmanager
def _open(project_dir: Path | None) -> Iterator[tuple[Settings, Shell]]:
    settings = Settings.from_environment(project_dir=project_dir)
    with shop(settings) as (database, _):
        here = replace(settings, database_url=database.url)
        of = bootstrap.shell(here)
        try:
            yield here, of
        finally:
            of.database.close()


def _policy(settings: Settings) -> Policy:
    policy, found = load_policy(settings.project_dir / "config" / "winback.yaml")
    if any(one.severity == "error" for one in found):
        raise ConfigError("config/winback.yaml has mistakes: winback lint tells them.")
    return policy


def _known(connection: Connection, policy: Policy) -> list[str]:
    there = AudienceStore(connection, policy.ads_consent).all()
    return sorted({*policy.audiences, *there})


def _some(names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in names if name not in known]
    if unknown:
        told = f"There are {', '.join(known)}." if known else "There are none yet."
        raise click.UsageError(f"There is no audience '{unknown[0]}'. {told}")
    return names


def _add_up(total: Pushed, done: Pushed) -> bool:
    """Add a turn to what went before; whether it did anything."""
    total.added += done.added
    total.removed += done.removed
    total.ready += done.ready
    total.let_go += done.let_go
    total.requests += done.requests
    total.problem, total.busy = done.problem, done.busy
    return bool(done.added or done.removed)


def _row(one: Figures, policy: Policy) -> dict[str, Any]:
    return {**one._asdict(), "provider": "api" if one.audience in policy.audiences else "file"}


def _print_list(found: Sequence[Figures], policy: Policy) -> None:
    console = Console(highlight=False)
    if not found:
        console.print("No journey has put anybody on an audience yet.")
        return
    table = Table(title="Audiences", title_justify="left")
    table.add_column("audience")
    table.add_column("by")
    for word in ("wanted", "ready", "sent", "confirmed", "refused", "leaving", "bought, still on",
                 "order to off: half", "99%"):  # fmt: skip
        table.add_column(word, justify="right")
    for one in found:
        by_api = one.audience in policy.audiences
        table.add_row(
            one.audience,
            "api" if by_api else "file",
            f"{one.wanted:,}",
            *(f"{n:,}" if by_api else "" for n in (one.ready, one.sent)),
            f"{one.confirmed if by_api else one.listed:,}",
            *(f"{n:,}" if by_api else "" for n in (one.refused, one.leaving)),
            Text(f"{one.still:,}", "bold red" if one.still else ""),
            *(
                "" if seconds is None else f"{seconds:,.1f} s"
                for seconds in (one.delay_p50, one.delay_p99)
            ),
        )
    console.print(table)
    for one in found:
        if one.hold:
            console.print(Text(f"{one.audience} waits: {one.hold}", "yellow"))


def _size(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return "not told"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title or None, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
