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

from engine.core.durations import show_duration
from engine.core.timing import quiet_until
from engine.model.message import Message
from engine.model.policy import Policy, Topic
from engine.model.profile import Consent

#: A topic that config/winback.yaml does not name is treated as the strictest kind.
_UNNAMED = Topic("", consent="opt-in")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``send``; ``wait`` until a time (UTC); or ``skip`` for good, with the reason counted."""

    action: Literal["send", "wait", "skip"]
    reason: str = ""
    until: datetime | None = None


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
        return Verdict("skip", "overdue")
    if suppressed:
        return Verdict("skip", f"suppressed: {suppressed}")
    if bare:
        return SEND
    topic = policy.topics.get(message.topic, _UNNAMED)
    if not allowed(topic, message.topic, message.channel, consents):
        return Verdict("skip", f"no consent for {message.channel} {message.topic}")
    if topic.consent == "none":
        return SEND
    for cap in policy.caps:
        if cap.channel not in ("*", message.channel):
            continue
        since = now - cap.within
        used = sum(1 for channel, at in sent if at > since and cap.channel in ("*", channel))
        if used >= cap.messages:
            return Verdict("skip", f"frequency cap: {cap.messages} in {show_duration(cap.within)}")
    quiet = policy.quiet_hours.get(message.channel)
    if quiet is not None:
        until = quiet_until(now, quiet, zone_of(traits, policy))
        if until is not None:
            if message.expires_at is not None and until > message.expires_at:
                return Verdict("skip", "quiet hours outlast the message")
            return Verdict("wait", "quiet hours", until)
    return SEND


def allowed(topic: Topic, name: str, channel: str, consents: Iterable[Consent]) -> bool:
    """Whether the shopper permits ``topic`` on ``channel``: the latest decision about the topic
    or about the whole channel stands; at the same time, the no."""
    if topic.consent == "none":
        return True
    best: Consent | None = None
    for consent in consents:
        if consent.channel != channel or consent.topic not in ("*", name):
            continue
        if best is None or _rank(consent) > _rank(best):
            best = consent
    if best is None:
        return topic.consent == "opt-out"
    return best.granted


def _rank(consent: Consent) -> tuple[datetime, bool, bool]:
    return (consent.at, not consent.granted, consent.topic != "*")


def zone_of(traits: Mapping[str, Any], policy: Policy) -> ZoneInfo:
    """The shopper's time zone: as given, else by the phone's country, else the shop's."""
    given = traits.get("timezone")
    if isinstance(given, str) and (zone := _zone(given)) is not None:
        return zone
    phone = traits.get("phone")
    if isinstance(phone, str) and (zone := _zone_of_phone(phone)) is not None:
        return zone
    return _zone(policy.shop.timezone) or ZoneInfo("UTC")


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
