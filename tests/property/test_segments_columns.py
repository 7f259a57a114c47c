"""For random rules and random lives of many shoppers: what the columns say, both who is in and
until when, is what the judge says of each, or they leave it to the judge."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.consent import consents_of, stricter
from engine.core.profiles import absorb
from engine.core.segments import Stay, Subject, judge
from engine.core.segments.columns import moment_of
from engine.core.segments.sweep import Sweep
from engine.core.shopper import Past
from engine.model.event import Event
from engine.model.profile import Profile
from engine.model.segment import Segment
from tests.property.segment_columns import columns_of
from tests.property.segment_strategies import GRID, SCALE, compiled, lists, lives, rules, runs
from tests.unit.core.build import T0, event

TICK = timedelta(microseconds=1)

#: What shops send for a number.
_odd_values = st.sampled_from(
    [None, "15", " 15.50 ", "abc", True, 7, -3, Decimal("0.1"), Decimal("15.123456789"),
     Decimal("1E+30"), [15], {"amount": 15}, "", 10**20, Decimal("40.00")]
)  # fmt: skip
_odd_events = st.builds(
    lambda name, n, value, edge: event(name, T0 + n * GRID + edge, revenue=value, product_id=value),
    st.sampled_from(["Product Viewed", "Order Completed", "Order Refunded"]),
    st.integers(0, 24),
    _odd_values,
    st.sampled_from([-TICK, timedelta(0), TICK]),
)
_bare = st.builds(event, st.just("Order Completed"), st.just(T0 + GRID))
_lives = st.tuples(lives, st.lists(st.one_of(_odd_events, _bare), max_size=5)).map(
    lambda two: [*two[0], *two[1]]
)


def lived(id: int, life: list[Event], stays: Any, on: frozenset[str]) -> Subject:
    """A shopper after all of it."""
    profile, consents = Profile(id), {}
    subject = Subject(profile, stays=[Stay(*stay) for stay in stays], lists=on)
    for one in life:
        if one.name.startswith("Order") and not isinstance(one.properties.get("revenue"), Decimal):
            pass  # counted in columns of events alone
        else:
            profile = absorb(profile, one)
        subject.history.add(one.name, Past(one.time, one.id, one.properties))
        for consent in consents_of(one):
            place = (consent.channel, consent.topic)
            known = consents.get(place)
            consents[place] = consent if known is None else stricter(known, consent)
    subject.profile, subject.consents = profile, consents
    return subject


def compare(segment: Segment, subjects: list[Subject], moments: list[Any]) -> int:
    """Gives how many answers the columns gave."""
    columns = columns_of(segment.rule, subjects)
    sure = 0
    for at in moments:
        answer = Sweep(columns, at).decide(segment.rule, segment.setting, SCALE)
        for place, subject in enumerate(subjects):
            if answer.unsure[place]:
                continue
            sure += 1
            expected = judge(segment.rule, subject, at, segment.setting, SCALE)
            told = bool(answer.member[place]), moment_of(int(answer.until[place]))
            assert told == tuple(expected), (place, at)
    return sure


@settings(max_examples=500, deadline=None)
@given(
    rule=rules,
    people=st.lists(st.tuples(_lives, runs, lists), min_size=1, max_size=4),
    back=st.integers(0, 8),
)
def test_columns_say_what_the_judge_says(rule: Any, people: list[Any], back: int) -> None:
    subjects = [lived(3 * n + 1, *one) for n, one in enumerate(people)]
    # From before the last of it, so that some of it is yet to come, to long after.
    begin = T0 + (24 - back) * GRID
    moments = [begin + n * GRID + edge for n in range(16) for edge in (-TICK, GRID * 0, TICK)]
    compare(compiled(rule), subjects, moments)


_EXACT = [
    {"did": "Order Completed", "times": "2 to 3", "within": "2 days"},
    {"did": "Order Completed", "longer ago than": "1 day", "within": "3 days"},
    {"did": "Order Completed", "sum of": "event.revenue", "is": "more than 20", "within": "1 day"},
    {"did": "Order Completed", "average of": "event.revenue", "is": "at least 15"},
    {"did": "Order Completed", "smallest": "event.revenue", "is": "less than 10",
     "within": "2 days"},
    {"did": "Order Completed", "largest": "event.revenue", "is": "exactly 40", "within": "2 days"},
    {"did": "Order Completed", "if": "event.revenue >= 15", "within": "12 hours"},
    {"last": "Order Completed", "longer ago than": "1 day"},
    {"first": "Order Completed", "within": "3 days", "if": "event.revenue >= 15"},
    {"date": "profile.ends", "in the next": "2 days"},
    {"consent": "email", "topic": "offers"},
    {"rfm": {"recency": "at least 4"}},
    {"random": "50%"},
    {"was in journey": "win-back", "within": "1 day"},
]  # fmt: skip


@pytest.mark.parametrize("rule", _EXACT, ids=[str(n) for n in range(len(_EXACT))])
@settings(max_examples=40, deadline=None)
@given(people=st.lists(st.tuples(lives, runs, lists), min_size=1, max_size=3))
def test_plain_rules_are_not_left_to_the_judge(rule: Any, people: list[Any]) -> None:
    subjects = []
    for n, (life, stays, on) in enumerate(people):
        by_time = {one.time: one for one in life}  # two at once: which is first, ids say
        subjects.append(lived(n + 1, list(by_time.values()), stays, on))
    moments = [T0 + n * GRID for n in range(0, 40, 3)]
    assert compare(compiled(rule), subjects, moments) == len(subjects) * len(moments)


def test_what_no_column_can_tell_is_left_to_the_judge() -> None:
    huge = lived(1, [event("Order Completed", T0, revenue=Decimal("1E+30"))], (), frozenset())
    plain = lived(2, [event("Order Completed", T0, revenue=Decimal(5))], (), frozenset())
    rule = {"did": "Order Completed", "sum of": "event.revenue", "is": "more than 20"}
    segment = compiled(rule)
    answer = Sweep(columns_of(segment.rule, [huge, plain]), T0).decide(
        segment.rule, segment.setting
    )
    assert answer.unsure.tolist() == [True, False]
    reads_profile = compiled({"did": "Order Completed", "if": "event.revenue > profile.limit"})
    nobody = lived(3, [], (), frozenset())
    answer = Sweep(columns_of(reads_profile.rule, [plain, nobody]), T0).decide(
        reads_profile.rule, reads_profile.setting
    )
    assert answer.unsure.tolist() == [True, False], "who has no such event needs no judge"
