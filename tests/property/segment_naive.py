"""Segments decided a second time, from the YAML as it was written, as plainly as can be: by
looking at everything at the moment that is asked about. It shares nothing with the engine but the
values of conditions, which are written here as Python beside their text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.core.ids import percentile

Rule = dict[str, Any]

_UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "minute": timedelta(minutes=1)}
_REACHED = {"delivered": "Email Delivered", "opened": "Email Opened", "clicked": "Email Clicked"}


@dataclass
class World:
    """All that is known of one shopper. ``events`` are (time, id, name, properties), ``runs``
    (journey, began, ended, goal), ``words`` what was said about consent: (channel, topic, yes, at).
    """

    id: int = 1
    events: list[tuple[datetime, str, str, dict[str, Any]]] = field(default_factory=list)
    traits: dict[str, Any] = field(default_factory=dict)
    runs: Sequence[tuple[str, datetime, datetime | None, bool]] = ()
    words: list[tuple[str, str, bool, datetime]] = field(default_factory=list)
    lists: frozenset[str] = frozenset()
    others: dict[str, Any] = field(default_factory=dict)
    #: the limits of the scores: hours since the last order, orders, money
    limits: tuple[Sequence[int], Sequence[int], Sequence[int]] = ((), (), ())
    #: text of a condition -> what it means: of an event's properties, or of the world and the time
    meanings: dict[str, Callable[..., bool]] = field(default_factory=dict)

    def named(self, name: str, at: datetime) -> list[tuple[datetime, str, str, dict[str, Any]]]:
        return sorted(e for e in self.events if e[2] == name and e[0] <= at)

    @property
    def orders(self) -> list[tuple[datetime, str, str, dict[str, Any]]]:
        return [event for event in self.events if event[2] == "Order Completed"]

    @property
    def spent(self) -> Decimal:
        signs = {"Order Completed": 1, "Order Refunded": -1}
        return sum(
            (signs[e[2]] * e[3]["revenue"] for e in self.events if e[2] in signs and e[3]),
            Decimal(0),
        )


def duration(text: str) -> timedelta:
    total = timedelta(0)
    for number, unit in re.findall(r"(\d+) (hour|day|minute)s?", text):
        total += int(number) * _UNITS[unit]
    return total


def in_span(text: str | int, value: Any) -> bool:
    if value is None:
        return False
    words = str(text).split()
    if len(words) == 3 and words[1] == "to":
        return Decimal(words[0]) <= value <= Decimal(words[2])
    number = Decimal(words[-1])
    match " ".join(words[:-1]):
        case "at least":
            return bool(value >= number)
        case "more than":
            return bool(value > number)
        case "at most":
            return bool(value <= number)
        case "less than":
            return bool(value < number)
    return bool(value == number)


def member(rule: Any, world: World, at: datetime, name: str = "it") -> bool:
    """Whether the shopper is in the segment called ``name`` at ``at``."""
    if isinstance(rule, list):
        return all([member(part, world, at, name) for part in rule])
    if "all" in rule:
        return all([member(part, world, at, name) for part in rule["all"]])
    if "any" in rule:
        return any([member(part, world, at, name) for part in rule["any"]])
    if "not" in rule:
        return not member(rule["not"], world, at, name)
    if "in segment" in rule:
        return member(world.others[rule["in segment"]], world, at, rule["in segment"])
    if "did" in rule or "did not" in rule:
        return _did(rule, world, at)
    if "first" in rule or "last" in rule:
        return _nth(rule, world, at)
    if "message" in rule:
        return _message(rule, world, at)
    if "date" in rule:
        return _date(rule, world, at)
    if "consent" in rule:
        return _consent(rule, world)
    if "lives in" in rule:
        return world.traits.get("country") in rule["lives in"]["country"]
    if "rfm" in rule:
        return _rfm(rule["rfm"], world, at)
    if "on list" in rule:
        return rule["on list"] in world.lists
    if "random" in rule:
        low, _, high = rule["random"].rpartition(" to ")
        share = percentile("segment", rule.get("of", name), world.id)
        return int(low or 0) <= share < int(high.rstrip("%"))
    if "if" in rule:
        return world.meanings[rule["if"]](world, at)
    return _journey(rule, world, at)


def _in_window(rule: Rule, time: datetime, at: datetime) -> bool:
    if "within" in rule and time < at - duration(rule["within"]):
        return False
    if "longer ago than" in rule and time > at - duration(rule["longer ago than"]):
        return False
    if "since" in rule and time < _day(rule["since"]):
        return False
    return not ("before" in rule and time >= _day(rule["before"]))


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _matching(rule: Rule, world: World, name: str, at: datetime) -> list[dict[str, Any]]:
    return [
        properties
        for time, _, _, properties in world.named(name, at)
        if _in_window(rule, time, at)
        and ("if" not in rule or world.meanings[rule["if"]](properties))
    ]


def _did(rule: Rule, world: World, at: datetime) -> bool:
    found = _matching(rule, world, rule.get("did") or rule["did not"], at)
    if "did not" in rule:
        return not found
    for key in ("sum of", "average of", "smallest", "largest"):
        if key in rule:
            field = rule[key].removeprefix("event.")
            values = [p[field] for p in found if p.get(field) is not None]
            return in_span(rule["is"], _measure(key, values))
    return in_span(rule.get("times", "at least 1"), len(found))


def _measure(key: str, values: list[Decimal]) -> Decimal | None:
    if key == "sum of":
        return sum(values, Decimal(0))
    if not values:
        return None
    if key == "average of":
        return sum(values, Decimal(0)) / len(values)
    return min(values) if key == "smallest" else max(values)


def _nth(rule: Rule, world: World, at: datetime) -> bool:
    which = "first" if "first" in rule else "last"
    known = world.named(rule[which], at)
    if not known:
        return False
    time, _, _, properties = known[0 if which == "first" else -1]
    fits = "if" not in rule or world.meanings[rule["if"]](properties)
    return fits and _in_window(rule, time, at)


def _message(rule: Rule, world: World, at: datetime) -> bool:
    fate = rule.get("was") or rule["was not"]
    found = _matching(rule, world, _REACHED[fate], at)
    if "was not" in rule:
        return not found
    return in_span(rule.get("times", "at least 1"), len(found))


def _date(rule: Rule, world: World, at: datetime) -> bool:
    value = world.traits.get(rule["date"].removeprefix("profile."))
    if value is None:
        return False
    if len(value) == 10:
        begin = datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        end = begin + timedelta(days=1)
    else:
        begin = datetime.fromisoformat(value)
        end = begin + timedelta(microseconds=1)
    if "in the next" in rule:
        return begin - duration(rule["in the next"]) <= at < end
    return begin <= at < end + duration(rule["in the last"])


def _consent(rule: Rule, world: World) -> bool:
    topic = rule.get("topic", "*")
    words = [w for w in world.words if w[0] == rule["consent"] and w[1] in ("*", topic)]
    latest = max(words, key=lambda word: (word[3], not word[2]), default=None)
    said = "nothing" if latest is None else "yes" if latest[2] else "no"
    return said == rule.get("says", "yes")


def _journey(rule: Rule, world: World, at: datetime) -> bool:
    for how in ("in journey", "was in journey", "reached goal of"):
        if how not in rule:
            continue
        for journey, began, ended, goal in world.runs:
            if journey != rule[how]:
                continue
            if how == "in journey" and began <= at and (ended is None or at < ended):
                return True
            if how == "was in journey" and began <= at and _in_window(rule, began, at):
                return True
            reached = how == "reached goal of" and goal and ended is not None
            if reached and ended <= at and _in_window(rule, ended, at):
                return True
    return False


def _rfm(rule: Rule, world: World, at: datetime) -> bool:
    if not world.orders:
        return False
    recency, frequency, monetary = world.limits
    age = at - max(order[0] for order in world.orders)
    scores = {
        "recency": 5 - sum(age > timedelta(hours=limit) for limit in recency),
        "frequency": 1 + sum(len(world.orders) > limit for limit in frequency),
        "monetary": 1 + sum(world.spent > limit for limit in monetary),
    }
    return all(in_span(rule[name], scores[name]) for name in rule)
