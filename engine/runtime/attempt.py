"""One attempt to hand a message to its provider, and what its outcome means for the message."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.core.sending import Outcome, pause_before_look
from engine.errors import DeliveryError, Fault, OutcomeUnknown
from engine.model.message import Call, Message
from engine.ports import LooksUp
from engine.runtime.desk import Booked, Heard, sender_of
from engine.runtime.shell import Shell
from engine.store.claims import Carrier
from engine.store.messages import Candidate
from engine.store.outcomes import Result

log = logging.getLogger(__name__)

#: After this many tries a message that the provider keeps putting off has failed.
TRIES = 8
#: Pause before a message whose outcome is unknown is sent again, where its step asks for that.
RETRY_UNKNOWN = timedelta(minutes=1)
#: Pause before a message whose call could not be made is due again: it is not its fault.
_AWAY = timedelta(seconds=5)


class Attempt(NamedTuple):
    """How a call went. ``untouched``: for no fault of the message, which is due as before."""

    candidate: Candidate
    result: Result
    suppress: bool
    untouched: bool
    heard: Heard


def carriers(batch: Iterable[Booked]) -> dict[str, Carrier]:
    """By message id, who is to carry it, and from whom."""
    return {
        booked.candidate.message.id: Carrier(
            booked.channel.name,
            booked.channel.trace(booked.rendered) if isinstance(booked.channel, LooksUp) else "",
            sender_of(booked.rendered),
        )
        for booked in batch
    }


def webhook_of(message: Message) -> Call:
    """What is posted for a webhook: nothing of it is rendered."""
    body = message.offer.get("body", {})
    return Call(message.id, message.template, body, message.journey)


def call(shell: Shell, booked: Booked, attempt: int) -> Attempt:
    """One attempt at the provider, in a thread of the pool. Never raises: whatever happens
    is an outcome that must be recorded."""
    message, channel = booked.candidate.message, booked.channel
    handed = shell.at(message.due_at)
    status, outcome, reason, reference = "sent", "accepted", "", ""
    due: datetime | None = None
    suppress = False
    fault: Fault = ""
    pause: timedelta | None = None
    try:
        reference = channel.send(booked.rendered).reference
    except DeliveryError as error:
        status, outcome, reason = "failed", "refused", str(error)
        suppress, fault, pause = error.suppress, error.fault, error.retry_after
        if fault:
            status = "due"
            due = _later(shell, _AWAY, 1) if fault == "away" else None
        elif pause is not None and attempt < TRIES:
            status, due = "due", _later(shell, pause, attempt)
    except OutcomeUnknown as error:
        status, outcome, reason = _unknown(message, attempt), "unknown", str(error)
    except Exception as error:
        # A channel that breaks its contract may have sent: that is an unknown outcome too.
        log.exception("provider %s failed in a way it should not", channel.name)
        status, outcome = _unknown(message, attempt), "unknown"
        reason = f"{type(error).__name__} in {channel.name}"
    if outcome == "unknown" and status == "due":
        due = _later(shell, RETRY_UNKNOWN, attempt)
    settled_at = shell.at(message.due_at)
    look_at = None
    if status == "unknown" and isinstance(channel, LooksUp):
        look_at = settled_at + shell.real(pause_before_look(0).total_seconds())
    result = Result(
        message.profile_id,
        message.id,
        attempt,
        status,
        outcome,
        reason,
        due,
        handed,
        settled_at,
        channel.name,
        reference,
        look_at,
    )
    # Webhooks go to many machines: the failure of one says nothing of the others.
    unknown = outcome == "unknown" and message.channel != "webhook"
    heard = Heard(Outcome(channel.name, fault, unknown, reason, pause), booked.probe)
    return Attempt(booked.candidate, result, suppress, bool(fault), heard)


def _later(shell: Shell, pause: timedelta, attempt: int) -> datetime:
    """When to try again: the pause doubles with every attempt."""
    return shell.clock.now() + shell.real(pause.total_seconds() * 2 ** (attempt - 1))


def _unknown(message: Message, attempt: int) -> str:
    """What becomes of a message when nobody knows whether the provider has it (P4)."""
    return "due" if message.on_unknown == "retry" and attempt < TRIES else "unknown"
