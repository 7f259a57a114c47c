"""How long hours can hold a message back at most: for the worst case and for lint."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

from engine.core.law import limits
from engine.core.timing import spans_on
from engine.model.policy import Hours, Policy, QuietHours, Rule, Span

#: Years of holidays that are looked through. Holidays come to lie beside Sundays and each other
#: again and again; which years they are hardly matters.
_FROM, _TO = date(2024, 1, 1), date(2032, 1, 1)
_DAY = timedelta(days=1)


def hold(policy: Policy, channel: str, country: str | None = None) -> timedelta:
    """The longest that the hours of a channel hold a promotion back from a shopper in one time
    zone: of all countries that there are rules for; or of that ``country``, those left aside who
    are under rules for a part of it only."""
    quiet = policy.quiet_hours.get(channel)
    rules = _rules(policy, channel)
    if country is not None:
        rules = [rule for rule in rules if rule.country == country and not rule.numbers]
    together: list[tuple[Rule, ...]] = [()]
    for each in {rule.country for rule in rules}:
        whole = tuple(r for r in rules if r.country == each and not r.numbers)
        parts = [(*whole, r) for r in rules if r.country == each and r.numbers]
        together += [whole, *parts]
    return max(_longest(quiet, each) for each in together)


def has_uneven_hours(policy: Policy, channel: str) -> bool:
    """Whether some days are closed for longer than others."""
    return any(
        rule.hours.holidays is not None or len(set(rule.hours.days)) > 1
        for rule in _rules(policy, channel)
    )


def _rules(policy: Policy, channel: str) -> list[Rule]:
    return [rule for rule in policy.rules if channel in rule.channels]


@lru_cache(maxsize=256)
def _longest(quiet: QuietHours | None, rules: tuple[Rule, ...]) -> timedelta:
    hours = [limit.hours for limit in limits(quiet, True, rules)]
    if not hours:
        return timedelta(0)
    longest, closed, day = timedelta(0), timedelta(0), _FROM
    while day < _TO:
        at = timedelta(0)
        for start, end in _common(hours, day):
            longest = max(longest, closed + start - at)
            closed, at = timedelta(0), end
        closed += _DAY - at
        day += _DAY
    return max(longest, closed)


def _common(hours: Iterable[Hours], day: date) -> list[Span]:
    """The spans of a day that lie in all of ``hours``."""
    found: list[Span] = [(timedelta(0), _DAY)]
    for each in hours:
        spans = spans_on(each, day)
        found = [
            (max(a, c), min(b, d)) for a, b in found for c, d in spans if max(a, c) < min(b, d)
        ]
    return found
