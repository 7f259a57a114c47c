"""Segments decided by hand: what each rule means, until when, and what touches it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.core.segments import Subject, Verdict, judge, touch_of
from engine.core.segments.standing import Book, Held, Standing, Step, follow
from engine.core.shopper import Past, ShopperHistory
from engine.model.event import Event
from engine.model.profile import Profile
from engine.model.segment import Scale
from tests.property.segment_strategies import compiled
from tests.unit.core.build import T0, at, event, order, view

TICK = timedelta(microseconds=1)
SCALE = Scale(
    tuple(timedelta(days=n) for n in (10, 20, 40, 80)),
    tuple(map(Decimal, (1, 2, 3, 4))),
    tuple(map(Decimal, (10, 20, 40, 80))),
)


def somebody(*events: Event, **profile: Any) -> Subject:
    history = ShopperHistory()
    for one in events:
        history.add(one.name, Past(one.time, one.id, one.properties))
    return Subject(Profile(1, **profile), history)


def decide(rule: Any, subject: Subject, moment: Any = T0) -> Verdict:
    segment = compiled(rule)
    return judge(segment.rule, subject, moment, segment.setting, SCALE)


def test_who_viewed_within_seven_days_falls_out_a_tick_after_them() -> None:
    rule = {"did": "Product Viewed", "within": "7 days"}
    subject = somebody(view(T0), view(at(days=1)))
    assert decide(rule, subject, at(days=2)) == (True, at(days=8) + TICK)
    assert decide(rule, subject, at(days=8)) == (True, at(days=8) + TICK)
    assert decide(rule, subject, at(days=8) + TICK) == (False, None)


def test_two_times_last_as_long_as_the_second_latest() -> None:
    rule = {"did": "Product Viewed", "times": "at least 2", "within": "7 days"}
    subject = somebody(view(T0), view(at(days=1)), view(at(days=3)))
    assert decide(rule, subject, at(days=3)) == (True, at(days=8) + TICK)


def test_a_lapsed_buyer_becomes_one_by_time_alone() -> None:
    rule = {"last": "Order Completed", "longer ago than": "180 days"}
    assert decide(rule, somebody(order(T0)), at(days=1)) == (False, at(days=180))
    assert decide(rule, somebody(order(T0)), at(days=180)) == (True, None)
    assert decide(rule, somebody(), T0) == (False, None)


def test_of_several_rules_the_one_that_decides_is_looked_at() -> None:
    """Who has not bought need not be looked at because a view grows old."""
    viewed, bought = {"did": "Product Viewed", "within": "7 days"}, {"did": "Order Completed"}
    lapsed = {"last": "Order Completed", "longer ago than": "30 days"}
    assert decide({"all": [viewed, bought]}, somebody(view(T0)), T0) == (False, None)
    assert decide({"any": [viewed, bought]}, somebody(view(T0)), T0) == (True, at(days=7) + TICK)
    # Neither holds yet; together they cannot before the later of the two.
    early = {"last": "Order Completed", "longer ago than": "5 days"}
    assert decide({"all": [early, lapsed]}, somebody(order(T0)), T0) == (False, at(days=30))


def test_scores_fall_as_the_last_order_grows_old() -> None:
    subject = somebody(orders=3, last_order_at=T0, lifetime_value={"USD": Decimal(41)})
    best = {"rfm": {"recency": 5}}
    assert decide(best, subject, at(days=10)) == (True, at(days=10) + TICK)
    assert decide(best, subject, at(days=10) + TICK) == (False, None)
    assert decide({"rfm": {"recency": "at most 2"}}, subject, T0) == (False, at(days=40) + TICK)
    assert decide({"rfm": {"frequency": 3, "monetary": 4}}, subject) == (True, None)
    assert decide({"rfm": {"frequency": "1 to 5"}}, somebody()) == (False, None)


def test_a_day_is_one_by_the_shoppers_own_clock() -> None:
    rule = {"date": "profile.ends", "in the next": "1 day"}
    karachi = somebody(traits={"ends": "2026-03-05", "timezone": "Asia/Karachi"})
    begins = at(days=1, hours=10)  # midnight there is 19:00 UTC of the day before
    assert decide(rule, karachi, T0) == (False, begins)
    assert decide(rule, karachi, begins) == (True, begins + timedelta(days=2))
    assert decide(rule, somebody(traits={"ends": "some day"}), T0) == (False, None)


def test_a_sum_goes_up_and_down_as_time_passes() -> None:
    rule = {
        "did": "Order Completed",
        "within": "10 days",
        "sum of": "event.revenue",
        "is": "at least 50",
    }
    orders = [
        event("Order Completed", T0, revenue=Decimal(60)),
        event("Order Completed", at(days=1), revenue=Decimal(-20)),  # takes it below
        event("Order Completed", at(days=2), revenue="30"),  # a text that is a number
        event("Order Completed", at(days=2), revenue="unknown"),
    ]
    assert decide(rule, somebody(*orders), T0) == (True, at(days=1))
    assert decide(rule, somebody(*orders), at(days=1)) == (False, at(days=2))
    assert decide(rule, somebody(*orders), at(days=2)) == (True, at(days=10) + TICK)


def test_a_condition_that_cannot_be_decided_does_not_hold() -> None:
    assert decide({"if": "profile.tier > 3"}, somebody()) == (False, None)
    assert decide({"not": {"if": "profile.tier > 3"}}, somebody()) == (True, None)


@pytest.mark.parametrize(
    ("rule", "touches"),
    [
        ({"did": "Product Viewed", "within": "7 days"}, {"events": {"Product Viewed"}}),
        ({"if": 'profile.tier == "gold"'}, {"fields": {"tier"}}),
        ({"if": 'profile.age > 3 and did("Page")'}, {"fields": {"age"}, "events": {"Page"}}),
        ({"in journey": "win-back"}, {"journeys": {"win-back"}}),
        ({"consent": "email"}, {"consents": True}),
        ({"on list": "vip"}, {"lists": {"vip"}}),
        (
            {"rfm": {"recency": 5}},
            {"fields": {"orders", "last_order_at", "lifetime_value"}, "scored": True},
        ),
        ({"not": {"in segment": "other"}}, {"events": {"Product Viewed"}}),
        ({"random": "10%"}, {}),
    ],
)
def test_what_touches_a_rule(rule: Any, touches: dict[str, Any]) -> None:
    touch = touch_of(compiled(rule).rule)
    found = {
        "events": set(touch.events),
        "fields": touch.fields,
        "journeys": touch.journeys,
        "consents": touch.consents,
        "lists": touch.lists,
        "scored": touch.scored,
    }
    nothing: dict[str, Any] = {key: set() for key in ("events", "fields", "journeys", "lists")}
    assert found == {**nothing, "consents": False, "scored": False} | touches


def test_an_event_that_touches_nothing_is_not_looked_at() -> None:
    book = Book([Held(compiled({"if": 'profile.tier == "gold"'}))])
    before, same = Profile(1, {"tier": "gold"}), Profile(1, {"tier": "gold"}, orders=1)
    page = event("Page", T0)
    (step,) = book.steps(before, [(page, same, T0)])
    assert step.touched == frozenset()
    (step,) = book.steps(before, [(page, Profile(1, {"tier": "silver"}), T0)])
    assert step.touched == {"it"}


def test_whom_nobody_has_looked_at_yet_does_not_enter_by_the_next_event() -> None:
    """A definition that is new: who fits it did not enter by what came after."""
    book = Book([Held(compiled({"did": "Product Viewed"}), place=0)])
    standings: dict[str, Standing] = {}
    again = view(at(hours=1))
    step = Step(again.time, Profile(1), again, frozenset({"it"}))
    assert follow(book, somebody(view(T0)), standings, [step]) == []
    assert standings["it"].member
    standings = {}
    (change,) = follow(book, somebody(), standings, [step])
    assert (change.member, change.at, change.cause) == (True, again.time, again.id)
