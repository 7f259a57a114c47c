"""Whether a shopper is in a segment at a moment, and from when on time alone may change that.

Each rule gives its value and a moment before which the value cannot change unless something
happens to the shopper. ``and`` and ``or`` put these together: three rules of which one does not
hold cannot hold together before that one does. So a shopper is looked at again when there is
something to see, not at every tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from engine.core.conditions import ConditionError, holds
from engine.core.conditions.values import number
from engine.core.consent import answer_of
from engine.core.ids import percentile
from engine.core.moments import read_date
from engine.core.segments.subject import Subject
from engine.core.segments.whereabouts import lives_in
from engine.core.segments.windows import TICK, counted, enters, in_dates, leaves, walk
from engine.core.shopper import Past
from engine.core.timing import local_to_utc
from engine.core.zones import shopper_zone
from engine.model.journey import Condition
from engine.model.policy import Topic
from engine.model.segment import (
    All,
    Bucketed,
    Consented,
    Dated,
    Did,
    Either,
    If,
    InSegment,
    Journeyed,
    Listed,
    Located,
    Not,
    Nth,
    Rule,
    Scale,
    Scored,
    Setting,
    Span,
)


class Verdict(NamedTuple):
    """``member``, and ``until``: before this moment (UTC) time alone does not change it; None:
    never."""

    member: bool
    until: datetime | None = None


def judge(
    rule: Rule, subject: Subject, at: datetime, setting: Setting, scale: Scale | None = None
) -> Verdict:
    """Decide ``rule`` for ``subject`` at ``at``. ``scale``: without it nobody has RFM scores."""
    kind = rule.__class__
    if kind is Did:
        return _did(rule, subject, at, setting)  # type: ignore[arg-type]
    match rule:
        case All(parts=parts):
            return _both([judge(part, subject, at, setting, scale) for part in parts], True)
        case Either(parts=parts):
            return _both([judge(part, subject, at, setting, scale) for part in parts], False)
        case Not(part=part):
            member, until = judge(part, subject, at, setting, scale)
            return Verdict(not member, until)
        case InSegment(rule=inner, name=name):
            assert inner is not None, f"segment '{name}' was not linked"
            return judge(inner, subject, at, setting, scale)
        case Did():
            return _did(rule, subject, at, setting)
        case Nth():
            return _nth(rule, subject, at, setting)
        case If(condition=condition):
            return _if(condition, subject, at, setting)
        case Dated():
            return _dated(rule, subject, at, setting)
        case Journeyed():
            return _journeyed(rule, subject, at)
        case Consented():
            return Verdict(_says(rule, subject, setting) == rule.says)
        case Located():
            return Verdict(lives_in(rule, subject.profile.traits))
        case Scored():
            return _scored(rule, subject, at, setting, scale)
        case Listed(name=name):
            return Verdict(name in subject.lists)
        case Bucketed(salt=salt, low=low, high=high):
            return Verdict(low <= percentile("segment", salt, subject.profile.id) < high)


def _both(verdicts: Sequence[Verdict], of_all: bool) -> Verdict:
    """All of them hold (``of_all``), or one does. Where one part decides, it does so until it
    changes; of several that do, until the last of them has."""
    deciding = [verdict.until for verdict in verdicts if verdict.member != of_all]
    if deciding:
        ends = [until for until in deciding if until is not None]
        return Verdict(not of_all, max(ends) if len(ends) == len(deciding) else None)
    return Verdict(of_all, _soonest(*(verdict.until for verdict in verdicts)))


def _soonest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _facts(subject: Subject, at: datetime, setting: Setting, past: Past | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "profile": subject.profile_facts(setting.currency),
        "history": subject.history,
        "now": at,
    }
    if past is not None:
        facts["event"] = subject.seen(past)
    return facts


def _did(rule: Did, subject: Subject, at: datetime, setting: Setting) -> Verdict:
    if rule.condition is None and rule.measure == "times" and len(rule.events) == 1:
        quick = counted(rule.window, rule.span, subject.history.named(rule.events[0]), at)
        if quick is not None:
            return Verdict(*quick)
    found, values = _matching(rule, subject, at, setting)

    def test(first: int, end: int) -> bool:
        return rule.span.holds(_measured(rule, values, first, end))

    return Verdict(*walk(found, rule.window, at, test))


def measured(rule: Did, subject: Subject, at: datetime, setting: Setting) -> Decimal | int | None:
    """What the rule's measure is at ``at``; None where there is nothing to measure."""
    found, values = _matching(rule, subject, at, setting)
    inside = [
        place
        for place, past in enumerate(found)
        if enters(rule.window, past.time) <= at
        and ((gone := leaves(rule.window, past.time)) is None or at < gone)
    ]
    first, end = (inside[0], inside[-1] + 1) if inside else (0, 0)
    return _measured(rule, values, first, end)


def _matching(
    rule: Did, subject: Subject, at: datetime, setting: Setting
) -> tuple[list[Past], list[Decimal | int]]:
    """The events that the rule asks about, in order of time, and what each is worth."""
    found = []
    values: list[Decimal | int] = []
    for name in rule.events:
        for past in subject.history.named(name):
            if not in_dates(rule.window, past.time):
                continue
            if (
                rule.condition is not None
                and not holds(rule.condition, _facts(subject, at, setting, past))[0]
            ):
                continue
            found.append(past)
    if len(rule.events) > 1:
        found.sort(key=lambda past: past[:2])
    if rule.value is not None:
        worth = [(past, _value(rule.value, _facts(subject, at, setting, past))) for past in found]
        found = [past for past, value in worth if value is not None]
        values = [value for _, value in worth if value is not None]
    return found, values


def _measured(rule: Did, values: list[Decimal | int], first: int, end: int) -> Decimal | int | None:
    if rule.measure == "times":
        return end - first
    some = values[first:end]
    if rule.measure == "sum":
        return sum(some, Decimal(0))
    if not some:
        return None
    if rule.measure == "average":
        total = Decimal(sum(some))
        return total / len(some)
    return min(some) if rule.measure == "smallest" else max(some)


def _value(value: Condition, facts: dict[str, Any]) -> Decimal | int | None:
    try:
        return number(value.test(facts))
    except ConditionError:
        return None


def _nth(rule: Nth, subject: Subject, at: datetime, setting: Setting) -> Verdict:
    known = subject.history.named(rule.event)
    come = known if known and known[-1].time <= at else [p for p in known if p.time <= at]
    coming = known[len(come)].time if len(come) < len(known) else None
    if not come:
        return Verdict(False, coming)
    past = come[0] if rule.which == "first" else come[-1]
    other = None if rule.which == "first" else coming
    if not in_dates(rule.window, past.time) or (
        rule.condition is not None
        and not holds(rule.condition, _facts(subject, at, setting, past))[0]
    ):
        return Verdict(False, other)
    begins, ends = enters(rule.window, past.time), leaves(rule.window, past.time)
    if at < begins:
        return Verdict(False, _soonest(begins, other))
    if ends is not None and at >= ends:
        return Verdict(False, other)
    return Verdict(True, _soonest(ends, other))


def _if(condition: Condition, subject: Subject, at: datetime, setting: Setting) -> Verdict:
    value, _ = holds(condition, _facts(subject, at, setting, None))
    moments = []
    for name, within in condition.windows:
        gone = [past.time + within + TICK for past in subject.history.named(name)]
        moments.append(min((moment for moment in gone if moment > at), default=None))
    for name, _ in condition.history:
        times = [past.time for past in subject.history.times(name, at)]
        moments.append(min((time for time in times if time > at), default=None))
    return Verdict(value, _soonest(*moments))


def _dated(rule: Dated, subject: Subject, at: datetime, setting: Setting) -> Verdict:
    try:
        found = read_date(rule.date.test(_facts(subject, at, setting, None)))
    except ConditionError:
        found = None
    if found is None:
        return Verdict(False)
    try:
        begins, ends = _extent(found, subject, setting)
        if rule.ahead is not None:
            begins -= rule.ahead
        if rule.past is not None:
            ends += rule.past
    except (OverflowError, ValueError):  # the first or last days of the calendar
        return Verdict(False)
    if at < begins:
        return Verdict(False, begins)
    return Verdict(True, ends) if at < ends else Verdict(False)


def _extent(
    found: date | datetime, subject: Subject, setting: Setting
) -> tuple[datetime, datetime]:
    """The time that a date takes up, its end not included: a moment itself, a day all of it."""
    if isinstance(found, datetime):
        return found, found + TICK
    zone = shopper_zone(subject.profile.traits, setting.timezone)
    midnight = datetime(found.year, found.month, found.day)
    return local_to_utc(midnight, zone), local_to_utc(midnight + timedelta(days=1), zone)


def _journeyed(rule: Journeyed, subject: Subject, at: datetime) -> Verdict:
    """Runs are known by when they began and ended, also those that will have by then."""
    spans: list[tuple[datetime, datetime | None]] = []
    for stay in subject.stays:
        if stay.journey != rule.journey:
            continue
        if rule.how == "in":
            spans.append((stay.entered_at, stay.ended_at))
        elif rule.how == "was":
            spans.append((stay.entered_at, _end(stay.entered_at, rule.within)))
        elif stay.goal and stay.ended_at is not None:
            spans.append((stay.ended_at, _end(stay.ended_at, rule.within)))
    now = [end for begin, end in spans if begin <= at and (end is None or at < end)]
    if now:
        return Verdict(True, max(end for end in now if end) if None not in now else None)
    return Verdict(False, _soonest(*(begin for begin, _ in spans if begin > at)))


def _end(begin: datetime, within: timedelta | None) -> datetime | None:
    return None if within is None else begin + within + TICK


def _says(rule: Consented, subject: Subject, setting: Setting) -> str:
    kind = "double opt-in" if rule.topic in setting.double else "opt-in"
    topic = Topic(rule.topic, rule.topic, kind)  # type: ignore[arg-type]
    answer = answer_of(topic, rule.topic, rule.channel, subject.consents.values())
    return {"stopped": "no", "silent": "nothing"}.get(answer, answer)


def _scored(
    rule: Scored, subject: Subject, at: datetime, setting: Setting, scale: Scale | None
) -> Verdict:
    profile = subject.profile
    if scale is None or not profile.orders or profile.last_order_at is None:
        return Verdict(False)
    verdicts = []
    if rule.frequency is not None:
        score = 1 + sum(profile.orders > limit for limit in scale.frequency)
        verdicts.append(Verdict(rule.frequency.holds(score)))
    if rule.monetary is not None:
        spent = profile.lifetime_value.get(setting.currency, Decimal(0))
        score = 1 + sum(spent > limit for limit in scale.monetary)
        verdicts.append(Verdict(rule.monetary.holds(score)))
    if rule.recency is not None:
        verdicts.append(_recent(rule.recency, profile.last_order_at, at, scale))
    return _both(verdicts, True)


def _recent(span: Span, last: datetime, at: datetime, scale: Scale) -> Verdict:
    """5 up to the first limit since the last order, then 4 and so on."""
    steps = [last + limit + TICK for limit in scale.recency]
    passed = sum(step <= at for step in steps)
    value = span.holds(5 - passed)
    for score, step in enumerate(steps[passed:], start=passed + 1):
        if span.holds(5 - score) != value:
            return Verdict(value, step)
    return Verdict(value)
