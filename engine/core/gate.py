"""May this message go now? Consent, suppression, frequency caps and quiet hours, decided.

Pure: the shell hands in what it read in the claiming transaction (P5) and writes what comes
out. Nothing else in Winback decides about permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import timezone as phone_zones

from engine.core.consent import refusal
from engine.core.durations import show_duration
from engine.core.moments import next_local
from engine.core.timing import quiet_until
from engine.model.message import Message
from engine.model.policy import Policy, Topic
from engine.model.profile import Consent

#: A topic that config/winback.yaml does not name is treated as the strictest kind.
_UNNAMED = Topic("", consent="opt-in")

#: What webhooks are about: they reach the shop's own machines, never a shopper.
WEBHOOKS = "webhooks"
_WEBHOOKS = Topic(WEBHOOKS, consent="none")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``send``; ``wait`` until a time (UTC); or ``skip`` for good, with the reason counted.
    ``expires``: where a wait moves the end of the message's time too, that new end."""

    action: Literal["send", "wait", "skip"]
    reason: str = ""
    until: datetime | None = None
    expires: datetime | None = None


SEND = Verdict("send")


def judge(
    message: Message,
    policy: Policy,
    traits: Mapping[str, Any],
    consents: Iterable[Consent],
    suppressed: str,
    sent: Sequence[tuple[str, datetime]],
    now: datetime,
    *,
    bare: bool = False,
) -> Verdict:
    """Judge ``message`` at ``now``.

    ``suppressed``  why the address is blocked on this channel, "" when it is not.
    ``sent``        (channel, time) of what went to this profile within the longest cap.
    ``bare``        leave out consent, caps and quiet hours (``simulate --bare``).
    """
    if message.expires_at is not None and now > message.expires_at:
        if message.grace is None:
            return Verdict("skip", "overdue")
        zone = zone_of(traits, policy)
        at = message.due_at.astimezone(zone).time()
        return _wait(message, "overdue: next window", next_local(at, zone, now), "")
    if suppressed:
        return Verdict("skip", f"suppressed: {suppressed}")
    if bare:
        return SEND
    topic = topic_of(policy, message.topic)
    if no := refusal(topic, message.topic, message.channel, consents, now):
        return Verdict("skip", no)
    if topic.consent == "none":
        return SEND
    capped, free_at = _capped(message, policy, sent, now)
    if capped:
        if message.when_capped == "wait" and free_at is not None:
            return _wait(message, capped, free_at, "the cap outlasts the message")
        return Verdict("skip", capped)
    quiet = policy.quiet_hours.get(message.channel)
    if quiet is not None:
        until = quiet_until(now, quiet, zone_of(traits, policy))
        if until is not None:
            if message.when_quiet == "skip":
                return Verdict("skip", "quiet hours")
            return _wait(message, "quiet hours", until, "quiet hours outlast the message")
    return SEND


def _wait(message: Message, why: str, until: datetime, too_long: str) -> Verdict:
    """Wait until then, if the message is still good then. One with a ``grace`` always is: a wait
    is no delay, and it may be as late after it as before."""
    if message.grace is not None:
        return Verdict("wait", why, until, until + message.grace)
    if message.expires_at is not None and until > message.expires_at:
        return Verdict("skip", too_long)
    return Verdict("wait", why, until)


def _capped(
    message: Message, policy: Policy, sent: Sequence[tuple[str, datetime]], now: datetime
) -> tuple[str, datetime | None]:
    """Which cap holds the message back, "" if none does, and when all caps let it go (None:
    never)."""
    why = ""
    free_at = now
    for cap in policy.caps:
        if cap.channel not in ("*", message.channel):
            continue
        since = now - cap.within
        used = [at for channel, at in sent if at > since and cap.channel in ("*", channel)]
        if len(used) < cap.messages:
            continue
        why = why or f"frequency cap: {cap.messages} in {show_duration(cap.within)}"
        if not cap.messages:
            return why, None
        # A slot is free once so many have left the window that fewer than allowed are in it.
        free_at = max(free_at, sorted(used)[len(used) - cap.messages] + cap.within)
    return why, free_at


def topic_of(policy: Policy, name: str) -> Topic:
    """What the shop says of a topic; the strictest kind where it says nothing."""
    return _WEBHOOKS if name == WEBHOOKS else policy.topics.get(name, _UNNAMED)


def uncapped(policy: Policy) -> list[str]:
    """The topics whose messages neither wait for a cap nor use one up."""
    return [WEBHOOKS, *(name for name, topic in policy.topics.items() if topic.consent == "none")]


def zone_of(traits: Mapping[str, Any], policy: Policy) -> ZoneInfo:
    """The shopper's time zone: as given, else by the phone's country, else the shop's."""
    return shopper_zone(traits, policy.shop.timezone)


def shopper_zone(traits: Mapping[str, Any], otherwise: str) -> ZoneInfo:
    """The shopper's time zone: as given, else by the phone's country, else that named
    ``otherwise`` (IANA)."""
    given = traits.get("timezone")
    if isinstance(given, str) and (zone := _zone(given)) is not None:
        return zone
    phone = traits.get("phone")
    if isinstance(phone, str) and (zone := _zone_of_phone(phone)) is not None:
        return zone
    return zone_named(otherwise)


def zone_named(name: str) -> ZoneInfo:
    """The zone called ``name``; UTC where there is none."""
    return _zone(name) or ZoneInfo("UTC")


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or a name that is a path
        return None


@lru_cache(maxsize=4096)
def _zone_of_phone(phone: str) -> ZoneInfo | None:
    """The zone of an E.164 number whose country lies in a single one."""
    try:
        zones = phone_zones.time_zones_for_number(phonenumbers.parse(phone))
    except phonenumbers.NumberParseException:
        return None
    return _zone(zones[0]) if len(zones) == 1 else None
