"""A message: what we mean to say to one shopper, once. A delivery is one attempt at it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from engine.model.links import ShortLink

#: due        may be claimed from ``due_at`` on
#: claimed    the gate let it through; its provider is being called
#: sent       the provider took it
#: unknown    the call left, no answer came: never blindly sent again (P4)
#: unresolved the same, and nobody has told for so long that nobody is asked any more
#: failed     the provider refused it for good
#: cancelled  its run was stopped before it went
#: skipped    the gate or the overdue policy refused it; ``reason`` says why
MessageStatus = Literal[
    "due", "claimed", "sent", "unknown", "unresolved", "failed", "cancelled", "skipped"
]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One intent to send.

    ``id``          derived from (enrollment, step path, visit): one intent, one row (P4).
    ``due_at``      earliest time it may go, UTC. ``expires_at``: after it, skip (P9); None never.
    ``event_id``    the trigger event, whose properties the template sees as ``event``.
    ``priority``    its journey's: of two for the last slot of a cap the higher goes.
    ``grace``       None: past ``expires_at`` it is skipped. Else it then goes at the same local
                    time of the next day, where it may be this late again.
    ``provider``    who was last asked to carry it.
    """

    id: str
    enrollment_id: str
    profile_id: int
    journey: str
    version: str
    step: str
    channel: str
    template: str
    topic: str
    event_id: str
    created_at: datetime
    due_at: datetime
    expires_at: datetime | None = None
    on_unknown: str = "hold"
    offer: dict[str, Any] = {}
    status: MessageStatus = "due"
    attempts: int = 0
    reason: str = ""
    priority: int = 0
    when_quiet: str = "wait"
    when_capped: str = "skip"
    grace: timedelta | None = None
    provider: str = ""


class Sent(NamedTuple):
    """What caps count of a message that went: where, about what, and when (UTC)."""

    channel: str
    topic: str
    at: datetime


class Email(msgspec.Struct, frozen=True):
    """A rendered mail. ``headers`` holds List-Unsubscribe and the like."""

    message_id: str
    to: str
    from_address: str
    from_name: str
    subject: str
    text: str
    html: str
    headers: dict[str, str] = {}
    reply_to: str = ""
    locale: str = "en"
    journey: str = ""


class Sms(msgspec.Struct, frozen=True):
    """A rendered text message. ``segments`` and ``encoding`` as the operator will bill it.
    ``short_links`` in ``body`` must be remembered before it goes out."""

    message_id: str
    to: str
    sender: str
    body: str
    segments: int = 1
    encoding: Literal["GSM-7", "UCS-2"] = "GSM-7"
    locale: str = "en"
    journey: str = ""
    short_links: tuple[ShortLink, ...] = ()


class WhatsApp(msgspec.Struct, frozen=True):
    """A rendered WhatsApp message: a template that WhatsApp has approved, and what goes into it.

    ``content_sid``  the template, as Twilio names it (HX…); ``variables`` by their name in it.
    ``body``         what its reader will see, as far as the shop's own copy of the text tells;
                     "" where it has none. It is not sent.
    ``short_links``  in ``variables``; must be remembered before it goes out.
    """

    message_id: str
    to: str
    sender: str
    content_sid: str
    variables: dict[str, str] = {}
    body: str = ""
    locale: str = "en"
    journey: str = ""
    short_links: tuple[ShortLink, ...] = ()


class Call(msgspec.Struct, frozen=True):
    """A webhook, ready to be posted as JSON to ``to``."""

    message_id: str
    to: str
    body: dict[str, Any] = {}
    journey: str = ""


Rendered = Email | Sms | WhatsApp | Call


class Receipt(msgspec.Struct, frozen=True):
    """What the provider answered when it took the message. ``reference`` is its own id."""

    provider: str
    reference: str = ""
