"""Rules decided for many shoppers at once, in columns: the same answers as ``judge`` gives one by
one, and where it cannot give them exactly, it says so and the shopper is left to ``judge``.

A condition is asked once for each kind of event that there is, not once an event, so it means
here what it means there. Numbers are whole: of an event's value so many decimals as there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from engine.core.conditions import ConditionError
from engine.core.facts_view import seen
from engine.core.ids import percentile
from engine.core.segments.columns import (
    LAST,
    Columns,
    Sorted,
    Stream,
    fields_of,
    length,
    moment_of,
    read_by,
    streams_of,
    ticks,
)
from engine.core.segments.judge import judge
from engine.core.segments.measures import tester, whole_numbers
from engine.core.segments.slide import NEVER, Bools, Ints, runs_of, slide
from engine.core.segments.subject import Subject
from engine.core.segments.touch import parts_of
from engine.model.journey import Condition
from engine.model.profile import Profile
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
    Window,
)

__all__ = ["Answer", "Sweep", "moment_of"]

#: A window longer than this leaves the calendar: microseconds of some thousand years.
_LONG = 2**55


@dataclass(slots=True)
class Answer:
    """Of each shopper: in or out, ``until`` when (``NEVER``: for ever), and who is ``unsure``."""

    member: Bools
    until: Ints
    unsure: Bools


class Sweep:
    """The shoppers of ``columns`` at ``at``, which hold what ``Wanted`` says of the rules asked."""

    def __init__(self, columns: Columns, at: datetime) -> None:
        self._columns = columns
        self._moment = at
        self._at = ticks(at)
        self._number = len(columns.ids)

    def decide(self, rule: Rule, setting: Setting, scale: Scale | None = None) -> Answer:
        """``rule`` for all of them."""
        return self._decide(rule, setting, scale, np.ones(self._number, np.bool_))

    def _decide(self, rule: Rule, setting: Setting, scale: Scale | None, asked: Bools) -> Answer:
        match rule:
            case All(parts=parts):
                return self._both(parts, True, setting, scale, asked)
            case Either(parts=parts):
                return self._both(parts, False, setting, scale, asked)
            case Not(part=part):
                inner = self._decide(part, setting, scale, asked)
                return Answer(~inner.member, inner.until, inner.unsure)
            case InSegment(rule=linked, name=name):
                assert linked is not None, f"segment '{name}' was not linked"
                return self._decide(linked, setting, scale, asked)
            case Did():
                answer = self._did(rule)
            case Nth():
                answer = self._nth(rule)
            case If(condition=condition):
                answer = self._person(rule, setting, scale)
                for name, _ in condition.history:
                    answer.unsure[self._columns.events[Stream(name)].who] = True
            case Dated() | Located() | Scored():
                answer = self._person(rule, setting, scale)
            case Journeyed():
                answer = self._journeyed(rule)
            case Consented():
                answer = self._consented(rule, setting)
            case Listed(name=name):
                answer = self._all(False)
                answer.member[self._columns.lists[name]] = True
            case Bucketed():
                answer = self._bucketed(rule, asked)
        answer.unsure |= (answer.until > LAST) & (answer.until < NEVER)
        return answer

    def _all(self, member: bool) -> Answer:
        return Answer(
            np.full(self._number, member),
            np.full(self._number, NEVER, np.int64),
            np.zeros(self._number, np.bool_),
        )

    def _both(
        self,
        parts: Sequence[Rule],
        of_all: bool,
        setting: Setting,
        scale: Scale | None,
        asked: Bools,
    ) -> Answer:
        """As ``judge`` puts parts together. Who is decided for ever by one is not asked again."""
        decided = np.zeros(self._number, np.bool_)
        latest = np.full(self._number, np.iinfo(np.int64).min)
        soonest = np.full(self._number, NEVER, np.int64)
        unsure, settled = decided.copy(), decided.copy()
        for part in sorted(parts, key=_dear):
            one = self._decide(part, setting, scale, asked & ~settled)
            decides = (one.member != of_all) & ~one.unsure
            decided |= decides
            np.maximum(latest, one.until, out=latest, where=decides)
            np.minimum(soonest, one.until, out=soonest)
            unsure |= one.unsure
            settled |= decides & (one.until == NEVER)
        return Answer(decided != of_all, np.where(decided, latest, soonest), unsure & ~settled)

    def _did(self, rule: Did) -> Answer:
        window, within, ago = rule.window, None, length(rule.window.ago)
        if rule.window.within is not None:
            within = length(rule.window.within)
        found: list[tuple[Ints, Ints, Ints]] = []
        kinds: list[dict[str, Any]] = []
        for stream in streams_of(rule.events, rule.condition, rule.value):
            events = self._columns.events[stream]
            inside = self._in_dates(window, events.times)
            if within is not None:
                inside &= events.times >= self._at - within
            found.append(
                (events.who[inside], events.times[inside], events.codes[inside] + len(kinds))
            )
            kinds += events.kinds
        who, times, codes = (np.concatenate(column) for column in zip(*found, strict=True))
        if len(found) > 1:
            order = np.lexsort((times, who))
            who, times, codes = who[order], times[order], codes[order]
        empty = rule.span.holds(0) if rule.measure in ("times", "sum") else False
        answer = self._all(empty)
        if read_by(rule.condition, rule.value) is None or max(within or 0, ago) > _LONG:
            answer.unsure[who] = True
            return answer
        values = np.zeros(0, np.int64)
        scale = 0
        if rule.condition is not None or rule.value is not None:
            keep, odd = _asked(rule.condition, kinds)
            if rule.value is not None:
                numbers, scale = whole_numbers(rule.value, rule.span, kinds, keep, odd)
                values = numbers[codes]
            answer.unsure[who[odd[codes]]] = True
            stay = keep[codes]
            who, times = who[stay], times[stay]
            values = values[stay] if rule.value is not None else values
        if not len(who):
            return answer
        test = tester(rule.measure, rule.span, values, scale, who)
        if test is None:
            answer.unsure[who] = True
            return answer
        some, member, until = slide(who, times, within, ago, self._at, test)
        answer.member[some], answer.until[some] = member, until
        return answer

    def _nth(self, rule: Nth) -> Answer:
        answer = self._all(False)
        [stream] = streams_of((rule.event,), rule.condition)
        events = self._columns.events[stream]
        if not len(events.who):
            return answer
        begins = runs_of(events.who)
        ends = np.append(begins[1:], len(events.who))
        some = events.who[begins]
        come = np.add.reduceat(events.times <= self._at, begins, dtype=np.int64)
        next_one = np.minimum(begins + come, ends - 1)
        coming = np.where(begins + come < ends, events.times[next_one], NEVER)
        is_first = rule.which == "first"
        place = begins if is_first else begins + np.maximum(come, 1) - 1
        time = events.times[place]
        other = np.full(len(some), NEVER) if is_first else coming
        fits = self._in_dates(rule.window, time)
        within = NEVER if rule.window.within is None else length(rule.window.within)
        ago = length(rule.window.ago)
        if rule.condition is not None:
            keep, odd = _asked(rule.condition, events.kinds)
            beside = np.clip(place + (1 if is_first else -1), begins, ends - 1)
            # Which of two at the same moment comes first, their ids say.
            tied = (beside != place) & (events.times[beside] == time)
            wrong = tied | odd[events.codes[place]]
            wrong |= read_by(rule.condition) is None
            answer.unsure[some[wrong & (come > 0)]] = True
            fits &= keep[events.codes[place]]
        if ago > _LONG or _LONG < within < NEVER:
            answer.unsure[some] = True
            return answer
        opens = time + ago
        closes = np.full(len(some), NEVER) if within == NEVER else time + (within + 1)
        before, inside = self._at < opens, (opens <= self._at) & (self._at < closes)
        until = np.where(
            fits & before,
            np.minimum(opens, other),
            np.where(fits & inside, np.minimum(closes, other), other),
        )
        answer.member[some] = fits & inside & (come > 0)
        answer.until[some] = np.where(come > 0, until, coming)
        return answer

    def _in_dates(self, window: Window, times: Ints) -> Bools:
        inside = np.ones(len(times), np.bool_)
        if window.since is not None:
            inside &= times >= ticks(window.since)
        if window.before is not None:
            inside &= times < ticks(window.before)
        return inside

    def _person(self, rule: Rule, setting: Setting, scale: Scale | None) -> Answer:
        fields = fields_of(rule)
        if fields is None:
            answer = self._all(False)
            answer.unsure[:] = True
            return answer
        return self._by_kind(
            self._columns.people[fields], lambda one: Subject(one), rule, setting, scale
        )

    def _consented(self, rule: Consented, setting: Setting) -> Answer:
        return self._by_kind(
            self._columns.consents[rule.channel, rule.topic],
            lambda some: Subject(Profile(0), consents={(c.channel, c.topic): c for c in some}),
            rule,
            setting,
            None,
        )

    def _by_kind(
        self, these: Sorted[Any], subject: Any, rule: Rule, setting: Setting, scale: Scale | None
    ) -> Answer:
        """Judged once for each kind of shopper."""
        found = Answer(
            np.zeros(len(these.kinds), np.bool_),
            np.full(len(these.kinds), NEVER, np.int64),
            np.zeros(len(these.kinds), np.bool_),
        )
        for place, kind in enumerate(these.kinds):
            try:
                member, until = judge(rule, subject(kind), self._moment, setting, scale)
            except Exception:  # a fault: left to who reports faults
                found.unsure[place] = True
                continue
            found.member[place] = member
            if until is not None:
                found.until[place] = ticks(until)
        codes = these.codes
        return Answer(found.member[codes], found.until[codes], found.unsure[codes])

    def _journeyed(self, rule: Journeyed) -> Answer:
        answer = self._all(False)
        stays = self._columns.stays[rule.journey]
        who, begin, end = stays.who, stays.entered, stays.ended
        within = NEVER if rule.within is None else length(rule.within)
        if rule.how == "goal":
            reached = stays.goal & (stays.ended < NEVER)
            who, begin = who[reached], stays.ended[reached]
        if rule.how != "in":
            if _LONG < within < NEVER:
                answer.unsure[who] = True
                return answer
            end = np.full(len(who), NEVER) if within == NEVER else begin + (within + 1)
        now = (begin <= self._at) & (self._at < end)
        later = begin > self._at
        np.minimum.at(answer.until, who[later], begin[later])
        answer.member[who[now]] = True
        answer.until[who[now]] = 0
        np.maximum.at(answer.until, who[now], end[now])
        return answer

    def _bucketed(self, rule: Bucketed, asked: Bools) -> Answer:
        answer = self._all(False)
        answer.unsure[~asked] = True
        some = np.flatnonzero(asked)
        answer.member[some] = [
            rule.low <= percentile("segment", rule.salt, id) < rule.high
            for id in self._columns.ids[some].tolist()
        ]
        return answer


def _dear(rule: Rule) -> bool:
    return any(isinstance(part, Bucketed) for part in parts_of(rule))


def _asked(condition: Condition | None, kinds: Sequence[dict[str, Any]]) -> tuple[Bools, Bools]:
    """For which kinds of event the condition holds, and of which it cannot be told."""
    keep = np.ones(len(kinds), np.bool_)
    odd = np.zeros(len(kinds), np.bool_)
    if condition is not None and read_by(condition) is not None:
        for place, kind in enumerate(kinds):
            try:
                keep[place] = bool(condition.test({"event": seen(kind)}))
            except ConditionError:
                keep[place] = False
            except Exception:  # a fault: left to who reports faults
                keep[place], odd[place] = False, True
    return keep, odd
