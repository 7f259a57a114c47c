"""The stops of runs: by an event that comes, or by one that was there first (P3, P6).

A rule that raises leaves open whether the purchase was the one that ends the run, and then nothing
more may go: the run is stopped in doubt, without a goal, unless another rule stops it for certain.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from engine.core import guard
from engine.core.advance import stop
from engine.core.book import JourneyBook
from engine.core.conditions import holds
from engine.core.facts_view import Facts, Properties
from engine.core.shopper import Shopper
from engine.model.enrollment import IN_DOUBT, Enrollment
from engine.model.event import Event
from engine.model.journey import WITHOUT, Journey, Stop, WaitFor


def look_back(book: JourneyBook, shopper: Shopper) -> None:
    """Stop the runs whose stops lie in the history."""
    for run in list(shopper.live.values()):
        journey = book.of(run.journey, run.version)
        if journey is not None:
            stopped_by_history(book, journey, run, shopper)


def stopped(
    book: JourneyBook, journey: Journey, run: Enrollment, shopper: Shopper, event: Event
) -> bool:
    """Whether ``event`` ends ``run``."""
    if not _is_after(event, run):
        return False
    found = _matching_stop(book, journey, run, shopper, event.name, event, event.time)
    if found is None:
        return False
    rule, doubt = found
    why = event.name if rule.condition is None else f"{event.name}: {rule.condition.source}"
    if doubt:
        why = f"{IN_DOUBT}{why} ({doubt})"
    _end(shopper, run, rule, why, event.id, event.time, goal=rule.goal and not doubt)
    return True


def stop_in_doubt(
    journey: Journey, run: Enrollment, shopper: Shopper, event: Event, error: Exception
) -> None:
    """``error`` was raised before anybody could say whether ``event`` stops ``run``."""
    why = guard.doubt(shopper, journey, run.at or "", run.id, error, event.time)
    latest = shopper.live.get(run.id)
    rule = next((rule for rule in journey.stops if rule.event == event.name), None)
    if latest is not None and rule is not None and _is_after(event, latest):
        why = f"{IN_DOUBT}{event.name} ({why})"
        _end(shopper, latest, rule, why, event.id, event.time, goal=False)


def _is_after(event: Event, run: Enrollment) -> bool:
    time, begun = event.time, run.entered_at
    return time > begun or (time == begun and event.id > run.event_id)


def _end(
    shopper: Shopper, run: Enrollment, rule: Stop, why: str, event: str, at: datetime, goal: bool
) -> None:
    # Who is stopped before the journey took them cannot have reached its goal.
    keep(shopper, stop(run, shopper.outcome, rule.path, why, event, at, goal and run.at != WITHOUT))


def stopped_by_history(
    book: JourneyBook, journey: Journey, run: Enrollment, shopper: Shopper
) -> bool:
    """Whether a stop event lies after the run's start already: it was worked before the trigger
    came, or under another identity (P6)."""
    entered = (run.entered_at, run.event_id)
    pasts = [
        (past, name)
        for name in {s.event for s in journey.stops}
        for past in shopper.history.after(name, entered)
    ]
    for past, name in sorted(pasts, key=lambda found: found[0][:2]):
        found = _matching_stop(book, journey, run, shopper, name, past.named(name), past.time)
        if found is not None:
            rule, doubt = found
            why = f"{name} was there first"
            if doubt:
                why = f"{IN_DOUBT}{why} ({doubt})"
            step = journey.steps.get(WITHOUT) if run.at == WITHOUT else None
            if isinstance(step, WaitFor) and run.wake_at is not None and past.time > run.wake_at:
                # By then it had begun in earnest.
                run = msgspec.structs.replace(run, at=step.otherwise)
                shopper.outcome.qualified.add(run.id)
            _end(shopper, run, rule, why, past.id, past.time, goal=rule.goal and not doubt)
            return True
    return False


def _matching_stop(
    book: JourneyBook,
    journey: Journey,
    run: Enrollment,
    shopper: Shopper,
    name: str,
    properties: Properties,
    time: datetime,
) -> tuple[Stop, str] | None:
    """The rule by which the event stops ``run``. A rule that raises does too if no other does; the
    text then says what it raised."""
    facts: Facts | None = None
    doubtful: tuple[Stop, str] | None = None
    for rule in journey.stops:
        if rule.event != name:
            continue
        if rule.condition is None:
            return rule, ""
        if facts is None:
            trigger = shopper.triggers.get(run.event_id, {})
            facts = Facts(shopper, book.currency, time, run.key, properties, trigger)
        try:
            held, why = holds(rule.condition, facts)
        except Exception as error:
            doubtful = rule, guard.doubt(shopper, journey, rule.path, run.id, error, time)
            continue
        if held:
            return rule, ""
        if why:
            shopper.outcome.mark(run.id, rule.path, "cannot say", why, time)
    return doubtful


def keep(shopper: Shopper, run: Enrollment) -> None:
    """Note the new state of ``run`` in the shopper and in what will be written."""
    id, live = run.id, shopper.live
    shopper.outcome.enrollments[id] = run
    if run.live:
        live[id] = run
    else:
        live.pop(id, None)
    journey, key = run.journey, run.key
    known = shopper.runs.get((journey, key))
    if known is None:
        return
    # A late trigger may have begun a run that is older than the last one.
    if run.entered_at > known.started_at:
        known.started_at = run.entered_at
    known.active = run.live and run.status == "active"
    if not known.active:
        for other in live.values():
            if other.status == "active" and other.key == key and other.journey == journey:
                known.active = True
                break
