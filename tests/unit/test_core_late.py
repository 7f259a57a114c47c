"""Events that come late or out of order, merges, and the history that decides."""

from __future__ import annotations

from datetime import timedelta

from engine.core.book import open_book
from engine.core.react import after_merge
from engine.core.shopper import Past, ShopperHistory
from tests.unit.core.build import (
    CLICK,
    ORDER,
    VIEW,
    Play,
    at,
    branch,
    event,
    journey,
    order,
    play,
    send,
    stop,
    update,
    view,
    wait,
)


class TestLateEvents:
    watched = journey(wait(hours=2), send(), stops=[stop(goal=True)])

    def test_an_order_known_before_the_late_trigger_stops_the_run(self) -> None:
        seen = play(self.watched).batch(order(at(hours=1), id="o"))
        seen.batch(view(), now=at(hours=1, minutes=5))
        assert (seen.run.status, seen.run.stopped_by, seen.run.goal) == ("stopped", "o", True)
        assert seen.run.ended_at == at(hours=1)
        assert seen.wake(at(hours=3)).written == []

    def test_the_earliest_of_several_orders_is_the_one(self) -> None:
        seen = play(self.watched).batch(order(at(minutes=30), id="b"), order(at(hours=1), id="a"))
        assert seen.batch(view(), now=at(hours=2)).run.stopped_by == "b"

    def test_its_condition_is_asked_too(self) -> None:
        one = journey(
            wait(hours=2),
            send(),
            key="event.product_id",
            stops=[stop(if_="key in event.product_ids")],
        )
        missed = (
            play(one).batch(order(at(hours=1), "p2")).batch(view(product="p1"), now=at(hours=1))
        )
        assert missed.run.status == "active"
        hit = play(one).batch(order(at(hours=1), "p1")).batch(view(product="p1"), now=at(hours=1))
        assert hit.run.status == "stopped"

    def test_an_order_before_the_late_trigger_does_not(self) -> None:
        seen = play(self.watched).batch(order(at(hours=-1)), event("Page", at(hours=1)))
        assert seen.batch(view(), now=at(hours=1)).run.status == "active"

    def test_a_late_order_is_judged_by_its_own_time(self) -> None:
        seen = play(self.watched).batch(view()).wake(at(hours=2))
        assert seen.templates == ["hello"]
        seen.batch(order(at(hours=1)), now=at(hours=5))
        assert seen.messages == []  # cancelled, where it has not gone yet
        assert (seen.run.status, seen.run.ended_at) == ("stopped", at(hours=1))

    def test_a_timer_between_two_events_of_a_batch_fires_between_them(self) -> None:
        one = journey(wait(hours=2), send(), wait(hours=10), send("sms"), stops=[stop()])
        seen = play(one).batch(view(), order(at(hours=3)), now=at(hours=2, seconds=30))
        assert [(m.channel, m.created_at) for m in seen.written] == [("email", at(hours=2))]
        assert seen.run.status == "stopped"

    def test_an_event_exactly_at_the_timer_comes_first(self) -> None:
        seen = play(self.watched).batch(view(), order(at(hours=2))).wake(at(hours=2))
        assert seen.written == []

    def test_and_a_microsecond_later_comes_after(self) -> None:
        moment = at(hours=2, microseconds=1)
        seen = play(self.watched).batch(view(), order(moment), now=moment)
        assert len(seen.written) == 1
        assert seen.run.status == "stopped"

    def test_timers_of_several_runs_fire_in_order(self) -> None:
        slow = journey(wait(hours=2), update(last="= 'slow'"), name="slow")
        fast = journey(wait(hours=1), update(last="= 'fast'"), name="fast")
        seen = play(slow, fast).batch(view()).wake(at(hours=2))
        assert seen.shopper.profile.traits["last"] == "slow"

    def test_chained_timers_fire_within_one_wake(self) -> None:
        one = journey(*[wait(seconds=10)] * 3, send())
        seen = play(one).batch(view()).wake(at(seconds=30))
        assert [m.created_at for m in seen.messages] == [at(seconds=30)]

    def test_fired_exactly_on_time_where_the_clock_is_left_out(self) -> None:
        from engine.core.react import on_event

        seen = play(self.watched)
        for one in (view(), order(at(days=9))):
            on_event(seen.book, seen.shopper, one, None)
        assert [m.created_at for m in seen.written] == [at(hours=2)]


class TestMerge:
    def test_an_order_of_the_other_identity_stops_the_run(self) -> None:
        seen = play(journey(wait(hours=2), send(), stops=[stop(goal=True)])).batch(view())
        seen.shopper.history.add(ORDER, Past(at(hours=1), "o", {}))
        after_merge(seen.book, seen.shopper)
        assert (seen.run.status, seen.run.stopped_by) == ("stopped", "o")

    def test_an_earlier_one_does_not(self) -> None:
        seen = play(journey(wait(hours=2), send(), stops=[stop(goal=True)])).batch(view())
        seen.shopper.history.add(ORDER, Past(at(hours=-1), "o", {}))
        after_merge(seen.book, seen.shopper)
        assert seen.run.status == "active"


class TestHistory:
    def test_in_order_of_time_whatever_the_order_of_arrival(self) -> None:
        history = ShopperHistory()
        for hours in (3, 1, 2, 1):
            history.add(VIEW, Past(at(hours=hours), f"e{hours}", {}))
        assert [p.id for p in history.times(VIEW, None)] == ["e1", "e2", "e3"]
        assert [p.id for p in history.times(VIEW, at(hours=2))] == ["e2", "e3"]
        assert [p.id for p in history.after(VIEW, (at(hours=2), "e2"))] == ["e3"]
        assert list(history.times(ORDER, None)) == []

    def test_taken_in_from_another_identity(self) -> None:
        one, other = ShopperHistory(), ShopperHistory()
        one.add(VIEW, Past(at(hours=1), "a", {}))
        other.add(VIEW, Past(at(hours=0), "b", {}))
        other.add(VIEW, Past(at(hours=1), "a", {}))
        one.take(other)
        assert [p.id for p in one.times(VIEW, None)] == ["b", "a"]

    def test_trimmed(self) -> None:
        history = ShopperHistory()
        for hours in range(4):
            history.add(VIEW, Past(at(hours=hours), f"e{hours}", {}))
        history.add(ORDER, Past(at(hours=0), "o", {}))
        history.trim(VIEW, at(hours=2))
        history.trim(CLICK, at(hours=2))
        assert [p.id for p in history.times(ORDER, None)] == ["o"]
        assert [p.id for p in history.times(VIEW, None)] == ["e2", "e3"]

    def test_within_at_a_late_timer_counts_from_the_timer(self) -> None:
        one = journey(wait(hours=2), branch(('did("Email Clicked", within="1 hour")', [send()])))
        seen = play(one).batch(view(), event(CLICK, at(hours=1)))
        assert seen.wake(at(hours=2, seconds=50)).templates == ["hello"]


class TestBook:
    def test_what_an_event_needs_loaded(self) -> None:
        short = journey(
            wait(hours=1),
            branch(('count("Page", within="2 days") > 1', [])),
            if_='not bought(event.product_id, within="90 days")',
            name="a",
            stops=[stop("Order Refunded", 'did("Email Clicked")')],
        )
        longer = journey(if_='bought(event.product_id, within="300 days")', name="b")
        book = open_book([short, longer])
        assert book.history[VIEW] == {
            ORDER: timedelta(days=300),
            "Page": timedelta(days=2),
            CLICK: None,
        }
        assert book.history["Order Refunded"][CLICK] is None
        assert book.step_history == {"Page": timedelta(days=2)}
        assert book.remembered == {ORDER, "Page", CLICK, "Order Refunded"}

    def test_only_journeys_in_force_take_new_shoppers(self) -> None:
        old, new = journey(version="v1"), journey(version="v2")
        seen = Play(open_book([new], {(old.name, old.version): old})).batch(view())
        assert [run.version for run in seen.runs] == ["v2"]
