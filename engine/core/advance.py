"""One run, moved on by one stimulus.

``walk`` goes from a step to the next until the run must wait or ends. Everything it decides
goes into the Outcome as data: messages to send, audience changes, and a mark in the trace for
every step passed, keyed by the step's path in the YAML.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from engine.core.book import JourneyBook
from engine.core.conditions import ConditionError, holds
from engine.core.coupons import none_left
from engine.core.decision import AudienceChange, Jumped, Outcome, in_words
from engine.core.effects import call, computed, emit, give_offer, plain, say
from engine.core.facts_view import Facts
from engine.core.ids import percentile
from engine.core.moments import MORNING, next_local, read_date, shifted
from engine.core.shopper import Shopper
from engine.core.zones import shopper_zone
from engine.model.enrollment import Enrollment
from engine.model.journey import (
    WITHOUT,
    Arm,
    AudienceStep,
    Branch,
    Emit,
    Exit,
    Journey,
    Jump,
    OfferStep,
    Send,
    Split,
    Update,
    Wait,
    WaitFor,
    WaitUntil,
    Webhook,
)

_ZERO = timedelta(0)


class StepFailed(Exception):
    """The step at ``path`` raised what is the cause of this: a fault of ours, or of what a journey
    computes."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def walk(
    book: JourneyBook,
    journey: Journey,
    run: Enrollment,
    at: str | None,
    shopper: Shopper,
    facts: Facts,
    now: datetime,
    late: timedelta = _ZERO,
) -> Enrollment:
    """Move ``run`` on from step ``at`` until it waits or ends; gives the run as it then stands.

    ``now`` is the logical time of the stimulus; ``late`` how long after its due time a timer
    came, which the steps that send judge by their overdue policy (P9). A jump ends the run, and
    stands in ``outcome.jumps`` for the caller to follow. Raises ``StepFailed``, with what steps
    before it decided still in the Outcome.
    """
    outcome = shopper.outcome
    visits = run.visits
    try:
        while at is not None:
            step = journey.steps[at]
            visits += 1
            if isinstance(step, Wait):
                moment = now + step.duration
                outcome.mark_wait(run.id, at, moment, now)
                return _rest(run, at, moment, "", visits)
            if isinstance(step, WaitFor):
                outcome.mark(run.id, at, "waits", f"for {step.event}", now)
                return _rest(run, at, now + step.at_most, step.event, visits)
            if isinstance(step, WaitUntil):
                until = _moment(book, run, step, shopper, facts, now)
                if until is not None:
                    outcome.mark_wait(run.id, at, until, now)
                    return _rest(run, at, until, "", visits)
                at = step.next
                continue
            if isinstance(step, Exit):
                outcome.mark(run.id, at, "exits", step.reason, now)
                return _finish(journey, run, at, visits, step.reason, now)
            if isinstance(step, Jump):
                return _jump(journey, run, step, visits, outcome, now)
            if isinstance(step, Send):
                if not say(journey, run, step, visits, shopper, now, late, book.timezone):
                    return _none_left(journey, run, step, visits, outcome, now)
                at = step.next
            elif isinstance(step, Branch):
                at = _branch(run, step, facts, outcome, now)
            elif isinstance(step, Split):
                arm = _arm(step, percentile(journey.name, step.path, run.bucket))
                outcome.mark(run.id, at, "splits", arm.name or f"{arm.weight}%", now)
                at = arm.goto or step.next
            elif isinstance(step, Update):
                _update(run, step, shopper, facts, now)
                at = step.next
            elif isinstance(step, OfferStep):
                offered = give_offer(run, step, visits, shopper, now)
                if offered is None:
                    return _none_left(journey, run, step, visits, outcome, now)
                run, at = offered, step.next
            elif isinstance(step, Emit):
                emit(run, step, visits, outcome, facts, now)
                at = step.next
            elif isinstance(step, Webhook):
                call(journey, run, step, visits, shopper, facts, now, late, book.timezone)
                at = step.next
            else:
                run = _audience(run, step, outcome, now)
                at = step.next
    except Exception as error:
        raise StepFailed(at or "") from error
    return _finish(journey, run, None, visits, "finished", now)


def _rest(run: Enrollment, at: str, wake_at: datetime, event: str, visits: int) -> Enrollment:
    return msgspec.structs.replace(run, at=at, wake_at=wake_at, waiting_for=event, visits=visits)


def _finish(
    journey: Journey, run: Enrollment, at: str | None, visits: int, reason: str, now: datetime
) -> Enrollment:
    return msgspec.structs.replace(
        run,
        status="finished",
        at=at,
        wake_at=None,
        waiting_for="",
        visits=visits,
        reason=reason,
        ended_at=now,
        # Nothing can reach the end of a journey without stops, nor who never was in it.
        live=bool(journey.stops) and not (at is not None and at.startswith(WITHOUT)),
    )


def _none_left(
    journey: Journey,
    run: Enrollment,
    step: Send | OfferStep,
    visits: int,
    outcome: Outcome,
    now: datetime,
) -> Enrollment:
    assert step.pool is not None
    why = none_left(step.pool.name)
    outcome.mark(run.id, step.path, "exits", why, now)
    return _finish(journey, run, step.path, visits, why, now)


def stop(
    run: Enrollment, outcome: Outcome, path: str, why: str, event_id: str, at: datetime, goal: bool
) -> Enrollment:
    """End ``run`` where it stands because of event ``event_id``: its waiting messages are
    cancelled and its audience places given back (P3)."""
    outcome.mark(run.id, path, "goal" if goal else "stops", why, at)
    outcome.stopped.add(run.id)
    return msgspec.structs.replace(
        run,
        status="stopped",
        wake_at=None,
        waiting_for="",
        live=False,
        goal=goal,
        reason=why,
        stopped_by=event_id,
        ended_at=at,
        failing_since=None,
    )


def _jump(
    journey: Journey, run: Enrollment, step: Jump, visits: int, outcome: Outcome, now: datetime
) -> Enrollment:
    if run.held_out:
        # Who is left alone on purpose gets nothing of the other journey either.
        outcome.mark(run.id, step.path, "withheld", "holdout", now)
        return _finish(journey, run, step.path, visits, "holdout", now)
    outcome.mark(run.id, step.path, "jumps", f"to {step.journey}", now)
    ended = _finish(journey, run, step.path, visits, f"jumped to {step.journey}", now)
    outcome.jumps.append(Jumped(ended, step.journey))
    return ended


def _moment(
    book: JourneyBook,
    run: Enrollment,
    step: WaitUntil,
    shopper: Shopper,
    facts: Facts,
    now: datetime,
) -> datetime | None:
    """Until when to wait; None: not at all, and the trace says why."""
    zone = shopper_zone(shopper.profile.traits, book.timezone)
    at = step.at or MORNING
    if step.date is None:
        return next_local(at, zone, now, step.weekdays)
    try:
        value = step.date.test(facts)
    except ConditionError as error:
        shopper.outcome.mark(run.id, step.path, "cannot say", str(error), now)
        return None
    found = read_date(value)
    moment = None if found is None else shifted(found, at, step.shift, zone)
    if moment is None:
        why = f"{step.date.source} is not a date"
        shopper.outcome.mark(run.id, step.path, "cannot say", why, now)
    elif moment <= now:
        shopper.outcome.mark(
            run.id, step.path, "goes on", f"{in_words(moment)}, which is over", now
        )
        moment = None
    return moment


def _branch(
    run: Enrollment, step: Branch, facts: Facts, outcome: Outcome, now: datetime
) -> str | None:
    for number, arm in enumerate(step.arms):
        if arm.condition is None:
            outcome.mark(run.id, step.path, "branches", "else", now)
            return arm.goto or step.next
        held, why = holds(arm.condition, facts)
        if held:
            outcome.mark(run.id, f"{step.path}/{number}", "branches", arm.condition.source, now)
            return arm.goto or step.next
        if why:
            outcome.mark(run.id, f"{step.path}/{number}", "cannot say", why, now)
    outcome.mark(run.id, step.path, "branches", "none holds", now)
    return step.next


def _arm(step: Split, place: float) -> Arm:
    share = 0.0
    for arm in step.arms:
        share += arm.weight
        if place < share:
            return arm
    return step.arms[-1]


def _update(run: Enrollment, step: Update, shopper: Shopper, facts: Facts, now: datetime) -> None:
    found = computed(run, step.path, step.changes, facts, shopper.outcome, now)
    changes: dict[str, Any] = plain(found)
    shopper.outcome.mark(run.id, step.path, "updates", ", ".join(changes), now)
    shopper.profile = msgspec.structs.replace(
        shopper.profile, traits={**shopper.profile.traits, **changes}
    )
    shopper.profile_changed = True
    facts.profile_changed()


def _audience(run: Enrollment, step: AudienceStep, outcome: Outcome, now: datetime) -> Enrollment:
    if run.held_out:
        outcome.mark(run.id, step.path, "withheld", "holdout", now)
        return run
    outcome.mark(run.id, step.path, step.action, step.audience, now)
    outcome.audiences.append(
        AudienceChange(step.audience, run.id, run.profile_id, step.action == "add")
    )
    return msgspec.structs.replace(run, on_audience=True) if step.action == "add" else run
