"""When a shopper may be written to: the shop's quiet hours and the rules of their country.

Pure. Where several limits or several time zones come into question, all must allow it: the
strictest wins. The rules are data (``config/rules``), not legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from engine.core.holidays import holiday_name
from engine.core.timing import NEVER, next_open, outside
from engine.core.zones import country_of, country_of_phone
from engine.model.policy import Hours, Policy, Rule

QUIET = "quiet.shop"
NO_TIME = "quiet.never"

#: Channels whose law is that of the country that the number belongs to.
_BY_NUMBER = frozenset({"sms", "whatsapp", "call"})


class Limit(NamedTuple):
    """Hours in which something allows a message; ``code`` and ``words`` are for what comes
    outside them."""

    code: str
    words: str
    hours: Hours


class Closed(NamedTuple):
    """Why a message may not go, by a stable ``code`` and in ``words``, and when all limits let
    it (UTC; None: never)."""

    code: str
    words: str
    until: datetime | None


def code_of(rule: Rule) -> str:
    """``quiet.law.in``, ``quiet.law.us.florida``."""
    return ".".join(part for part in ("quiet.law", rule.country.lower(), rule.name) if part)


def rules_for(
    rules: tuple[Rule, ...], channel: str, traits: Mapping[str, Any], home: str
) -> tuple[Rule, ...]:
    """Those of ``rules`` that a message on ``channel`` to this shopper is under. ``home``: the
    country of a shopper of whom none is known."""
    by_country = _index(rules).get(channel)
    if not by_country:
        return ()
    if channel in _BY_NUMBER:
        phone = traits.get("phone")
        if not isinstance(phone, str):
            return ()
        found = by_country.get(country_of_phone(phone), ())
        return tuple(r for r in found if not r.numbers or phone.startswith(r.numbers))
    return by_country.get(country_of(traits, home), ())


@lru_cache(maxsize=64)
def _index(rules: tuple[Rule, ...]) -> dict[str, dict[str, tuple[Rule, ...]]]:
    found: dict[str, dict[str, tuple[Rule, ...]]] = {}
    for rule in rules:
        for channel in rule.channels:
            of = found.setdefault(channel, {})
            of[rule.country] = (*of.get(rule.country, ()), rule)
    return found


def limits(
    policy: Policy, channel: str, promotion: bool, rules: Sequence[Rule]
) -> tuple[Limit, ...]:
    """What limits the hours of a message. Quiet hours are for promotions only."""
    found = []
    quiet = policy.quiet_hours.get(channel)
    if quiet is not None and promotion:
        found.append(Limit(QUIET, "quiet hours", outside(quiet)))
    for rule in rules:
        if promotion or not rule.promotions:
            found.append(_limit(rule))
    return tuple(found)


@lru_cache(maxsize=1024)
def _limit(rule: Rule) -> Limit:
    return Limit(code_of(rule), f"quiet hours of {rule.title}", rule.hours)


def closed(limits: Sequence[Limit], zones: Sequence[ZoneInfo], now: datetime) -> Closed | None:
    """What keeps a message from going ``now``: of several limits that which lasts longest. None
    where all allow it, in every one of ``zones``."""
    worst: tuple[Limit, ZoneInfo] | None = None
    until = now
    for limit in limits:
        for zone in zones:
            opens = next_open(limit.hours, zone, now)
            if opens is None:
                return Closed(NO_TIME, f"{limit.words} never end", None)
            if opens > until:
                worst, until = (limit, zone), opens
    if worst is None:
        return None
    code, words = _why(*worst, now)
    opens = _all_open(limits, zones, until)
    if opens is None:
        return Closed(NO_TIME, f"{words}: there is no time at which all rules allow it", None)
    return Closed(code, words, opens)


def _why(limit: Limit, zone: ZoneInfo, now: datetime) -> tuple[str, str]:
    hours = limit.hours
    if hours.holidays is not None:
        day = now.astimezone(zone).date()
        name = holiday_name(hours.country, day)
        if name and hours.holidays != hours.days[day.weekday()]:
            return f"{limit.code}.holiday", f"{limit.words}: {name}"
    return limit.code, limit.words


def _all_open(limits: Sequence[Limit], zones: Sequence[ZoneInfo], now: datetime) -> datetime | None:
    """The first moment from ``now`` on in which all limits agree in all zones."""
    at, end = now, now + timedelta(days=NEVER)
    while at < end:
        before = at
        for limit in limits:
            for zone in zones:
                opens = next_open(limit.hours, zone, at)
                if opens is None:
                    return None
                at = opens
        if at == before:
            return at
    return None
