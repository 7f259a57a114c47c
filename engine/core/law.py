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
from engine.core.refusals import NO_TIME, QUIET, law_code
from engine.core.timing import NEVER, next_open, outside
from engine.core.zones import country_of, country_of_phone
from engine.model.policy import Hours, QuietHours, Rule

#: Channels whose law is that of the country that the number belongs to.
_BY_NUMBER = frozenset({"sms", "whatsapp", "call"})


class Limit(NamedTuple):
    """Hours in which something allows a message; ``code`` (``on_holidays`` another) and ``words``
    are for what comes outside them."""

    code: str
    on_holidays: str
    words: str
    hours: Hours


class Closed(NamedTuple):
    """Why a message may not go, by a stable ``code`` and in ``words``, and when all limits let
    it (UTC; None: never)."""

    code: str
    words: str
    until: datetime | None


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


@lru_cache(maxsize=4096)
def limits(quiet: QuietHours | None, promotion: bool, rules: tuple[Rule, ...]) -> tuple[Limit, ...]:
    """What limits the hours of a message: ``quiet`` hours of the shop's (for promotions only)
    and the ``rules`` that it is under."""
    found = []
    if quiet is not None and promotion:
        found.append(Limit(QUIET, QUIET, "quiet hours", outside(quiet)))
    for rule in rules:
        if promotion or not rule.promotions:
            code, on_holidays = law_code(rule), law_code(rule, holiday=True)
            found.append(Limit(code, on_holidays, f"quiet hours of {rule.title}", rule.hours))
    return tuple(found)


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
            return limit.on_holidays, f"{limit.words} ({name})"
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
