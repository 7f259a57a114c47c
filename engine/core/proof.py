"""The proof of each decision about consent: who says so, when, where, and what was read.

Of a page the address without its query, of an IP address the network alone: enough to find the
form again, too little to follow anybody by.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from engine.core.consent import CONFIRMED, EVER, consents_of
from engine.core.receipts import REPORTER
from engine.model.event import Event
from engine.model.profile import PAUSED, STOPPED, Consent

#: What of a ``proof`` is kept, and in how many characters.
_KEPT = {
    "text": 2000,
    "version": 100,
    "form": 200,
    "language": 35,
    "user_agent": 300,
    "file": 200,
    "line": 20,
    "keyword": 100,
    "sender": 100,
    "yes_at": 40,
    "until": 40,
}
_LONGEST_URL = 500


class Record(NamedTuple):
    """One line of the log. ``word``: yes, confirmed, no, stop, start, pause, resume. ``carried``:
    said by the way, as with every event, and worth a line only the first time."""

    event_id: str
    channel: str
    topic: str
    word: str
    at: datetime
    method: str
    source: str
    identifier: str
    proof: dict[str, str]
    carried: bool


def records_of(event: Event) -> Iterator[Record]:
    """The decisions of ``event`` (``consents_of``) with their proof: ``proof: {url, text, version,
    form, ip, …}`` beside the consent, completed from the event's context."""
    decided = list(consents_of(event))
    if not decided:
        return
    method = _method(event)
    proof = _proof(event)
    for consent in decided:
        yield Record(
            event.id,
            consent.channel,
            consent.topic,
            word_of(consent, event.name),
            event.time,
            method,
            consent.source[:200],
            event.identifiers[0],
            proof,
            consent.at == EVER,
        )


def word_of(consent: Consent, said: str) -> str:
    """The decision in a word; ``said``: the name of its event."""
    if consent.topic == STOPPED:
        return "start" if consent.granted else "stop"
    if consent.topic == PAUSED:
        return "resume" if consent.granted else "pause"
    if not consent.granted:
        return "no"
    return "confirmed" if said == CONFIRMED or consent.confirmed_at is not None else "yes"


def _method(event: Event) -> str:
    """How it was said. Only those whom Winback knows may name a way that proves more."""
    proof = event.properties.get("proof")
    if REPORTER in event.context:
        return str(event.properties.get("method") or "provider")[:40]
    stated = proof.get("method") if isinstance(proof, dict) else None
    return f"shop: {stated}"[:40] if isinstance(stated, str) and stated else "shop"


def _proof(event: Event) -> dict[str, str]:
    given = event.properties.get("proof")
    found: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if REPORTER in event.context:
        found = {**event.properties, **found}
    page = event.context.get("page")
    url = found.get("url") or (page.get("url") if isinstance(page, dict) else None)
    ip = found.get("ip") or event.context.get("ip")
    kept = {
        key: str(found[key])[:longest]
        for key, longest in _KEPT.items()
        if isinstance(found.get(key), str | int) and found[key] != ""
    }
    if isinstance(url, str) and url:
        kept["url"] = url.partition("?")[0].partition("#")[0][:_LONGEST_URL]
    if network := shortened(ip):
        kept["ip"] = network
    return kept


def shortened(ip: object) -> str:
    """The network that an IP address is in: 24 bits of version 4, 48 of version 6. "" for
    what is no address; a network stays as wide as it is."""
    try:
        network = ipaddress.ip_network(str(ip), strict=False)
    except ValueError:
        return ""
    longest = 24 if network.version == 4 else 48
    return str(network if network.prefixlen <= longest else network.supernet(new_prefix=longest))
