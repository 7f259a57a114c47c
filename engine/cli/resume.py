"""``winback resume``: let a paused journey, sender or provider send again."""

from __future__ import annotations

from pathlib import Path

import click

from engine import bootstrap
from engine.cli._database import answering
from engine.cli._pauses import PROVIDER, person, subject_of
from engine.cli.main import FINDINGS, print_json
from engine.clock import from_environment
from engine.settings import Settings
from engine.store import senders


@click.command()
@click.argument("what", metavar="JOURNEY|sender|provider")
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--by", help="Who does it. Default: who is logged in here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None, what: str, name: str | None, by: str | None, as_json: bool
) -> None:
    """Let a paused journey, sender or provider send again.

    What has waited goes now, unless its own `if overdue` says that it is too late. What was
    counted against it is forgotten. A provider in trouble (a wrong key, a server that is down)
    is tried again at once instead of at its next probe.

    Exit codes: 0 resumed, 1 it was not paused, 2 wrong usage.

    \b
    Example:
      winback resume win-back
      winback resume sender offers@shop.example
      winback resume provider sendgrid --by ann
    """
    subject = subject_of(what, name)
    settings = Settings.from_environment(project_dir=project_dir)
    clock = from_environment(settings.clock)
    with (
        answering(settings) as settings,
        bootstrap.database(settings, connections=2) as store,
        store.connection() as connection,
    ):
        resumed = senders.resume(connection, subject, clock.now(), person(by))
        kind, _, named = subject.partition(":")
        if kind == PROVIDER:
            resumed = senders.clear_state(connection, named) or resumed
        paused = [pause.subject for pause in senders.pauses(connection)]
    if as_json:
        print_json({"subject": subject, "resumed": resumed})
    elif resumed:
        click.echo(f"{subject} goes on.")
    else:
        there = f" Paused: {', '.join(paused)}." if paused else " Nothing is."
        click.echo(f"{subject} is not paused.{there}", err=True)
    if not resumed:
        raise SystemExit(FINDINGS)
