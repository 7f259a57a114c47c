"""What steps do to the world, as data: messages, webhooks, events, offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from engine.core.conditions import ConditionError
from engine.core.coupons import lacks_code, none_left, own_code
from engine.core.decision import Outcome, TooLate
from engine.core.emitted import EMITTED, LONGEST_CHAIN, Emitted, chain_before
from engine.core.facts_view import Facts
from engine.core.gate import WEBHOOKS
from engine.core.ids import derive
from engine.core.moments import next_local
from engine.core.shopper import Shopper
from engine.core.zones import shopper_zone
from engine.model.enrollment import Enrollment
from engine.model.journey import (
    Condition,
    Emit,
    Journey,
    OfferStep,
    Overdue,
    Send,
    Webhook,
)
from engine.model.message import Message


def say(
    journey: Journey,
    run: Enrollment,
    step: Send,
    visits: int,
    shopper: Shopper,
    now: datetime,
    late: timedelta,
    timezone: str,
) -> bool:
    """Send a mail or a text, with what the run was offered, and over it what the step offers.
    False: its pool has no code left, and the run is to exit."""
    due = _due(journey, run, step, visits, shopper, now, late, timezone)
    if due is None:
        return True
    own = own_code(run, step, visits, shopper, now)
    if own is None:
        return False
    outcome = shopper.outcome
    offer = _offered(run, step, own)
    if lacks_code(offer):
        outcome.mark(run.id, step.path, "skips", none_left(offer["pool"]), now)
        return True
    if step.pool is not None:
        outcome.mark(run.id, step.path, "offers", offer["code"], now)
    outcome.mark(run.id, step.path, "sends", step.channel, now)
    outcome.messages.append(
        _message(
            *(journey, run, step, due, now, step.channel, step.template, step.topic, offer),
            *(step.on_unknown, step.when_quiet, step.when_capped),
        )
    )
    return True


def _offered(run: Enrollment, step: Send, own: dict[str, Any]) -> dict[str, Any]:
    """What the run was offered earlier, and over it what the step offers."""
    replaced: set[str] = set()
    if own or "coupon" in step.offer:
        replaced |= {"coupon", "code", "pool", "claim"}
    if "valid" in step.offer:  # the step's own time counts, from when it is sent
        replaced.add("ends_at")
    earlier = {name: value for name, value in run.offer.items() if name not in replaced}
    return {**earlier, **step.offer, **own}


def call(
    journey: Journey,
    run: Enrollment,
    step: Webhook,
    visits: int,
    shopper: Shopper,
    facts: Facts,
    now: datetime,
    late: timedelta,
    timezone: str,
) -> None:
    """Post to the shop's own machine, through outbox and gate like a message."""
    due = _due(journey, run, step, visits, shopper, now, late, timezone)
    if due is not None:
        body = computed(run, step.path, step.body, facts, shopper.outcome, now)
        shopper.outcome.mark(run.id, step.path, "calls", step.url, now)
        shopper.outcome.messages.append(
            _message(
                *(
                    journey,
                    run,
                    step,
                    due,
                    now,
                    "webhook",
                    step.url,
                    WEBHOOKS,
                    {"body": plain(body)},
                )
            )
        )


def _due(
    journey: Journey,
    run: Enrollment,
    step: Send | Webhook,
    visits: int,
    shopper: Shopper,
    now: datetime,
    late: timedelta,
    timezone: str,
) -> tuple[str, datetime] | None:
    """The id of a step's message and from when on it may go; None where it must not."""
    outcome = shopper.outcome
    if run.held_out:
        outcome.mark(run.id, step.path, "withheld", "holdout", now)
        return None
    overdue = step.overdue
    due_at, id = now, derive(run.id, step.path, visits)
    if late > overdue.after and overdue.rule != "send":
        why, waits = f"overdue by {late}", overdue.rule == "next window"
        channel, topic = ("webhook", WEBHOOKS)
        if isinstance(step, Send):
            channel, topic = step.channel, step.topic
        outcome.too_late.append(
            TooLate(id, run.profile_id, now, journey.name, step.path, channel, topic, waits)
        )
        if not waits:
            outcome.mark(run.id, step.path, "skips", why, now)
            return None
        due_at = _next_window(shopper, now, late, timezone)
        outcome.mark(run.id, step.path, "puts off", why, now)
    return id, due_at


def _message(
    journey: Journey,
    run: Enrollment,
    step: Send | Webhook,
    due: tuple[str, datetime],
    now: datetime,
    channel: str,
    template: str,
    topic: str,
    offer: dict[str, Any],
    on_unknown: str = "hold",
    when_quiet: str = "wait",
    when_capped: str = "skip",
) -> Message:
    id, due_at = due
    overdue = step.overdue
    return Message(
        id,
        run.id,
        run.profile_id,
        journey.name,
        journey.version,
        step.path,
        channel,
        template,
        topic,
        run.event_id,
        now,
        due_at,
        _expires(overdue, due_at),
        on_unknown,
        offer,
        priority=journey.priority,
        when_quiet=when_quiet,
        when_capped=when_capped,
        grace=overdue.after if overdue.rule == "next window" else None,
    )


def _expires(overdue: Overdue, due_at: datetime) -> datetime | None:
    return None if overdue.rule == "send" else due_at + overdue.after


def _next_window(shopper: Shopper, now: datetime, late: timedelta, timezone: str) -> datetime:
    zone = shopper_zone(shopper.profile.traits, timezone)
    return next_local((now - late).astimezone(zone).time(), zone, now)


def emit(
    run: Enrollment, step: Emit, visits: int, outcome: Outcome, facts: Facts, now: datetime
) -> None:
    """An event of this shopper, for the inbox."""
    if run.held_out:
        # It could start journeys that send.
        outcome.mark(run.id, step.path, "withheld", "holdout", now)
        return
    before = chain_before(run, now)
    place = before + 1
    if before:
        # A jump takes the event along, to later moments too.
        parent, then, count = outcome.chained
        place += count if (parent, then) == (run.event_id, now) else 0
        outcome.chained = (run.event_id, now, place - before)
    if place > LONGEST_CHAIN:
        why = f"{LONGEST_CHAIN} events have started each other at this moment"
        outcome.mark(run.id, step.path, "does not emit", why, now)
        return
    outcome.mark(run.id, step.path, "emits", step.event, now)
    properties = computed(run, step.path, step.properties, facts, outcome, now)
    id = f"{EMITTED}:{place}:{derive(run.id, step.path, visits)}"
    outcome.emitted.append(Emitted(id, run.profile_id, step.event, now, plain(properties)))


def give_offer(
    run: Enrollment, step: OfferStep, visits: int, shopper: Shopper, now: datetime
) -> Enrollment | None:
    """The run with its offer: the terms, the coupon's ``code`` and when it ``ends_at``. None: its
    pool has no code left, and the run is to exit."""
    outcome = shopper.outcome
    if run.held_out:
        outcome.mark(run.id, step.path, "withheld", "holdout", now)
        return run
    own = own_code(run, step, visits, shopper, now)
    if own is None:
        return None
    offer = plain(step.terms)
    if "coupon" in offer:
        offer["code"] = offer["coupon"]
    offer |= own
    if step.valid is not None:
        offer["ends_at"] = (now + step.valid).isoformat()
    if not lacks_code(offer):
        outcome.mark(run.id, step.path, "offers", str(offer.get("code", "")), now)
    return msgspec.structs.replace(run, offer=offer)


def computed(
    run: Enrollment,
    path: str,
    values: Iterable[tuple[str, Any | Condition]],
    facts: Facts,
    outcome: Outcome,
    now: datetime,
) -> dict[str, Any]:
    """The values by name, computed where they are expressions. What cannot be computed is left
    out, and the trace says why."""
    found: dict[str, Any] = {}
    for name, value in values:
        try:
            found[name] = _value(value, facts)
        except ConditionError as error:
            outcome.mark(run.id, f"{path}/{name}", "cannot say", str(error), now)
    return found


def _value(value: Any, facts: Facts) -> Any:
    if isinstance(value, Condition):
        return value.test(facts)
    if isinstance(value, Mapping):
        return {name: _value(each, facts) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each, facts) for each in value]
    return value


def plain(value: Any) -> Any:
    """The value as it comes back from JSON, so that memory and store see the same."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
