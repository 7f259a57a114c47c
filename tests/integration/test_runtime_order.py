"""Events out of order, timers between them, and history, on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from engine.clock import ManualClock
from engine.model.journey import Again
from tests.integration.runtime_kit import LEFT, Make
from tests.unit.core.build import (
    CLICK,
    T0,
    at,
    branch,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
    wait_for,
)

JOURNEY = LEFT


class TestOrderOfTime:
    def test_an_order_known_before_its_view(self, make: Make) -> None:
        shop = make()
        shop.drain(order(at(hours=1)))
        shop.drain(view(received=at(hours=1, minutes=1)))
        assert shop.runs() == [("left-behind", "p1", "stopped")]

    def test_at_the_same_time_the_id_decides(self, make: Make) -> None:
        shop = make()
        shop.drain(order(id="b1", who=("user:1",)), order(id="a2", who=("user:2",)))
        shop.drain(view(id="a1", who=("user:1",)), view(id="b2", who=("user:2",)))
        found = dict(
            shop.rows(
                "select i.identifier, e.status from enrollment e join identity i using (profile_id)"
            )
        )
        assert found == {"user:1": "stopped", "user:2": "active"}

    def test_timers_between_the_events_of_a_batch(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1"), order(at(hours=3)))
        assert shop.messages() == [("left", "cancelled", "stopped")]

    def test_a_late_trigger_in_the_past_and_another_in_the_present(self, make: Make) -> None:
        """Two runs of one key must not both be active, whichever began first."""
        always = journey(wait(days=60), again=Again("always"), stops=[stop()])
        shop = make(always, clock=ManualClock(at(days=-100)))
        shop.drain(view(at(days=-100)))
        shop.at(at(days=-40)).wake()
        shop.drain(view(at(days=-50), received=at(days=-39)))
        assert [status for _, _, status in shop.runs()] == ["active", "finished"]
        shop.drain(view(at(days=-38)))
        assert len(shop.runs()) == 2

    def test_the_longest_window_is_loaded(self, make: Make) -> None:
        """Two events of a batch ask for the same history, one far and one near."""
        far = journey(wait(hours=1), name="far", if_='count("Page", within="90 days") >= 1')
        near = journey(
            wait(hours=1), name="near", trigger=CLICK, if_='count("Page", within="1 day") >= 1'
        )
        shop = make(far, near)
        shop.drain(event("Page", at(days=-50)))
        shop.drain(view(T0), event(CLICK, at(minutes=1)))
        assert shop.runs() == [("far", "", "active")]

    def test_a_timer_a_little_late_looks_back_from_when_it_was_due(self, make: Make) -> None:
        shop = make(journey(wait(hours=2), branch(('did("Page", within="1 hour")', [send()]))))
        shop.drain(view(), event("Page", at(hours=1)))
        shop.at(at(hours=2, seconds=30)).wake()
        assert shop.messages() == [("hello", "due", "")]

    def test_wait_for_over_batches_with_the_trigger_in_mind(self, make: Make) -> None:
        shop = make(
            journey(
                wait_for(CLICK, if_="event.url == trigger.url", days=1, then=[send(template="yes")])
            )
        )
        shop.drain(view(url="/a"))
        shop.drain(event(CLICK, at(minutes=1), url="/b"))
        assert shop.messages() == []
        shop.drain(event(CLICK, at(minutes=2), url="/a"))
        assert shop.messages() == [("yes", "due", "")]


def test_the_clock_is_what_makes_a_timer_late(make: Make) -> None:
    shop = make()
    shop.drain(view(product="p1"))
    shop.at(at(days=2, hours=2) + timedelta(seconds=1))
    shop.drain(event("Page", at(days=2)))
    assert shop.messages() == []  # a day and more overdue: skipped
    assert shop.runs() == [("left-behind", "p1", "finished")]
