"""Segments in the real pipeline: in with the event, gone at the tick, told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.core.book import open_book
from engine.core.segments import standing
from engine.model.journey import SEGMENT_ENTERED, Again
from engine.runtime.drain import drain
from engine.runtime.segments import search as searching
from engine.store import events as events_store
from engine.store import segment_desk
from engine.store.database import Connection
from tests.integration.runtime_kit import LEFT, Make, Pipeline, identify
from tests.integration.segment_kit import Segments
from tests.integration.versions_kit import World, new_project
from tests.unit.core.build import (
    T0,
    at,
    event,
    journey,
    order,
    send,
    stop,
    update,
    view,
    wait,
)

JOURNEY = LEFT
TICK = timedelta(microseconds=1)
VIEWED = {"did": "Product Viewed", "within": "7 days"}


@pytest.fixture
def shop(make: Make) -> Pipeline:
    return make()


@pytest.fixture
def segments(shop: Pipeline) -> Segments:
    return Segments(shop)


def test_in_with_the_event_and_out_at_the_tick(shop: Pipeline, segments: Segments) -> None:
    segments.put(it=VIEWED)
    shop.drain(view(T0))
    me = shop.profile("user:1")
    assert segments.members() == [me]
    assert segments.told() == [(SEGMENT_ENTERED, "it")]
    shop.drain()
    assert segments.at(at(days=7)).looked == 0
    assert segments.members() == [me]
    assert segments.at(at(days=7) + TICK).looked == 1
    assert segments.members() == []
    assert [name for name, _ in segments.told()] == ["Segment Entered", "Segment Left"]
    assert segments.days() == [("it", 1, 1, 0)]
    assert segments.look().looked == 0, "nobody is looked at twice"


def test_entering_and_leaving_start_journeys(make: Make) -> None:
    thanks = journey(
        send(template="welcome"),
        name="welcome",
        trigger=SEGMENT_ENTERED,
        if_="event.segment == 'it'",
    )
    bye = journey(send(template="bye"), name="bye", trigger="Segment Left")
    shop = make(thanks, bye)
    segments = Segments(shop)
    segments.put(it=VIEWED, other_one={"did": "Product Viewed", "times": "at least 9"})
    shop.drain(identify("user:1", email="a@b.de"), view(at(hours=1)))
    shop.drain()
    assert shop.runs() == [("welcome", "", "finished")]
    segments.at(at(days=8))
    shop.drain()
    assert shop.runs() == [("bye", "", "finished"), ("welcome", "", "finished")]
    began = shop.one("select entered_at from enrollment where journey = 'bye'")
    assert began == at(days=7, hours=1) + TICK, "at its own time, however late the look"


def test_a_crash_neither_loses_nor_doubles(
    shop: Pipeline, segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments.put(it=VIEWED)
    shop.accept(view(T0))
    real: Callable[..., None] = events_store.insert

    def die(connection: Connection, *rest: Any) -> None:
        real(connection, *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(events_store, "insert", die)
    with pytest.raises(KeyboardInterrupt):
        for lane in range(16):
            drain(shop.shell, lane)
    assert (segments.members(), segments.told(), segments.days()) == ([], [], [])
    monkeypatch.undo()
    shop.drain()
    shop.drain()
    assert segments.told() == [(SEGMENT_ENTERED, "it")]
    assert segments.days() == [("it", 1, 0, 0)]


def test_a_late_event_counts_at_its_own_time(shop: Pipeline, segments: Segments) -> None:
    segments.put(it=VIEWED)
    shop.drain(event("Page", at(days=10)))
    shop.drain(view(at(days=5)))
    assert shop.one("select since from segment_member where member") == at(days=5)
    shop.drain(view(at(days=1)), event("Page", at(days=11)))
    segments.at(at(days=20))
    assert segments.told() == [("Segment Entered", "it"), ("Segment Left", "it")]


def test_events_that_wait_are_worked_before_a_look(shop: Pipeline, segments: Segments) -> None:
    """A view a moment before the seventh day keeps its shopper in, though it lies in the inbox."""
    segments.put(it=VIEWED)
    shop.drain(view(T0))
    shop.drain()
    shop.accept(view(at(days=7)))
    looked = segments.at(at(days=7, hours=1))
    assert (looked.looked, looked.held) == (0, 1)
    shop.drain()
    assert segments.look().looked == 0
    assert segments.told() == [("Segment Entered", "it")]


def test_two_who_turn_out_to_be_one_are_one_member(shop: Pipeline, segments: Segments) -> None:
    unbought = {"all": [VIEWED, {"did not": "Order Completed"}]}
    segments.put(it=VIEWED, unbought=unbought)
    shop.drain(view(T0, who=["anonymous:a"]), view(T0, who=["user:1"]))
    shop.drain(order(at(hours=1), who=["user:1"]))
    assert len(segments.members()) == 2
    shop.drain(identify("user:1", "anonymous:a", time=at(hours=2)))
    shop.drain()
    assert segments.members() == [shop.profile("user:1")]
    assert segments.members("unbought") == [], "what one of them bought both have"
    left = [told for told in segments.told() if told[0] == "Segment Left"]
    # user:1 bought; the browser's did not leave alone, it became one with who had left already.
    assert left == [("Segment Left", "unbought")] * 2
    size = {name: entered - gone + other for name, entered, gone, other in segments.days()}
    assert size == {"it": 1, "unbought": 0}


def test_a_new_definition_is_found_out_silently(shop: Pipeline, segments: Segments) -> None:
    shop.drain(view(T0, who=["user:1"]), order(T0, who=["user:2"]))
    assert segments.put(it=VIEWED) == ["it"]
    assert segments.members() == [shop.profile("user:1")]
    assert segments.told() == []
    assert segments.days() == [("it", 0, 0, 1)]
    assert segments.put(it=VIEWED) == [], "the same again is not new"
    assert segments.put(it={"did": "Order Completed"}) == ["it"]
    assert segments.members() == [shop.profile("user:2")]
    assert segments.told() == []
    assert segments.days() == [("it", 0, 0, 1)], "one came, one went"


def test_while_a_search_is_under_way_nobody_is_told_wrongly(
    shop: Pipeline, segments: Segments
) -> None:
    people = [f"user:{n}" for n in range(20)]
    shop.drain(*[view(T0, who=[who]) for who in people])
    segments.put(fill=False, it={"did": "Product Viewed"}, new={"did": "Order Completed"})
    searching.search(shop.shell, 7)
    # Those behind the place have done it before; ahead of it too, though nobody knows yet.
    shop.drain(*[view(at(hours=1), who=[who]) for who in people])
    shop.drain(*[order(at(hours=2), who=[who]) for who in people[:10]])
    assert sorted(segments.told()) == [("Segment Entered", "new")] * 10
    segments.fill(3)
    assert (len(segments.members()), len(segments.members("new"))) == (20, 10)
    assert sorted(segments.told()) == [("Segment Entered", "new")] * 10
    assert segments.days() == [("it", 0, 0, 20), ("new", 10, 0, 0)]


def test_a_look_by_a_definition_that_is_new_tells_nobody(
    shop: Pipeline, segments: Segments
) -> None:
    segments.put(it=VIEWED)
    shop.drain(view(T0))
    shop.drain()
    segments.put(fill=False, it={"did": "Order Completed", "within": "7 days"})
    assert segments.at(at(days=8)).looked == 1, "the old definition's time is over"
    segments.fill()
    assert segments.members() == []
    assert segments.told() == [("Segment Entered", "it")], "it is the definition that left"
    assert segments.days() == [("it", 1, 0, -1)]


def test_a_search_goes_on_where_it_stood(shop: Pipeline, segments: Segments) -> None:
    shop.drain(*[view(T0, who=[f"user:{n}"]) for n in range(10)])
    segments.put(fill=False, it=VIEWED)
    first = searching.search(shop.shell, 4)
    assert first.seen == 4 and first.place is not None
    segments.put(fill=False, it=VIEWED, second=VIEWED)
    done = segments.fill(4)
    assert done.seen == 4 + 6, "the second catches up, then both go on together"
    assert len(segments.members()) == len(segments.members("second")) == 10


def test_a_recomputation_mends_what_was_damaged_and_finds_nothing_else(
    shop: Pipeline, segments: Segments
) -> None:
    segments.put(it=VIEWED)
    shop.drain(*[view(T0, who=[f"user:{n}"]) for n in range(5)])
    with shop.database.connection() as connection:
        segment_desk.search_anew(connection, ["it"], quiet=True)
    assert segments.fill().mended == 0
    shop.run_sql("delete from segment_member where profile_id = %s", shop.profile("user:3"))
    with shop.database.connection() as connection:
        segment_desk.search_anew(connection, ["it"], quiet=True)
    assert segments.fill().mended == 1
    assert len(segments.members()) == 5
    assert segments.days() == [("it", 5, 0, 1)]


def test_a_segment_whose_file_is_gone_is_cleared_away(shop: Pipeline, segments: Segments) -> None:
    segments.put(it=VIEWED, stays={"did": "Product Viewed"})
    shop.drain(view(T0))
    segments.put(stays={"did": "Product Viewed"})
    shop.drain(view(at(hours=1)))
    assert searching.to_do(shop.shell)
    searching.work(shop.shell, 5)
    assert shop.rows("select distinct segment from segment_member") == [("stays",)]
    assert shop.rows("select name from segment") == [("stays",)]


def test_runs_and_goals_of_journeys(make: Make) -> None:
    left = journey(
        wait(hours=2), update(tier="gold"), wait(hours=2), name="win-back",
        stops=[stop(goal=True)],
    )  # fmt: skip
    shop = make(left)
    segments = Segments(shop)
    segments.put(
        inside={"in journey": "win-back"},
        was={"was in journey": "win-back", "within": "1 day"},
        goal={"reached goal of": "win-back"},
        gold={"if": 'profile.tier == "gold"'},
    )

    def names() -> list[str]:
        return [name for name in ("inside", "was", "goal", "gold") if segments.members(name)]

    shop.drain(view(T0))
    assert names() == ["inside", "was"]
    shop.at(at(hours=2)).wake()
    assert names() == ["inside", "was", "gold"], "a timer changed the profile"
    shop.drain()  # what was told of it: it would hold the timer
    shop.at(at(hours=4)).wake()
    assert names() == ["was", "gold"]
    shop.drain(view(at(hours=5), who=["user:2"]))
    assert names() == ["inside", "was", "gold"]
    shop.drain(order(at(hours=6), who=["user:2"]))
    assert names() == ["was", "goal", "gold"]
    segments.at(at(days=2))
    assert names() == ["goal", "gold"]


def test_whoever_leaves_a_journey_by_an_edit_leaves_its_segment(
    shop: Pipeline, segments: Segments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.shelf.EVERY", 0.0)
    cart = (
        "journey: cart\non change: leave\ntrigger: {event: Product Added}\nsteps: [{wait: N days}]"
    )
    project = new_project(tmp_path / "shop", cart=cart.replace("N", "9"))
    world = World(shop.database, project, T0)
    segments.put(inside={"in journey": "cart"}, outside={"not": {"in journey": "cart"}})
    world.apply()
    world.accept(event("Product Added", T0))
    world.work(T0)
    assert (len(segments.members("inside")), len(segments.members("outside"))) == (1, 0)
    shop.at(at(hours=1))
    world.clock.move_to(at(hours=1))
    world.write("cart", cart.replace("N", "8"))
    world.apply(allowed=9)
    world.work(at(hours=1))
    segments.look()
    assert (len(segments.members("inside")), len(segments.members("outside"))) == (0, 1)


def test_consent_lists_places_and_scores(shop: Pipeline, segments: Segments) -> None:
    with shop.database.connection() as connection:
        segment_desk.keep_lists(connection, {"vip": {"email:a@b.de"}})
    segments.put(
        yes={"consent": "email", "topic": "offers"},
        listed={"on list": "vip"},
        here={"lives in": {"country": "GB"}},
        best={"rfm": {"frequency": "at least 4"}},
    )

    def names() -> list[str]:
        return [name for name in ("yes", "listed", "here", "best") if segments.members(name)]

    shop.drain(view(T0))
    assert names() == []
    shop.drain(identify("user:1", email="a@b.de", time=at(hours=1)))
    assert names() == []
    shop.drain(identify("user:1", "email:a@b.de", time=at(hours=2), address={"country": "UK"}))
    assert names() == ["listed", "here"]
    shop.drain(event("Consent Given", at(hours=3), channel="email", topic="offers"))
    assert names() == ["yes", "listed", "here"]
    shop.drain(event("Consent Withdrawn", at(hours=4), channel="email"))
    assert names() == ["listed", "here"]
    for n in range(5):
        shop.drain(*[order(at(hours=5 + m), who=[f"user:{n + 1}"]) for m in range(n + 1)])
    searching.measure(shop.shell)
    segments.fill()
    best = {shop.profile("user:4"), shop.profile("user:5")}
    assert set(segments.members("best")) == best


def test_a_new_scale_is_an_entering(shop: Pipeline, segments: Segments) -> None:
    segments.put(best={"rfm": {"monetary": 5}})
    for n in range(1, 6):
        spent = {"revenue": Decimal(n * 10), "currency": "USD"}
        shop.drain(event("Order Completed", T0, who=[f"user:{n}"], **spent))
    searching.work(shop.shell, 5)
    assert segments.members("best") == [shop.profile("user:5")]
    assert segments.told() == [], "there was no scale before"
    shop.drain(event("Order Completed", T0, who=["user:1"], revenue=Decimal(15), currency="USD"))
    shop.at(at(days=2))
    for n in range(6, 11):
        spent = {"revenue": Decimal(1000 * n), "currency": "USD"}
        shop.drain(event("Order Completed", at(days=2), who=[f"user:{n}"], **spent))
    before = set(segments.members("best"))
    searching.work(shop.shell, 5)
    after = set(segments.members("best"))
    assert len(after) == 2
    left = sum(name == "Segment Left" for name, _ in segments.told())
    assert left == len(before - after) > 0


def test_a_fault_in_a_segment_stops_no_event(
    shop: Pipeline, segments: Segments, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    segments.put(it=VIEWED, other_one={"did": "Product Viewed"})
    real = standing.judge

    def judge(rule: Any, *rest: Any) -> Any:
        if getattr(rule, "window", None) and rule.window.within:
            raise RuntimeError("a fault")
        return real(rule, *rest)

    monkeypatch.setattr(standing, "judge", judge)
    shop.drain(view(T0))
    assert segments.members("other-one") == [shop.profile("user:1")]
    assert segments.members() == []
    assert "segment 'it' cannot be decided" in caplog.text


def test_a_circle_of_segments_and_journeys_ends(make: Make) -> None:
    make_gold = journey(
        update(tier="gold"), name="gold", trigger="Segment Left", again=Again("always")
    )
    make_plain = journey(
        update(tier="plain"), name="plain", trigger="Segment Entered", again=Again("always")
    )
    shop = make(make_gold, make_plain)
    segments = Segments(shop)
    segments.put(it={"if": 'profile.tier == "gold"'})
    shop.drain(identify("user:1", tier="gold"))
    for _ in range(30):
        shop.drain()
    assert shop.one("select count(*) from inbox") == 0
    assert 5 <= len(segments.told()) <= 10


def test_the_shell_opens_what_the_database_says(shop: Pipeline, segments: Segments) -> None:
    """Another worker's shelf, which has never read a file, decides the same."""
    segments.put(it=VIEWED)
    other = Pipeline(shop.database, [LEFT])
    try:
        other.drain(view(T0))
        assert segments.members() == [other.profile("user:1")]
        segments.put(it={"did": "Order Completed"})
        other.drain(view(at(hours=1)), order(at(hours=1), who=["user:2"]))
        assert segments.members() == [other.profile("user:2")]
    finally:
        other.close()
    assert open_book([LEFT]).current
