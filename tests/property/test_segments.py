"""For random rules and random lives: what is kept up to date event by event and minute by minute
is what a look at everything says, and what a naive reading of the YAML says, at every moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.profiles import absorb
from engine.core.segments import Change, Standing, Stay, Step, Subject, follow, judge
from engine.core.segments.standing import Book, Held
from engine.model.event import Event
from engine.model.profile import Profile
from tests.property.segment_naive import World, member
from tests.property.segment_strategies import (
    GRID,
    LIMITS,
    MEANINGS,
    OTHER,
    SCALE,
    compiled,
    lists,
    lives,
    note,
    rules,
    runs,
)
from tests.unit.core.build import T0

TICK = timedelta(microseconds=1)
END = T0 + 60 * GRID


class Kept:
    """One shopper and one segment, kept up to date as the drain and the clock do it."""

    def __init__(self, rule: Any, stays: Any, on: frozenset[str]) -> None:
        self.segment = compiled(rule)
        self.book = Book([Held(self.segment, SCALE)])
        self.subject = Subject(Profile(1), stays=[Stay(*stay) for stay in stays], lists=on)
        self.standings: dict[str, Standing] = {}
        self.changes: list[Change] = []
        self.new = True

    def work(self, *events: Event) -> None:
        """As one batch: each in order of its own time."""
        profile = self.subject.profile
        happened = []
        for one in sorted(events, key=lambda e: e.order_key):
            profile = absorb(profile, one)
            happened.append((one, profile, one.time))
        steps = list(self.book.steps(self.subject.profile, happened))
        if self.new:
            steps = [step._replace(touched=self.book.every) for step in steps]
        self._follow(steps)
        self.new = False

    def pass_time(self, until: datetime) -> None:
        self._follow([], until)

    def _follow(self, steps: list[Step], until: datetime | None = None) -> None:
        self.changes += follow(
            self.book, self.subject, self.standings, steps, until=until, new=self.new
        )

    def is_member(self) -> bool:
        return self.standings["it"].member

    def anew(self, at: datetime) -> bool:
        return judge(self.segment.rule, self.subject, at, self.segment.setting, SCALE).member


def world_of(stays: Any, on: frozenset[str]) -> World:
    return World(
        runs=stays, lists=on, others={"other": OTHER}, limits=LIMITS, meanings=dict(MEANINGS)
    )


@settings(max_examples=400, deadline=None)
@given(rule=rules, life=lives, stays=runs, on=lists, steps=st.data())
def test_incremental_is_recomputed_is_naive_at_every_moment(
    rule: Any, life: list[Event], stays: Any, on: frozenset[str], steps: st.DataObject
) -> None:
    kept, world = Kept(rule, stays, on), world_of(stays, on)
    clock = T0
    for one in life:
        if steps.draw(st.booleans()) and one.time > clock and not kept.new:
            # The clock looked in between; else the event itself is the first to come by.
            clock = one.time - steps.draw(st.sampled_from([TICK, GRID / 2]))
            kept.pass_time(clock)
            assert kept.is_member() == member(rule, world, clock)
        kept.work(one)
        note(world, one)
        clock = max(clock, one.time)
        kept.pass_time(clock)
        expected = member(rule, world, clock)
        assert kept.is_member() == expected
        assert kept.anew(clock) == expected
    moments = {clock + n * GRID for n in range(1, 30)}
    for moment in sorted(moments | {m + TICK for m in moments}):
        kept.pass_time(moment)
        expected = member(rule, world, moment)
        assert kept.is_member() == expected
        assert kept.anew(moment) == expected
    words = [change.member for change in kept.changes]
    assert words == [n % 2 == 0 for n in range(len(words))], "in and out take turns"
    assert kept.is_member() == bool(words and words[-1])
    times = [change.at for change in kept.changes]
    assert times == sorted(times), "nobody leaves before they came"


@settings(max_examples=150, deadline=None)
@given(rule=rules, life=lives, stays=runs, on=lists, cut=st.integers(0, 12))
def test_batches_do_not_matter(
    rule: Any, life: list[Event], stays: Any, on: frozenset[str], cut: int
) -> None:
    by_time = {one.time: one for one in life}
    ordered = [by_time[time] for time in sorted(by_time)]
    single, batched = Kept(rule, stays, on), Kept(rule, stays, on)
    for one in ordered:
        single.work(one)
    if ordered[:cut]:
        batched.work(*ordered[:cut])
    if ordered[cut:]:
        batched.work(*ordered[cut:])
    for kept in (single, batched):
        kept.pass_time(END)
    told = [[(change.member, change.at) for change in kept.changes] for kept in (single, batched)]
    assert told[0] == told[1]


@settings(max_examples=100, deadline=None)
@given(rule=rules, life=lives, stays=runs, on=lists)
def test_no_look_is_missing_and_few_are_idle(
    rule: Any, life: list[Event], stays: Any, on: frozenset[str]
) -> None:
    """What a look puts off to a later moment does not change before it."""
    kept = Kept(rule, stays, on)
    kept.work(*life)
    at = max(one.time for one in life)
    for _ in range(200):
        verdict = judge(kept.segment.rule, kept.subject, at, kept.segment.setting, SCALE)
        last = END if verdict.until is None else min(verdict.until - TICK, END)
        for moment in (at, at + (last - at) / 3, at + (last - at) / 2, last):
            assert kept.anew(moment) == verdict.member
        if verdict.until is None or verdict.until > END:
            return
        at = verdict.until
    raise AssertionError("looked 200 times")
