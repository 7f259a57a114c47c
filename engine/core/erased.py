"""Knowing again who was erased, without having kept who it was."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256

from engine.core.consent import CONFIRMED, GIVEN, PENDING, WITHDRAWN
from engine.core.receipts import REPORTER
from engine.model.event import Event

#: The channels on which an address of that kind is written to.
_CHANNELS = {"email": ("email",), "phone": ("sms", "whatsapp")}


def digest(secret: str, identifier: str) -> str:
    """What is kept of an identifier ("kind:value"): HMAC-SHA256 by the shop's secret, in hex.
    Without the secret nobody can try out addresses on it."""
    key = sha256(b"winback erasures\0" + secret.encode()).digest()
    return hmac.new(key, identifier.encode(), sha256).hexdigest()


def blocks(
    secret: str, addresses: Iterable[str], erased: Mapping[str, datetime]
) -> list[tuple[str, str, datetime]]:
    """(address, channel, since) that must not be written to: those of ``addresses`` whose digest
    was ``erased``."""
    return [
        (address, channel, at)
        for address in addresses
        if (at := erased.get(digest(secret, address))) is not None
        for channel in _CHANNELS[address.partition(":")[0]]
    ]


def is_address(identifier: str) -> bool:
    return identifier.partition(":")[0] in _CHANNELS


def echoes(event: Event) -> bool:
    """Whether the event only tells what became of a message of ours, so that it would bring back
    an address that was erased meanwhile. What the shopper decides about consent does not."""
    return REPORTER in event.context and event.name not in (GIVEN, CONFIRMED, WITHDRAWN, PENDING)
