"""What ``winback plan`` and ``winback apply`` share: reading the project and showing a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from rich.console import Console
from rich.text import Text

from engine import bootstrap
from engine.cli._database import answering
from engine.clock import Clock, from_environment
from engine.core.migrate import Action, Rule
from engine.language import load_journeys, load_policy
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Policy
from engine.runtime.plan import Group, JourneyPlan, Plan, Wanted
from engine.runtime.pools import Shortage
from engine.settings import Settings
from engine.store.database import Database, migrate

RULES: tuple[Rule, ...] = ("finish", "move", "leave")

_IN_FLIGHT = click.option(
    "--in-flight",
    "rule",
    type=click.Choice(RULES),
    help="What happens to shoppers in flight, whatever the journeys say under `on change`.",
)
_ALLOW = click.option(
    "--allow",
    type=click.IntRange(min=0),
    metavar="N",
    help="Messages more in the first day that are fine. Default: `blast radius` of the config.",
)

Command = TypeVar("Command", bound=Callable[..., object])


def planned(command: Command) -> Command:
    """The options of a command that draws a plan: ``rule`` and ``allow``."""
    return _IN_FLIGHT(_ALLOW(command))


#: One run, several runs, of each fate.
_FATES: dict[Action, tuple[str, str]] = {
    "finishes": ("finishes on this version", "finish on this version"),
    "keeps": ("moves and keeps its timer", "move and keep their timer"),
    "sooner": (
        "moves and waits less (the wait became shorter)",
        "move and wait less (the wait became shorter)",
    ),
    "goes on": ("moves on at once (the wait is over)", "move on at once (the wait is over)"),
    "stands still": ("moves, its timer still stopped", "move, their timers still stopped"),
    "stops": (
        "stops (a stop was added that has happened already)",
        "stop (a stop was added that has happened already)",
    ),
    "leaves": ("leaves", "leave"),
}
_LEAVING = {
    "move": (" (its step is gone)", " (their step is gone)"),
    "leave": (" (on change: leave)",) * 2,
}
_STYLES = {"new": "green", "changed": "yellow", "removed": "red", "unchanged": "dim"}


class Project(NamedTuple):
    """A project's journeys as wanted, its rules, and what is wrong with its files."""

    wanted: Wanted
    policy: Policy
    errors: list[Diagnostic]


def read_project(directory: Path, rule: Rule | None) -> Project:
    """The journeys of the files, the rule for those in flight overridden by ``rule``."""
    policy, findings = load_policy(directory / "config" / "winback.yaml")
    found = load_journeys(directory / "journeys", policy=policy, templates=directory / "templates")
    findings = [*findings, *found.diagnostics]
    errors = [finding for finding in findings if finding.severity == "error"]
    broken = {Path(error.file).stem for error in errors} - found.journeys.keys()
    return Project(Wanted(found.journeys, frozenset(broken), rule), policy, errors)


@contextmanager
def shop(settings: Settings) -> Iterator[tuple[Database, Clock]]:
    """The shop's database, its schema up to date, and its clock."""
    with answering(settings) as found:
        assert found.database_url is not None
        migrate(found.database_url)
        with bootstrap.database(found, connections=2) as database:
            yield database, from_environment(found.clock)


def as_document(
    plan: Plan, allowed: int, errors: list[Diagnostic], short: Sequence[Shortage] = ()
) -> dict[str, Any]:
    """The plan for a program."""
    base = plan.base
    return {
        "live": None
        if base is None
        else {"set": base.id, "since": base.applied_at, "by": base.applied_by},
        "journeys": [
            {
                "journey": j.name,
                "change": j.change,
                "from": j.live,
                "to": j.wanted,
                "on_change": j.rule,
                "diff": j.diff,
                "in_flight": [asdict(group) for group in j.in_flight],
            }
            for j in plan.journeys
        ],
        "first_day": {
            "messages": plan.messages,
            "allowed": allowed,
            "parts": [asdict(part) for part in plan.parts],
        },
        "coupons": [asdict(shortage) for shortage in short],
        "errors": [asdict(error) for error in errors],
    }


def print_shortages(short: Iterable[Shortage]) -> None:
    """Pools of coupons that these journeys may find empty."""
    console = Console(highlight=False, soft_wrap=True)
    for one in short:
        names = ", ".join(one.journeys)
        there = f"has {one.left:,} codes left" if one.left else "is empty"
        words = f"pool {one.pool} {'does not exist' if one.left is None else there}; {names} may "
        words += f"need up to {one.need:,} in the first day" if one.need else "ask for its codes"
        hint = f"winback import coupons {one.pool} FILE"
        console.print(Text(f"Warning: {words}: {hint}", "yellow"))


def print_plan(plan: Plan, allowed: int) -> None:
    """The plan for a person."""
    console = Console(highlight=False, soft_wrap=True)
    base = plan.base
    if base is None:
        console.print(
            "No journeys are applied: workers follow the files as they are edited, until the "
            "first `winback apply`.\n"
        )
    else:
        when = f"{base.applied_at:%Y-%m-%d %H:%M} UTC"
        console.print(f"Live since {when}, applied by {base.applied_by}.\n", markup=False)
    for journey in plan.journeys:
        if journey.change != "unchanged":
            _print_journey(console, journey, follows_files=base is None)
    same = [j.name for j in plan.journeys if j.change == "unchanged"]
    if same:
        console.print(Text(f"unchanged: {', '.join(same)}", "dim"))
    if plan.empty:
        console.print("Nothing would change.")
        return
    for part in plan.parts:
        people = f"{part.people:,} {part.who}"
        console.print(f"  {part.journey}: {people}, up to {part.messages:,} messages", markup=False)
    style = "bold red" if plan.messages > allowed else "bold"
    words = "This sends no more messages in the first day than would go without it."
    if plan.messages:
        words = (
            f"This may send up to {plan.messages:,} messages more in the first day; allowed are "
            f"{allowed:,}."
        )
    console.print(Text(words, style))


def _print_journey(console: Console, journey: JourneyPlan, *, follows_files: bool) -> None:
    line = Text(f"{journey.change} ", _STYLES[journey.change])
    line.append(journey.name, "bold")
    versions = " → ".join(version for version in (journey.live, journey.wanted) if version)
    line.append(f"  {versions}", "dim")
    console.print(line)
    if not (journey.change == "new" or (journey.change == "removed" and not follows_files)):
        for row in journey.diff.splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(row[:1], "dim")
            console.print(Text(f"    {row}", style))
    for group in journey.in_flight:
        console.print(f"  {group_words(group, journey)}", markup=False)
    console.print()


def group_words(group: Group, journey: JourneyPlan) -> str:
    """``214 waiting at step 2 (reminder): 180 move and keep their timer, 34 leave``."""
    fates = []
    for action, (one, several) in _FATES.items():
        count = group.fates.get(action, 0)
        if not count:
            continue
        words = one if count == 1 else several
        if action == "leaves":
            removed = (" (the journey is removed)",) * 2
            why = _LEAVING[journey.rule] if journey.wanted else removed
            words += why[0 if count == 1 else 1]
        fates.append(f"{count:,} {words}")
    place = f" at {group.step}" if group.step else ""
    told = f"{group.waiting:,} waiting{place} of version {group.version}: {', '.join(fates)}"
    if group.would_stop:
        told += (
            f" ({group.would_stop:,} of them did already what the new version stops for: "
            "`on change: move` would stop them)"
        )
    return told
