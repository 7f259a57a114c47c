"""A shopper's batch: events and timers, in the order of their own time.

An event meets, in this order: the timers that fell due before it, the stops, the waits for it,
the triggers. An event at the very moment of a timer comes first, so an order at the end of a
wait is in time. What a trigger's ``without`` waits for comes even before the stops: who did it
after all never was in the journey, and reached no goal.

Each run and each entry stands for itself: what one of them raises hurts no other (P10), see
``engine.core.guard``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from engine.core import guard
from engine.core.advance import walk
from engine.core.book import JourneyBook
from engine.core.conditions import holds
from engine.core.consent import consents_of
from engine.core.decision import Jumped
from engine.core.entries import Entry, entries, in_season
from engine.core.facts_view import Facts, Properties
from engine.core.ids import derive, percentile
from engine.core.profiles import absorb
from engine.core.shopper import Past, Run, Shopper
from engine.core.stops import keep, look_back, stop_in_doubt, stopped, stopped_by_history
from engine.core.timing import step_time
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import WITHOUT, Journey, Wait, WaitFor, WaitUntil

_ZERO = timedelta(0)
_TICK = timedelta(microseconds=1)

#: Journeys may jump to each other in a circle. So many jumps may follow from one stimulus.
LONGEST_WAY = 10


def on_event(
    book: JourneyBook,
    shopper: Shopper,
    event: Event,
    now: datetime | None,
    starts: list[Entry] | None = None,
) -> None:
    """Work ``event`` into ``shopper``. ``now`` is the clock's time: it tells how late the
    timers are that fell due before the event (None: they are fired on time, as in a
    simulation); the event itself is judged by its own time.
    ``starts``: what ``entries`` found, where that was asked already."""
    # At the same time too: of two such events the id decides, and either may come in first.
    name, time = event.name, event.time
    seen = shopper.profile.last_seen
    late_event = seen is not None and time <= seen
    for run in shopper.live.values():
        if run.wake_at is not None and run.wake_at < time:
            on_timers(book, shopper, time, now)
            break

    shopper.profile = absorb(shopper.profile, event)
    shopper.profile_changed = True
    if name in book.remembered:
        shopper.history.add(name, Past(time, event.id, event.properties))
    shopper.outcome.consents.extend(consents_of(event))

    if shopper.live and (name in book.stop_names or name in book.wait_names):
        for run in list(shopper.live.values()):
            journey = book.of(run.journey, run.version)
            if journey is not None:
                _meets(book, journey, run, shopper, event)
    found = entries(book, event) if starts is None else starts
    if found:
        facts = Facts(shopper, book.currency, time, "", event, event)
        for entry in found:
            try:
                _enter(book, entry, shopper, event, facts, late_event)
            except Exception as error:
                guard.note(shopper, entry.journey, "trigger", "", error, time)


def on_timers(book: JourneyBook, shopper: Shopper, before: datetime, now: datetime | None) -> None:
    """Fire the timers of ``shopper`` that fell due strictly before ``before``, oldest first.

    ``now`` is the clock's time, by which they are late; None: each is fired on time, and the
    one after which an emitted event must be worked is the last.
    """
    while now is not None or not shopper.outcome.emitted:
        due = [r for r in shopper.live.values() if r.wake_at is not None and r.wake_at < before]
        if not due:
            return
        run = due[0] if len(due) == 1 else min(due, key=lambda r: (r.wake_at, r.id))
        journey = book.of(run.journey, run.version)
        if journey is None or run.at is None or run.wake_at is None:
            # Nobody has kept this version: leave the run where it is, seen and unharmed.
            keep(shopper, msgspec.structs.replace(run, wake_at=None, reason="version is gone"))
            continue
        moment = run.wake_at if now is None else step_time(run.wake_at, now)
        late = (now or moment) - (run.failing_since or run.wake_at)
        try:
            at = _after_wait(journey, run, shopper, moment)
        except Exception as error:
            keep(shopper, guard.failing(shopper, journey, run, run.at, error, moment, late))
            continue
        facts = _run_facts(book, shopper, run, moment)
        _go_on(book, journey, run, at, shopper, facts, moment, late)


def _after_wait(journey: Journey, run: Enrollment, shopper: Shopper, now: datetime) -> str | None:
    """Where a run goes on whose timer has run out."""
    assert run.at is not None
    if run.failing_since is not None:
        return run.at  # it did not get past it
    step = journey.steps[run.at]
    if isinstance(step, WaitFor):
        shopper.outcome.mark(run.id, run.at, "time ran out", step.event, now)
        if run.at == WITHOUT:
            shopper.outcome.qualified.add(run.id)
        return step.otherwise or step.next
    if isinstance(step, Wait | WaitUntil):
        return step.next
    raise ValueError(f"run {run.id} waits at {run.at}, which is no wait")


def after_merge(book: JourneyBook, shopper: Shopper) -> None:
    """Two profiles became this one: what one of them bought stops the runs of the other (P3), and
    is what a ``without`` of theirs waits for."""
    for run in list(shopper.live.values()):
        journey = book.of(run.journey, run.version)
        if journey is not None and run.at == WITHOUT:
            _catch_up(book, journey, run.id, shopper)
    look_back(book, shopper)


def _meets(
    book: JourneyBook, journey: Journey, run: Enrollment, shopper: Shopper, event: Event
) -> None:
    """``event`` may stop ``run``, or be what it waits for."""
    try:
        if run.at == WITHOUT and _resumed(book, journey, run, shopper, event):
            return
        if not stopped(book, journey, run, shopper, event):
            _resumed(book, journey, run, shopper, event)
    except Exception as error:
        stop_in_doubt(journey, run, shopper, event, error)


def _go_on(
    book: JourneyBook,
    journey: Journey,
    run: Enrollment,
    at: str | None,
    shopper: Shopper,
    facts: Facts,
    now: datetime,
    late: timedelta = _ZERO,
) -> None:
    """Walk on from ``at``, and along where that jumps."""
    _walk(book, journey, run, at, shopper, facts, now, late)
    _follow(book, shopper, now)


def _follow(book: JourneyBook, shopper: Shopper, now: datetime) -> None:
    jumps = shopper.outcome.jumps
    way = 0
    while jumps:
        jump = jumps.pop()
        way += 1
        if way > LONGEST_WAY:
            _does_not_start(shopper, jump, f"{LONGEST_WAY} jumps go round in a circle", now)
        else:
            _land(book, jump, shopper, now)


def _walk(
    book: JourneyBook,
    journey: Journey,
    run: Enrollment,
    at: str | None,
    shopper: Shopper,
    facts: Facts,
    now: datetime,
    late: timedelta = _ZERO,
) -> None:
    was = guard.before(shopper, run)
    ready = run
    if run.failing_since is not None:
        ready = msgspec.structs.replace(run, failing_since=None, reason="")
    try:
        keep(shopper, walk(book, journey, ready, at, shopper, facts, now, late))
    except Exception as error:
        guard.take_back(shopper, run, was)
        facts.profile_changed()
        keep(shopper, guard.failing(shopper, journey, run, at, error, now, late))


def _land(book: JourneyBook, jump: Jumped, shopper: Shopper, now: datetime) -> None:
    """Begin the run of another journey that a jump leads to. It is about the same trigger event
    and key, but begins now: what happened until now, the other run has seen."""
    left, journey = jump.run, book.current.get(jump.journey)
    if journey is None:
        return _does_not_start(shopper, jump, "there is no such journey", now)
    last = shopper.runs.get((journey.name, left.key))
    if not in_season(journey, now):
        return _does_not_start(shopper, jump, "it is not in season", now)
    if not _may_enter(journey, last, now):
        return _does_not_start(shopper, jump, f"again: {journey.trigger.again.rule}", now)
    run = _new_run(journey, shopper, left.key, left.event_id, now + _TICK, left.id)
    shopper.outcome.mark(run.id, "trigger", "arrives", f"from {left.journey}", now)
    facts = _run_facts(book, shopper, run, now)
    _begin(book, journey, run, shopper, facts, now, look_back=True)


def _does_not_start(shopper: Shopper, jump: Jumped, why: str, now: datetime) -> None:
    run = jump.run
    shopper.outcome.mark(run.id, run.at or "", "does not start", f"{jump.journey}: {why}", now)


def _run_facts(book: JourneyBook, shopper: Shopper, run: Enrollment, now: datetime) -> Facts:
    trigger = shopper.triggers.get(run.event_id, {})
    return Facts(shopper, book.currency, now, run.key, trigger, trigger)


def _resumed(
    book: JourneyBook, journey: Journey, run: Enrollment, shopper: Shopper, event: Event
) -> bool:
    """Whether ``run`` waited for the event and has gone on."""
    if run.waiting_for != event.name or run.at is None or run.wake_at is None:
        return False
    step = journey.steps[run.at]
    if not isinstance(step, WaitFor) or event.time < run.wake_at - step.at_most:
        return False
    return _came(book, journey, run, step, shopper, event, event.time)


def _came(
    book: JourneyBook,
    journey: Journey,
    run: Enrollment,
    step: WaitFor,
    shopper: Shopper,
    properties: Properties,
    time: datetime,
) -> bool:
    """Whether the event is what ``run`` waits for; then the run has gone on."""
    if step.condition is not None:
        trigger = shopper.triggers.get(run.event_id, {})
        facts = Facts(shopper, book.currency, time, run.key, properties, trigger)
        try:
            held, why = holds(step.condition, facts)
        except Exception as error:
            guard.doubt(shopper, journey, step.condition.path, run.id, error, time)
            held, why = run.at == WITHOUT, ""
        if not held:
            if why:
                shopper.outcome.mark(run.id, step.path, "cannot say", why, time)
            return False
    shopper.outcome.mark(run.id, step.path, "came", step.event, time)
    facts = _run_facts(book, shopper, run, time)
    _go_on(book, journey, run, step.then or step.next, shopper, facts, time)
    return True


def _catch_up(book: JourneyBook, journey: Journey, run_id: str, shopper: Shopper) -> None:
    """What a run waits for may lie in the history: it was worked before the trigger came (P6)."""
    while True:
        run = shopper.live.get(run_id)
        if run is None or not run.waiting_for or run.at is None or run.wake_at is None:
            return
        step = journey.steps[run.at]
        assert isinstance(step, WaitFor)
        begun = (run.wake_at - step.at_most, run.event_id)
        pasts = [p for p in shopper.history.after(step.event, begun) if p.time <= run.wake_at]
        if not any(
            _came(book, journey, run, step, shopper, past.named(step.event), past.time)
            for past in pasts
        ):
            return


def _enter(
    book: JourneyBook, entry: Entry, shopper: Shopper, event: Event, facts: Facts, late_event: bool
) -> None:
    journey, key, decided, fault = entry
    if fault is not None:
        guard.note(shopper, journey, "trigger/key", "", fault, event.time)
        return
    last = shopper.runs.get((journey.name, key))
    if not _may_enter(journey, last, event.time):
        return
    facts["key"] = key
    condition = journey.trigger.condition
    if not decided and condition is not None:
        try:
            held, _ = holds(condition, facts)
        except Exception as error:
            guard.note(shopper, journey, "trigger/if", "", error, event.time)
            return
        if not held:
            return
    run = _new_run(journey, shopper, key, event.id, event.time)
    shopper.outcome.mark(run.id, "trigger", "enters", event.name, event.time)
    shopper.triggers[event.id] = {"event_name": event.name, **event.properties}
    _begin(book, journey, run, shopper, facts, event.time, look_back=late_event)
    _follow(book, shopper, event.time)
    if late_event and journey.start != WITHOUT:
        _catch_up(book, journey, run.id, shopper)


def _begin(
    book: JourneyBook,
    journey: Journey,
    run: Enrollment,
    shopper: Shopper,
    facts: Facts,
    now: datetime,
    look_back: bool,
) -> None:
    """Let a new run begin, unless what would have ended it lies in the history (``look_back``)."""
    waits_first = journey.start == WITHOUT
    if look_back and not waits_first and stopped_by_history(book, journey, run, shopper):
        return
    _walk(book, journey, run, journey.start, shopper, facts, now)
    if look_back and waits_first:
        _catch_up(book, journey, run.id, shopper)
        if waiting := shopper.live.get(run.id):
            stopped_by_history(book, journey, waiting, shopper)


def _new_run(
    journey: Journey, shopper: Shopper, key: str, event_id: str, begins: datetime, *after: str
) -> Enrollment:
    """A run at its start, noted in the shopper. ``after``: the run that it goes on from."""
    profile = shopper.profile
    run = Enrollment(
        derive(journey.name, profile.id, key, event_id, *after),
        journey.name,
        journey.version,
        profile.id,
        key,
        bucket=profile.id,
        event_id=event_id,
        entered_at=begins,
        held_out=bool(journey.holdout)
        and percentile("holdout", journey.name, profile.id) < journey.holdout,
    )
    place = journey.name, key
    last = shopper.runs.get(place)
    shopper.outcome.entered.add(run.id)
    started = begins if last is None else max(last.started_at, begins)
    shopper.runs[place] = Run(started, True)
    return run


def _may_enter(journey: Journey, last: Run | None, at: datetime) -> bool:
    again = journey.trigger.again
    if last is None:
        return True
    if last.active or again.rule == "never":
        return False
    return again.rule == "always" or at - last.started_at > again.after
