"""May this message go now? Consent, suppression, frequency caps and quiet hours, decided.

Pure: the shell hands in what it read in the claiming transaction (P5) and writes what comes
out. Nothing else in Winback decides about permission.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from engine.core.consent import allowed, answer_of, refusal
from engine.core.durations import show_duration
from engine.core.law import closed, limits, rules_for
from engine.core.moments import next_local
from engine.core.refusals import NEXT_WINDOW, OVERDUE, block_code, cap_code
from engine.core.zones import shopper_zone, whereabouts
from engine.model.message import Message, Sent
from engine.model.policy import Policy, Rule, Topic
from engine.model.profile import Consent

#: A topic that config/winback.yaml does not name is treated as the strictest kind.
_UNNAMED = Topic("", consent="opt-in")

#: What webhooks are about: they reach the shop's own machines, never a shopper.
WEBHOOKS = "webhooks"
_WEBHOOKS = Topic(WEBHOOKS, consent="none")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``send``; ``wait`` until a time (UTC); or ``skip`` for good. ``reason`` is for whoever asks
    about this message, ``code`` what it is counted under (``engine.core.refusals``).
    ``expires``: where a wait moves the end of the message's time too, that new end."""

    action: Literal["send", "wait", "skip"]
    reason: str = ""
    until: datetime | None = None
    expires: datetime | None = None
    code: str = ""


SEND = Verdict("send")


def judge(
    message: Message,
    policy: Policy,
    traits: Mapping[str, Any],
    consents: Collection[Consent],
    suppressed: str,
    sent: Sequence[Sent],
    now: datetime,
    *,
    bare: bool = False,
) -> Verdict:
    """Judge ``message`` at ``now``.

    ``suppressed``  why the address is blocked on this channel, "" when it is not.
    ``sent``        what went to this profile within the longest cap.
    ``bare``        leave out consent, caps, quiet hours and law (``simulate --bare``).
    """
    if message.expires_at is not None and now > message.expires_at:
        if message.grace is None:
            return Verdict("skip", "overdue", code=OVERDUE)
        zone = zone_of(traits, policy)
        at = message.due_at.astimezone(zone).time()
        then = next_local(at, zone, now)
        return _wait(message, NEXT_WINDOW, "overdue: next window", then, "")
    if suppressed:
        return Verdict("skip", f"suppressed: {suppressed}", code=block_code(suppressed))
    if bare:
        return SEND
    channel, topic = message.channel, topic_of(policy, message.topic)
    if no := refusal(topic, message.topic, channel, consents, now):
        return Verdict("skip", no, code=_consent_code(topic, message.topic, channel, consents))
    promotion = topic.consent != "none"
    rules: tuple[Rule, ...] = ()
    if policy.rules:
        rules = rules_for(policy.rules, channel, traits, policy.shop.country)
    if promotion:
        if rules and (missing := _unregistered(policy, message, rules)) is not None:
            return missing
        if policy.caps and (held := _capped(message, policy, sent, now)) is not None:
            return held
    hours = limits(policy.quiet_hours.get(channel), promotion, rules)
    if hours:
        shut = closed(hours, whereabouts(traits, policy.shop.timezone).zones, now)
        if shut is not None:
            if message.when_quiet == "skip" or shut.until is None:
                return Verdict("skip", shut.words, code=shut.code)
            too_long = f"{shut.words} outlast the message"
            return _wait(message, shut.code, shut.words, shut.until, too_long)
    return SEND


def _wait(message: Message, code: str, why: str, until: datetime, too_long: str) -> Verdict:
    """Wait until then, if the message is still good then. One with a ``grace`` always is: a wait
    is no delay, and it may be as late after it as before."""
    if message.grace is not None:
        return Verdict("wait", why, until, until + message.grace, code)
    if message.expires_at is not None and until > message.expires_at:
        return Verdict("skip", too_long, code=code)
    return Verdict("wait", why, until, code=code)


def _consent_code(topic: Topic, name: str, channel: str, consents: Collection[Consent]) -> str:
    if allowed(topic, name, channel, consents):
        return "consent.paused"
    codes = {"no": "withdrawn", "pending": "unconfirmed", "stopped": "stopped"}
    return f"consent.{codes.get(answer_of(topic, name, channel, consents), 'missing')}"


def _unregistered(policy: Policy, message: Message, rules: Sequence[Rule]) -> Verdict | None:
    """The operators of India drop what a shop of theirs has not registered, and bill it. What
    comes from abroad takes another route."""
    home = policy.shop.country
    rule = next((rule for rule in rules if rule.needs_dlt and rule.country == home), None)
    if rule is None or (policy.dlt is not None and message.template in policy.dlt.templates):
        return None
    why = f"{rule.title}: the template '{message.template}' has no DLT id"
    return Verdict("skip", why, code=f"law.{rule.country.lower()}.dlt")


def _capped(
    message: Message, policy: Policy, sent: Sequence[Sent], now: datetime
) -> Verdict | None:
    """How the caps hold the message back; None if none does. It waits until all let it go."""
    code = why = ""
    free_at: datetime | None = now
    for cap in policy.caps:
        if not cap.covers(message.channel, message.topic):
            continue
        since = now - cap.within
        used = [at for channel, topic, at in sent if at > since and cap.covers(channel, topic)]
        if len(used) < cap.messages:
            continue
        if not why:
            about = "" if cap.topic == "*" else f" about {cap.topic}"
            why = f"frequency cap: {cap.messages}{about} in {show_duration(cap.within)}"
            code = cap_code(cap)
        if not cap.messages:
            free_at = None
        elif free_at is not None:
            # A slot is free once so many have left the window that fewer than allowed are in it.
            free_at = max(free_at, sorted(used)[len(used) - cap.messages] + cap.within)
    if not why:
        return None
    if message.when_capped == "wait" and free_at is not None:
        return _wait(message, code, why, free_at, "the cap outlasts the message")
    return Verdict("skip", why, code=code)


def topic_of(policy: Policy, name: str) -> Topic:
    """What the shop says of a topic; the strictest kind where it says nothing."""
    return _WEBHOOKS if name == WEBHOOKS else policy.topics.get(name, _UNNAMED)


def uncapped(policy: Policy) -> list[str]:
    """The topics whose messages neither wait for a cap nor use one up."""
    return [WEBHOOKS, *(name for name, topic in policy.topics.items() if topic.consent == "none")]


def zone_of(traits: Mapping[str, Any], policy: Policy) -> ZoneInfo:
    """The shopper's time zone: as given, else by the phone's country, else the shop's."""
    return shopper_zone(traits, policy.shop.timezone)
