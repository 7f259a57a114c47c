"""When a journey, a sender or a provider pauses itself: too many complaints or bounces. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from engine.core.durations import show_duration
from engine.core.receipts import REPORTER
from engine.model.event import Event
from engine.model.sending import AutoPause

Kind = Literal["delivered", "bounced", "complained"]

#: One angry shopper is no rate, however few have been written to.
_COMPLAINTS_AT_LEAST = 3

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was reported of messages: how many arrived, bounced for good, were called spam."""

    delivered: int = 0
    bounced: int = 0
    complained: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.delivered + other.delivered,
            self.bounced + other.bounced,
            self.complained + other.complained,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The figures of one ``journey``; or (where that is "") of what ``provider`` carried for
    ``sender``."""

    journey: str
    provider: str
    sender: str
    figures: Figures


def counts(event: Event) -> tuple[str, Kind] | None:
    """(message id, kind) of a provider's report that counts for the rates. A bounce that may
    pass by, such as a full mailbox, says nothing about the list."""
    message = event.properties.get("message_id")
    if (
        REPORTER not in event.context
        or not isinstance(message, str)
        or not _UUID.fullmatch(message)
    ):
        return None
    permanent = event.properties.get("permanent") is True
    match event.name:
        case "Email Delivered" | "SMS Delivered" | "WhatsApp Delivered":
            return message, "delivered"
        case "Email Bounced" | "SMS Failed" | "WhatsApp Failed" if permanent:
            return message, "bounced"
        case "Email Spam Reported":
            return message, "complained"
    return None


def too_bad(
    shares: Iterable[Share], paused: Collection[str], limits: AutoPause
) -> dict[str, tuple[str, Figures]]:
    """What is to pause: by subject (``journey:…``, ``sender:…``, ``provider:…``) why.

    ``paused`` are the subjects that are already. A mailbox provider holds against a sender what
    the sender did, so another sender goes on with the same provider: that pauses only for what is
    left when its paused senders are taken out, such as many senders of a few messages each.
    """
    known = list(shares)
    sums: dict[str, Figures] = {}
    for share in known:
        subject = f"journey:{share.journey}" if share.journey else f"sender:{share.sender}"
        if share.journey or share.sender:
            sums[subject] = sums.get(subject, Figures()) + share.figures
    found = {
        subject: (why, figures)
        for subject, figures in sums.items()
        if subject not in paused and (why := verdict(figures, limits))
    }
    carried: dict[str, Figures] = {}
    for share in known:
        sender = f"sender:{share.sender}"
        if share.provider and sender not in paused and sender not in found:
            subject = f"provider:{share.provider}"
            carried[subject] = carried.get(subject, Figures()) + share.figures
    for subject, figures in carried.items():
        if subject not in paused and (why := verdict(figures, limits)):
            found[subject] = why, figures
    return dict(sorted(found.items()))


def verdict(figures: Figures, limits: AutoPause) -> str:
    """Why this is to pause, "" if it is not."""
    within = show_duration(limits.within)
    answered = figures.delivered + figures.bounced
    if answered >= limits.at_least and figures.bounced > limits.bounces * answered:
        return _words("bounced", figures.bounced, answered, limits.bounces, within)
    complained = figures.complained
    if (
        figures.delivered >= limits.at_least
        and complained >= _COMPLAINTS_AT_LEAST
        and complained > limits.complaints * figures.delivered
    ):
        return _words("called spam", complained, figures.delivered, limits.complaints, within)
    return ""


def _words(what: str, count: int, of: int, limit: float, within: str) -> str:
    share = f"{count / of * 100:.2f} %, more than {limit * 100:g} %"
    return f"{what}: {count} of {of} within {within} ({share})"
