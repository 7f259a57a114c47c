"""Was it a person? Opens and clicks that machines make do not count as interest.

Mail programs fetch pictures ahead (Apple's privacy protection, proxies), security scanners
follow every link within seconds of delivery. Such an event keeps its place in the history under
a name of its own, so that no journey mistakes it for a shopper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec
from crawleruseragents import is_crawler

from engine.core.receipts import REPORTER
from engine.model.event import Event

#: What a person's event is called where a machine made it.
BY_MACHINE = {
    "Email Opened": "Email Opened By Machine",
    "Email Clicked": "Email Clicked By Machine",
    "SMS Clicked": "SMS Clicked By Machine",
    "WhatsApp Clicked": "WhatsApp Clicked By Machine",
}

#: Nobody reads a mail and follows a link of it so soon after it was handed to the provider.
TOO_SOON = timedelta(seconds=10)
#: Nobody follows so many links of one mail in so short a time.
AT_ONCE, MANY = timedelta(seconds=2), 3

_PROXIES = ("googleimageproxy", "yahoomailproxy", "barracuda", "mimecast", "proofpoint")


def judged(events: Sequence[Event], handed: Mapping[str, datetime]) -> list[Event]:
    """``events`` with those of machines under their own names, in the same order.

    ``handed``: when each message that they name was given to its provider. Only what a provider
    or our own links report is judged; what a shop's page sends stays as it is.
    """
    swarm = _swarms(events)
    return [
        msgspec.structs.replace(
            event,
            name=BY_MACHINE[event.name],
            properties={**event.properties, "because": why},
        )
        if (why := _why(event, handed, swarm))
        else event
        for event in events
    ]


def _why(event: Event, handed: Mapping[str, datetime], swarm: set[str]) -> str:
    """Why a machine made the event, "" where a person may have."""
    if event.name not in BY_MACHINE or REPORTER not in event.context:
        return ""
    if event.properties.get("machine") is True:
        return "the provider says so"
    agent = event.properties.get("user_agent")
    if isinstance(agent, str) and _is_machine(agent):
        return "its user agent is a program"
    if event.name.endswith("Opened"):
        return ""
    message = event.properties.get("message_id")
    if message in swarm:
        return "too many links at once"
    at = handed.get(message) if isinstance(message, str) else None
    if at is not None and timedelta(0) <= event.time - at < TOO_SOON:
        return "too soon after sending"
    return ""


def _swarms(events: Sequence[Event]) -> set[str]:
    """Messages of which many links were followed at once."""
    clicks: dict[str, list[Event]] = {}
    for event in events:
        message = event.properties.get("message_id")
        if event.name.endswith("Clicked") and isinstance(message, str):
            clicks.setdefault(message, []).append(event)
    found = set()
    for message, some in clicks.items():
        some.sort(key=lambda event: event.order_key)
        for first, last in zip(some, some[MANY - 1 :], strict=False):
            within = [e for e in some if first.time <= e.time <= last.time]
            links = {str(e.properties.get("url")) for e in within}
            if last.time - first.time <= AT_ONCE and len(links) >= MANY:
                found.add(message)
    return found


@lru_cache(maxsize=1024)
def _is_machine(agent: str) -> bool:
    return is_crawler(agent) or any(name in agent.lower() for name in _PROXIES)
