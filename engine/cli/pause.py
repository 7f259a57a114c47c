"""``winback pause``: stop a journey, sender or provider from sending, or show what is paused."""

from __future__ import annotations

from pathlib import Path

import click

from engine import bootstrap
from engine.cli._database import answering
from engine.cli._pauses import PROVIDER, SENDER, check, person, senders_of, show, subject_of
from engine.cli.main import print_json
from engine.clock import from_environment
from engine.settings import Settings
from engine.store import report_counts, senders
from engine.store.senders import Pause


@click.command()
@click.argument("what", required=False, metavar="[JOURNEY|sender|provider]")
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--reason", default="", help="Why, for those who come after you.")
@click.option("--by", help="Who does it. Default: who is logged in here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None,
    what: str | None,
    name: str | None,
    reason: str,
    by: str | None,
    as_json: bool,
) -> None:
    """Stop a journey, sender or provider from sending; without a name, show what is paused.

    What is due waits, and nothing of it runs out meanwhile. Stops, goals and timers go on: who
    buys gets nothing, also afterwards. A sender is the address or number that messages come
    from; others go on by the same provider. Another provider stands in for a paused one where
    config/winback.yaml names one. Winback pauses by itself what gets too many complaints or
    bounces.

    Exit codes: 0 done, or shown; 2 wrong usage.

    \b
    Example:
      winback pause
      winback pause win-back --reason "wrong price in the mail"
      winback pause sender offers@shop.example
      winback pause provider sendgrid
    """
    settings = Settings.from_environment(project_dir=project_dir)
    clock = from_environment(settings.clock)
    with answering(settings) as settings, bootstrap.database(settings, connections=2) as store:
        new = False
        subject = ""
        if what is not None:
            shelf = bootstrap.journeys(settings, store)
            policy = bootstrap.policy_of(settings, shelf)()
            providers = {name for names in bootstrap.providers(policy).values() for name in names}
            with store.connection() as connection:
                # A file that is broken now, or gone, may have runs under way all the same.
                journeys = {*shelf.book().current, *senders.journeys(connection)}
                known = {
                    "journey": journeys,
                    PROVIDER: providers,
                    SENDER: (senders_of(policy) | report_counts.senders(connection)) - providers,
                }
            subject = subject_of(what, name)
            check(subject, known)
            pause = Pause(subject, clock.now(), person(by), reason or "by hand", {})
            with store.connection() as connection:
                new = senders.pause(connection, pause)
        with store.connection() as connection:
            pauses, states = senders.pauses(connection), senders.states(connection)
            ended = senders.pauses_ended(connection)
    if as_json:
        print_json(
            {
                "paused": [p._asdict() for p in pauses],
                "in_trouble": [s._asdict() for s in states],
                "resumed": [p._asdict() for p in ended],
            }
        )
        return
    if subject:
        click.echo(f"{subject} {'is paused' if new else 'was paused already'}.")
    else:
        show(pauses, states)
