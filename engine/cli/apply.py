"""``winback apply``: the journeys go live, all at once; and back again."""

from __future__ import annotations

import getpass
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from engine.cli._changes import (
    as_document,
    planned,
    print_plan,
    print_shortages,
    read_project,
    shop,
)
from engine.cli._recorded import print_errors
from engine.cli.main import FINDINGS, print_json
from engine.core.migrate import Rule
from engine.runtime import apply as applying
from engine.runtime.apply import TooFar, apply, follow_up
from engine.runtime.plan import before_it, draw
from engine.runtime.pools import shortages
from engine.runtime.shelf import EVERY
from engine.settings import Settings


@click.command()
@click.option("--rollback", is_flag=True, help="Make live what was live before.")
@click.option(
    "--follow-files",
    is_flag=True,
    help="Apply no more: from now on workers follow the files as they are edited.",
)
@planned
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; never ask.")
@click.pass_obj
def command(
    project_dir: Path | None,
    rollback: bool,
    follow_files: bool,
    rule: Rule | None,
    allow: int | None,
    as_json: bool,
) -> int:
    """Make the project's journeys live, as `winback plan` says, in one transaction.

    From the first apply on, workers take the journeys from the database: they see a new set
    within a second or two, and an edited file changes nothing until it is applied.

    Before it may send more messages in the first day than are allowed it asks, or, where nobody
    can answer, changes nothing and ends with 1. A rollback does not ask.

    Exit codes: 0 applied, 1 not applied, 2 wrong usage.

    \b
    Example:
      winback apply
      winback apply --in-flight move --allow 2000
      winback apply --rollback
    """
    settings = Settings.from_environment(project_dir=project_dir)
    if rollback and follow_files:
        raise click.UsageError("--rollback and --follow-files exclude each other.")
    if follow_files:
        return _follow_files(settings, as_json)
    wanted, policy, errors = read_project(settings.project_dir, rule)
    allowed: int | None = policy.blast_radius if allow is None else allow
    currency, by = policy.shop.currency, getpass.getuser()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if errors and not rollback:
        print_errors(console, errors)
        console.print("Nothing was applied: mend these first.", style="red")
        return FINDINGS
    with shop(settings) as (database, clock):
        with database.connection() as connection:
            if rollback:
                wanted, allowed = before_it(connection, rule), None
            plan = draw(connection, wanted, clock.now(), currency)
            short = shortages(connection, wanted.journeys, clock.now())
        shown = policy.blast_radius if allowed is None else allowed
        if not as_json:
            print_plan(plan, shown)
            print_shortages(short)
        if plan.empty:
            if as_json:
                print_json({"applied": None, **as_document(plan, shown, [], short)})
            return 0
        if allowed is not None and plan.messages > allowed:
            if as_json or not sys.stdin.isatty():
                raise TooFar(plan.messages, allowed)
            click.confirm("Apply it all the same?", abort=True)
            allowed = plan.messages
        done = apply(
            *(database, wanted, clock.now, by),
            planned=plan,
            allowed=allowed,
            currency=currency,
        )
        time.sleep(2 * EVERY)  # by then every worker has looked
        late = follow_up(database, done, wanted, clock.now, currency)
    if as_json:
        print_json(
            {"applied": done.live_set, "late": late, **as_document(done.plan, shown, [], short)}
        )
        return 0
    if replace(done.plan, base=plan.base) != plan:
        console.print("Shoppers went on while you read; this is what was done:")
        print_plan(done.plan, shown)
    if late:
        console.print(
            f"{late:,} shoppers had come in on a replaced version meanwhile: treated too."
        )
    console.print("Applied. Back: winback apply --rollback", style="green")
    return 0


def _follow_files(settings: Settings, as_json: bool) -> int:
    with shop(settings) as (database, clock):
        done = applying.follow_files(database, clock.now, getpass.getuser())
    if as_json:
        print_json({"applied": done, "follows_files": True})
    else:
        click.echo("From now on workers follow the files as they are edited.")
    return 0
