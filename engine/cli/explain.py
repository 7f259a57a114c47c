"""``winback explain``: what became of one shopper, and why, and why not."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from engine import bootstrap
from engine.cli._changes import shop
from engine.cli._consent import print_consent
from engine.cli.main import FINDINGS, print_json
from engine.core.book import JourneyBook
from engine.core.receipts import REPORTER
from engine.core.refusals import meaning
from engine.core.zones import Whereabouts, whereabouts
from engine.language import load_policy
from engine.model.message import Message
from engine.runtime.erase import WasErased, was_erased
from engine.runtime.explain import Explanation, Nobody, Story, explain
from engine.runtime.in_force import Past
from engine.runtime.retrace import differences
from engine.runtime.why_not import WhyNot, why_not
from engine.settings import Settings
from engine.testing.scenario.record import scenario_text

_STYLES = {"active": "cyan", "stopped": "yellow", "finished": "green", "merged": "dim"}


@click.command()
@click.argument("shopper")
@click.option("--journey", "only", metavar="NAME", help="Only this journey.")
@click.option(
    "--verify",
    is_flag=True,
    help="Replay the shopper from the event log and compare every decision, to the letter.",
)
@click.option(
    "--as-scenario",
    is_flag=True,
    help="Print the shopper's story as a scenario for `winback test`, nobody's data in it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(
    project_dir: Path | None,
    shopper: str,
    only: str | None,
    verify: bool,
    as_scenario: bool,
    as_json: bool,
) -> int:
    """Tell every decision about one shopper: where in the YAML, why, and when.

    SHOPPER is a user id, an e-mail address, a phone number, an anonymous id, a cart id or a
    profile's number. Addresses that you did not give are not shown. For journeys in force that
    the shopper did not enter, it tells which condition of the trigger did not hold.

    Exit codes: 0 told; 1 nobody goes by that name, or they were erased, or --verify found a
    difference; 2 wrong usage.

    \b
    Example:
      winback explain asha@example.com
      winback explain user:42 --journey cart --json
      winback explain 42 --verify
      winback explain 42 --as-scenario > journeys/tests/recorded.yaml
    """
    if as_scenario and (verify or as_json):
        raise click.UsageError("--as-scenario stands alone.")
    settings = Settings.from_environment(project_dir=project_dir)
    policy, _ = load_policy(settings.project_dir / "config" / "winback.yaml")
    rules = policy.shop
    wrong: list[str] | None = None
    with shop(settings) as (database, clock):
        book = bootstrap.journeys(settings, database).book()
        with database.connection() as connection:
            try:
                found = explain(connection, shopper, rules.country)
            except Nobody:
                gone = was_erased(connection, settings.secret, shopper, rules.country)
                if gone is None:
                    raise
                raise WasErased(shopper, gone) from None
            if verify and found.whole_since is None:
                past = Past(connection, book.current)
                wrong = differences(found, past, rules.currency, rules.timezone)
        now = clock.now()
    if only is not None and only not in {s.run.journey for s in found.stories} | set(book.current):
        raise click.UsageError(f"There is no journey '{only}'.")
    stories = [s for s in found.stories if only in (None, s.run.journey)]
    if as_scenario:
        if found.whole_since is not None:
            click.echo(f"Not the whole story: {_log_gone(found.whole_since)}.", err=True)
        click.echo(
            scenario_text(
                found.profile,
                [logged.event for logged in found.log],
                [message for story in stories for message in story.messages],
                [story.run for story in stories],
                until=now,
                consents=found.consents,
                journeys=[journey for journey in found.versions.values() if journey],
                timezone=rules.timezone,
            ),
            nl=False,
        )
        return 0
    answers = [one for one in why_not(found, book) if only in (None, one.journey)]
    where = whereabouts(found.profile.traits, rules.timezone)
    if as_json:
        print_json(_document(found, stories, answers, wrong, where))
    else:
        _print(found, stories, answers, book, where)
        if found.whole_since is not None and verify:
            click.echo(f"\nNot replayed: {_log_gone(found.whole_since)}.")
        if wrong is not None:
            _print_verdict(found, wrong)
    return FINDINGS if wrong else 0


def _log_gone(since: datetime) -> str:
    return f"the log before {since:%F %H:%M %Z} is gone (`retention` in config/winback.yaml)"


def _not_taken(found: Explanation) -> list[tuple[str, str]]:
    """What the shopper gave as an address and is none: its kind, and why."""
    told = [(kind, found.profile.traits.get(f"refused_{kind}")) for kind in ("email", "phone")]
    return [(kind, str(one.get("because"))) for kind, one in told if isinstance(one, dict)]


def _document(
    found: Explanation,
    stories: list[Story],
    answers: list[WhyNot],
    wrong: list[str] | None,
    where: Whereabouts,
) -> dict[str, Any]:
    return {
        "profile": found.profile.id,
        "identifiers": found.names,
        "clocks": {"zones": [zone.key for zone in where.zones], "by": where.by},
        "consents": [msgspec.to_builtins(consent) for consent in found.consents],
        "consent_log": [
            {k: v for k, v in line._asdict().items() if k not in ("profile", "identifier")}
            for line in found.proof
        ],
        "not_taken": [{"kind": kind, "because": why} for kind, why in _not_taken(found)],
        "suppressed": [{"channel": c, "reason": r} for c, r in found.blocks],
        "runs": [
            {
                **msgspec.to_builtins(story.run),
                "trace": [asdict(line) for line in story.lines],
                "messages": [
                    {
                        **msgspec.to_builtins(message),
                        "basis": found.bases.get(message.id, ""),
                        "receipts": [
                            {"at": e.time, "name": e.name, "by": e.context.get(REPORTER)}
                            for e in found.receipts(message.id)
                        ],
                        "attempts": [a._asdict() for a in found.attempts.get(message.id, ())],
                        "refusals": [
                            {"at": r.at, "code": r.code, "waits": r.waits}
                            for r in found.refusals.get(message.id, ())
                        ],
                    }
                    for message in story.messages
                ],
            }
            for story in stories
        ],
        "why_not": [answer._asdict() for answer in answers],
        "differences": wrong,
        "log_whole_since": found.whole_since,
    }


def _print(
    found: Explanation,
    stories: list[Story],
    answers: list[WhyNot],
    book: JourneyBook,
    where: Whereabouts,
) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    profile = found.profile
    console.print(Text(f"Profile {profile.id}", "bold") + Text(f"  {', '.join(found.names)}"))
    console.print(f"  {len(found.log):,} events, {profile.orders:,} orders")
    if found.whole_since is not None:
        console.print(Text(f"  {_log_gone(found.whole_since)}", "yellow"))
    console.print(f"  clocks: {where.words}")
    print_consent(console, found)
    for kind, why in _not_taken(found):
        console.print(Text(f"  {kind} not taken: {why}", "yellow"))
    for channel, reason in found.blocks:
        console.print(Text(f"  blocked on {channel}: {reason}", "red"))
    for story in stories:
        console.print()
        _print_story(console, found, story)
    if answers:
        console.print(Text("\nWhy not", "bold"))
    for answer in answers:
        console.print(f"  {answer.journey}: {answer.because}")
    if not stories and not answers and not book.current:
        console.print("No journey is in force.")


def _print_story(console: Console, found: Explanation, story: Story) -> None:
    run = story.run
    head = Text(run.journey, "bold")
    head.append(f" {run.key}" if run.key else "")
    head.append(f"  {run.status}", _STYLES[run.status])
    head.append(f": {run.reason}" if run.reason else "")
    head.append(", goal reached" if run.goal else "")
    head.append(", held out: gets nothing on purpose" if run.held_out else "")
    if run.wake_at is not None:
        word = "until" if run.failing_since is None else "tried again at"
        head.append(f", {word} {run.wake_at:%Y-%m-%d %H:%M:%S}")
    console.print(head)
    said: dict[str, list[Message]] = {message.step: [] for message in story.messages}
    for message in story.messages:
        said[message.step].append(message)
    for line in story.lines:
        place = f"{run.journey}.yaml:{line.file_line}" if line.file_line else line.version
        text = Text(f"  {line.at:%Y-%m-%d %H:%M:%S}  ")
        text.append(f"{place}  {line.path}  ", "dim")
        text.append(line.verdict, "bold")
        text.append(f"  {line.why}" if line.why else "")
        console.print(text)
        if line.verdict == "sends":
            for message in said.get(line.path, [])[:1]:
                _print_message(console, found, message)
                said[line.path].pop(0)


def _print_message(console: Console, found: Explanation, message: Message) -> None:
    fate = f"{message.status}{': ' + message.reason if message.reason else ''}"
    if message.status == "due":
        fate += f", from {message.due_at:%Y-%m-%d %H:%M} on"
    basis = f", on {found.bases[message.id]}" if message.id in found.bases else ""
    console.print(f"      {message.channel} {message.template} ({message.topic}{basis}) {fate}")
    for refusal in found.refusals.get(message.id, ()):
        what = "waits" if refusal.waits else "given up"
        why = f"{meaning(refusal.code)} [{refusal.code}]"
        console.print(f"      {refusal.at:%Y-%m-%d %H:%M:%S}  {what}: {why}")
    for attempt in found.attempts.get(message.id, ()):
        outcome = attempt.outcome or "no answer yet"
        detail = f" ({attempt.detail})" if attempt.detail else ""
        by = f" by {attempt.provider}" if attempt.provider else ""
        console.print(f"      {attempt.handed_at:%Y-%m-%d %H:%M:%S}  {outcome}{by}{detail}")
    for receipt in found.receipts(message.id):
        console.print(f"      {receipt.time:%Y-%m-%d %H:%M:%S}  {receipt.name}")


def _print_verdict(found: Explanation, wrong: list[str]) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not wrong:
        runs = len(found.stories) - len(found.failed)
        words = f"\nReplayed {len(found.log):,} events: the same {runs:,} runs, to the letter."
        if found.failed:
            words += f" {len(found.failed):,} more were struck by a fault and are not compared."
        console.print(Text(words, "green"))
        return
    console.print(Text(f"\n{len(wrong):,} differences; the first: {wrong[0]}", "red"))
