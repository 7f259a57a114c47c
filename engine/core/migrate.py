"""Where a run stands in the edited version of its journey: decided run by run, purely.

``winback plan`` counts these decisions and ``winback apply`` carries them out, so what the plan
said is what happens; a replay of one shopper takes them again from the same inputs (P8).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from engine.model.enrollment import Enrollment
from engine.model.journey import AnyStep, Journey, Stop, Wait, WaitFor, WaitUntil

Rule = Literal["finish", "move", "leave"]

#: finishes     goes on, on the version it is on
#: keeps        moved, with the timer it has
#: sooner       moved; the wait became shorter, but is not over
#: goes on      moved; the wait is over, so it goes on at once
#: stands still moved; its timer stood still before and does so still
#: leaves       ended here
#: stops        ended by an event of the past that the new version stops for
Action = Literal["finishes", "keeps", "sooner", "goes on", "stands still", "leaves", "stops"]
ACTIONS: tuple[Action, ...] = (
    *("finishes", "keeps", "sooner", "goes on", "stands still", "leaves", "stops"),
)

_MOVED = re.compile(r"from (\S+) to (\S+): ")


class Fate(NamedTuple):
    """What becomes of one run. ``at``, ``wake_at`` and ``waiting_for`` are where it then stands,
    for all but ``finishes`` and ``leaves``, whose ``why`` says what to tell."""

    action: Action
    at: str | None = None
    wake_at: datetime | None = None
    waiting_for: str = ""
    why: str = ""


def fate(
    old: Journey | None,
    new: Journey | None,
    rule: Rule,
    run: Enrollment,
    since: datetime | None,
    now: datetime,
) -> Fate:
    """What becomes of an active ``run`` of ``old`` when ``new`` goes live at ``now``.

    ``old``    None: its version can no longer be read, so nobody can tell where it stands.
    ``new``    None: the journey is removed; there is nothing to move to, so ``move`` is ``leave``.
    ``since``  when the run began to wait where it waits; None where its trace does not say.
    """
    if rule == "finish":
        return Fate("finishes")
    if rule == "leave":
        return Fate("leaves", why="the journey was edited" if new else "the journey was removed")
    if new is None:
        return Fate("leaves", why="the journey was removed")
    if old is None:
        return Fate("finishes", why="its version can no longer be read")
    if run.at is None:
        return Fate("finishes", why="it stands at no step")
    at = counterpart(old, new, run.at)
    if at is None:
        return Fate("leaves", why=f"its step is gone ({step_label(old, run.at)})")
    step = new.steps[at]
    event = step.event if isinstance(step, WaitFor) else ""
    if run.wake_at is None:
        return Fate("stands still", at, None, event, "its timer stands still")
    wake_at = _wake_at(old.steps[run.at], step, run.wake_at, since, now)
    if wake_at == run.wake_at:
        return Fate("keeps", at, wake_at, event, "keeps its timer")
    if wake_at <= now:
        return Fate("goes on", at, wake_at, event, "the wait is over")
    return Fate("sooner", at, wake_at, event, "the wait became shorter")


def _wake_at(
    before: AnyStep, after: AnyStep, wake_at: datetime, since: datetime | None, now: datetime
) -> datetime:
    """The timer in the new version: never later than it was. One that thereby lies in the past is
    now, so that nothing counts as overdue (P9) for having been edited. A wait until a local time
    or a date keeps the timer it has."""
    began = since
    if began is None:
        length = _length(before)
        began = None if length is None else wake_at - length
    length = _length(after)
    if began is None or length is None or wake_at <= now:
        return wake_at
    return min(wake_at, max(began + length, now))


def _length(step: AnyStep) -> timedelta | None:
    if isinstance(step, Wait):
        return step.duration
    return step.at_most if isinstance(step, WaitFor) else None


def counterpart(old: Journey, new: Journey, at: str) -> str | None:
    """The path in ``new`` of the step at path ``at`` of ``old``: the step of the same name and
    kind; where no name tells, the step at the same path if it is of the same kind and not
    known to be another one. None: gone."""
    before = old.steps.get(at)
    if before is None:
        return None
    kind = _kind(before)
    name = name_of(old, at)
    if name and name in new.names:
        there = new.names[name]
        return there if _kind(new.steps[there]) is kind else None
    after = new.steps.get(at)
    if after is None or _kind(after) is not kind:
        return None
    its_name = name_of(new, at)
    return None if its_name and its_name in old.names else at


def _kind(step: AnyStep) -> type:
    """Both kinds of ``wait:`` are one to whoever writes it."""
    return Wait if isinstance(step, WaitUntil) else type(step)


def name_of(journey: Journey, at: str) -> str:
    """The name that the step at path ``at`` was given, "" without."""
    return next((name for name, path in journey.names.items() if path == at), "")


def step_label(journey: Journey, at: str) -> str:
    """A step in a person's words: its number at each level, from 1, and its name."""
    name = name_of(journey, at)
    parts = [part for part in at.split("/") if part.isdigit() or part in ("then", "else")]
    numbers = ".".join(str(int(part) + 1) if part.isdigit() else part for part in parts)
    where = f"step {numbers}" if numbers else f"'{at}'"
    return f"{where} ({name})" if name else where


def added_stops(old: Journey, new: Journey) -> tuple[Stop, ...]:
    """Stops of ``new`` that ``old`` did not have: an event of the past may match them."""
    known = {(stop.event, stop.condition.source if stop.condition else "") for stop in old.stops}
    return tuple(
        stop
        for stop in new.stops
        if (stop.event, stop.condition.source if stop.condition else "") not in known
    )


def moved_words(old: str, new: str, why: str) -> str:
    """What the trace says of a run that was moved between two versions."""
    return f"from {old} to {new}: {why}"


def moved_between(words: str) -> tuple[str, str] | None:
    """The two versions in what ``moved_words`` wrote."""
    found = _MOVED.match(words)
    return (found[1], found[2]) if found else None
