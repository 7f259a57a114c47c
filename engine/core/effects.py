"""What steps do to the world, as data: messages, webhooks, events, offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from engine.core.conditions import ConditionError
from engine.core.decision import Outcome, TooLate
from engine.core.emitted import LONGEST_CHAIN, Emitted, place_in_chain
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

#: Letters and digits that nobody takes for others, read out or in any typeface.
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
#: A million codes of this length have one pair among them that is the same.
_CODE_LENGTH = 8


def say(
    journey: Journey,
    run: Enrollment,
    step: Send,
    visits: int,
    shopper: Shopper,
    now: datetime,
    late: timedelta,
    timezone: str,
) -> None:
    """Send a mail or a text, with what the run was offered, and over it what the step offers."""
    offer = step.offer
    if run.offer:
        earlier = run.offer
        if "valid" in offer:  # the step's own time counts, from when it is sent
            earlier = {name: value for name, value in earlier.items() if name != "ends_at"}
        offer = {**earlier, **offer}
    message = _message(journey, run, step, visits, shopper, now, late, timezone)
    if message is not None:
        shopper.outcome.mark(run.id, step.path, "sends", step.channel, now)
        shopper.outcome.messages.append(
            msgspec.structs.replace(
                message,
                channel=step.channel,
                template=step.template,
                topic=step.topic,
                on_unknown=step.on_unknown,
                offer=dict(offer),
                when_quiet=step.when_quiet,
                when_capped=step.when_capped,
            )
        )


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
    message = _message(journey, run, step, visits, shopper, now, late, timezone)
    if message is not None:
        body = computed(run, step.path, step.body, facts, shopper.outcome, now)
        shopper.outcome.mark(run.id, step.path, "calls", step.url, now)
        shopper.outcome.messages.append(
            msgspec.structs.replace(
                message,
                channel="webhook",
                template=step.url,
                topic=WEBHOOKS,
                offer={"body": plain(body)},
            )
        )


def _message(
    journey: Journey,
    run: Enrollment,
    step: Send | Webhook,
    visits: int,
    shopper: Shopper,
    now: datetime,
    late: timedelta,
    timezone: str,
) -> Message | None:
    """The message of a step, but for what it says; None where it must not go."""
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
    return Message(
        id=id,
        enrollment_id=run.id,
        profile_id=run.profile_id,
        journey=journey.name,
        version=journey.version,
        step=step.path,
        channel="",
        template="",
        topic="",
        event_id=run.event_id,
        created_at=now,
        due_at=due_at,
        expires_at=_expires(overdue, due_at),
        priority=journey.priority,
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
    place = place_in_chain(run, now)
    if place > LONGEST_CHAIN:
        why = f"{LONGEST_CHAIN} events have started each other at this moment"
        outcome.mark(run.id, step.path, "does not emit", why, now)
        return
    outcome.mark(run.id, step.path, "emits", step.event, now)
    properties = computed(run, step.path, step.properties, facts, outcome, now)
    id = f"emit:{place}:{derive(run.id, step.path, visits)}"
    outcome.emitted.append(Emitted(id, run.profile_id, step.event, now, plain(properties)))


def give_offer(run: Enrollment, step: OfferStep, outcome: Outcome, now: datetime) -> Enrollment:
    """The run with its offer: the terms, the coupon's ``code`` and when it ``ends_at``."""
    if run.held_out:
        outcome.mark(run.id, step.path, "withheld", "holdout", now)
        return run
    offer = plain(step.terms)
    if step.generate:
        offer["coupon"] = coupon(step.generate, run.id, step.path)
    if "coupon" in offer:
        offer["code"] = offer["coupon"]
    if step.valid is not None:
        offer["ends_at"] = (now + step.valid).isoformat()
    outcome.mark(run.id, step.path, "offers", str(offer.get("code", "")), now)
    return msgspec.structs.replace(run, offer=offer)


def coupon(prefix: str, *parts: object) -> str:
    """A code such as ``WB-7KQ2MXPA`` that follows from ``parts``, so that a retry makes the same.
    Nobody can guess another's who does not know the id of their run."""
    number = int(derive("coupon", *parts).replace("-", ""), 16)
    letters = []
    for _ in range(_CODE_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return f"{prefix}-{''.join(letters)}"


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
