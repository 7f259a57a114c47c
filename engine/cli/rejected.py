"""``winback rejected``: events that were set aside, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from engine.cli._changes import shop
from engine.cli._masked import masked
from engine.cli.main import FINDINGS, print_json
from engine.language import load_policy
from engine.runtime import set_aside
from engine.runtime.set_aside import Retried
from engine.settings import Settings
from engine.store import rejected as rejected_store
from engine.store.database import Database
from engine.store.rejected import Group, Kept, Unusable

_SOURCES = {set_aside.DOOR: "door", set_aside.DRAIN: "drain"}


@click.command()
@click.argument("ids", type=int, nargs=-1, metavar="[ID]...")
@click.option("--show", type=int, metavar="ID", help="Show one event, the shopper's texts hidden.")
@click.option("--raw", is_flag=True, help="With --show: as it came, with all that is in it.")
@click.option("--retry", is_flag=True, help="Put them through the intake again.")
@click.option("--drop", is_flag=True, help="Delete them for good.")
@click.option("--all", "everything", is_flag=True, help="All that is set aside.")
@click.option("--reason", metavar="TEXT", help="Those with this in their reason.")
@click.option("--yes", is_flag=True, help="Do not ask before --drop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(
    project_dir: Path | None,
    ids: tuple[int, ...],
    show: int | None,
    raw: bool,
    retry: bool,
    drop: bool,
    everything: bool,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """List events that were set aside, show one, put them in again, or drop them.

    An event is set aside when the door refuses it (its sender was told why) or when its shopper
    could not be worked. What is put in again is judged as at the door: what is still not right
    stays, with the reason of today. An event that came in meanwhile counts once.

    An address that is none costs no event: how many shoppers gave one, and why it could not be
    taken, is listed below the events.

    Exit codes: 0 nothing is set aside, or all went well; 1 something is, or something stayed;
    2 wrong usage.

    \b
    Example:
      winback rejected
      winback rejected --show 17
      winback rejected --retry --reason "an event has at most"
      winback rejected --retry 17 18
      winback rejected --drop --reason "not JSON"
    """
    chosen = bool(ids) + everything + (reason is not None)
    if (show is not None) + retry + drop > 1:
        raise click.UsageError("Say one of --show, --retry and --drop.")
    if (retry or drop) and chosen != 1:
        raise click.UsageError("Say which: ids, --all, or --reason TEXT.")
    if chosen and not (retry or drop):
        raise click.UsageError("Say what to do with them: --retry or --drop.")
    if raw and show is None:
        raise click.UsageError("--raw goes with --show ID.")
    settings = Settings.from_environment(project_dir=project_dir)
    with shop(settings) as (database, _):
        if show is not None:
            code = _show(database, show, raw, as_json)
        elif not (retry or drop):
            code = _list(database, as_json)
        else:
            found = _found(database, ids, reason)
            if drop:
                code = _drop(database, found, yes, as_json)
            else:
                policy, _ = load_policy(settings.project_dir / "config" / "winback.yaml")
                with _bar("putting in again", len(found), as_json) as bar:
                    done = set_aside.retry(database, found, policy.shop.country, bar)
                code = _told(done, as_json)
    if code:
        raise SystemExit(code)


def _found(database: Database, ids: Sequence[int], reason: str | None) -> list[int]:
    """What is meant by the ids, or by the reason, or by neither."""
    with database.connection() as connection:
        found = rejected_store.find(connection, only=ids or None, reason=reason)
    if missing := sorted(set(ids) - set(found)):
        named = ", ".join(map(str, missing))
        raise click.UsageError(f"There is nothing set aside with the id {named}.")
    return found


def _list(database: Database, as_json: bool) -> int:
    with database.connection() as connection:
        groups = rejected_store.groups(connection)
        unusable = rejected_store.addresses(connection)
    if as_json:
        print_json(
            {
                "rejected": [group._asdict() for group in groups],
                "addresses": [one._asdict() for one in unusable],
            }
        )
        return FINDINGS if groups else 0
    if groups:
        _print(groups)
    else:
        Console().print("Nothing is set aside.")
    if unusable:
        _print_addresses(unusable)
    return FINDINGS if groups else 0


def _print(groups: list[Group]) -> None:
    table = Table(title="Set aside", title_justify="left")
    for name in ("at the", "why"):
        table.add_column(name, overflow="fold")
    for name in ("events", "oldest", "newest", "oldest id"):
        table.add_column(name, justify="right")
    for group in groups:
        table.add_row(
            _SOURCES.get(group.source, group.source),
            Text(group.reason),
            f"{group.n:,}",
            f"{group.oldest:%Y-%m-%d}",
            f"{group.newest:%Y-%m-%d}",
            str(group.first_id),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "Look at one with --show ID; once the cause is mended: winback rejected --retry --all"
    )


def _print_addresses(unusable: list[Unusable]) -> None:
    table = Table(title="Addresses that nothing can be sent to", title_justify="left")
    for name in ("", "why"):
        table.add_column(name, overflow="fold")
    table.add_column("shoppers", justify="right")
    for one in unusable:
        table.add_row(one.kind, Text(one.reason), f"{one.profiles:,}")
    console = Console(highlight=False)
    console.print(table)
    console.print("Their events counted. winback explain SHOPPER tells of one.")


def _show(database: Database, id: int, raw: bool, as_json: bool) -> int:
    with database.connection() as connection:
        found: Kept | None = rejected_store.one(connection, id)
    if found is None:
        raise click.UsageError(f"There is nothing set aside with the id {id}.")
    body = found.body if raw else masked(found.body)
    if as_json:
        print_json({**found._asdict(), "body": body, "masked": not raw})
        return 0
    console = Console(highlight=False, markup=False, soft_wrap=True)
    where = _SOURCES.get(found.source, found.source)
    console.print(
        f"{found.id}  set aside at the {where}, {found.received_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    if raw:
        console.print(found.reason)
    console.print(body)
    if not raw:
        console.print(Text("--raw shows it as it came.", "dim"))
    return 0


def _drop(database: Database, found: Sequence[int], yes: bool, as_json: bool) -> int:
    if found and not yes:
        click.confirm(f"Delete {len(found):,} events for good?", abort=True, err=True)
    with _bar("dropping", len(found), as_json) as bar:
        dropped = set_aside.drop(database, found, bar)
    if as_json:
        print_json({"dropped": dropped})
    else:
        click.echo(f"{dropped:,} dropped.")
    return 0


def _told(done: Retried, as_json: bool) -> int:
    stayed = sum(done.stayed.values())
    if as_json:
        print_json({"accepted": done.accepted, "gone": done.gone, "stayed": dict(done.stayed)})
    else:
        click.echo(f"{done.accepted:,} events are in the inbox again; {stayed:,} stayed.")
        for reason, times in done.stayed.most_common():
            click.echo(f"  {times:,}: {reason}")
        if done.gone:
            click.echo(f"{done.gone:,} were in somebody else's hands.")
    return FINDINGS if stayed else 0


@contextmanager
def _bar(words: str, total: int, quiet: bool) -> Iterator[set_aside.Done]:
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task(words, total=total)
        yield lambda done: progress.advance(task, done)
