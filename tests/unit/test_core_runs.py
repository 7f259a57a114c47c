"""How runs begin and end: triggers, stops and holdout."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from engine.core.book import open_book
from engine.core.ids import derive
from engine.model.journey import Again
from tests.unit.core.build import (
    ORDER,
    T0,
    VIEW,
    at,
    audience,
    event,
    journey,
    order,
    play,
    send,
    stop,
    view,
    wait,
    wait_for,
)

MONTH = Again("after", timedelta(days=30))


class TestTrigger:
    def test_enters(self) -> None:
        cause = view()
        run = play(journey(wait(hours=1), version="abc")).batch(cause).run
        assert run.id == derive("left-behind", 1, "", cause.id)
        assert (run.journey, run.version, run.event_id) == ("left-behind", "abc", cause.id)
        assert (run.entered_at, run.status, run.profile_id) == (T0, "active", 1)

    def test_other_events_do_not(self) -> None:
        assert play(journey(wait(hours=1))).batch(order(), event("Identify")).runs == []

    @pytest.mark.parametrize(
        "price, enters",
        [(Decimal("19.99"), False), (20, True), ("25", True), (None, False), ("cheap", False)],
    )
    def test_condition(self, price: object, enters: bool) -> None:
        seen = play(journey(wait(hours=1), if_="event.price >= 20")).batch(view(price=price))
        assert bool(seen.runs) is enters

    def test_condition_over_the_profile(self) -> None:
        one = journey(wait(hours=1), if_="profile.orders == 1")
        assert play(one).batch(view()).runs == []
        assert play(one).batch(order(), view(at(hours=1))).run.entered_at == at(hours=1)

    def test_condition_over_the_history(self) -> None:
        one = journey(wait(hours=1), if_='not bought(event.product_id, within="90 days")')
        assert play(one).batch(order(T0, "p1"), view(at(days=90))).runs == []
        assert play(one).batch(order(T0, "p1"), view(at(days=90, seconds=1))).runs
        assert play(one).batch(order(T0, "p2"), view(at(days=1))).runs

    def test_history_counts_the_trigger_itself_but_not_what_follows(self) -> None:
        one = journey(wait(hours=1), if_='count("Product Viewed") == 2')
        seen = play(one).batch(view(), view(at(hours=1)), view(at(hours=2)))
        assert seen.run.entered_at == at(hours=1)

    def test_a_run_for_each_key(self) -> None:
        seen = play(journey(wait(hours=1), key="event.product_id"))
        seen.batch(view(product="a"), view(at(minutes=1), product="b"), view(product="a"))
        assert sorted(run.key for run in seen.runs) == ["a", "b"]

    @pytest.mark.parametrize("product, key", [(0, "0"), (7, "7"), ("x y", "x y")])
    def test_key_as_text(self, product: object, key: str) -> None:
        seen = play(journey(wait(hours=1), key="event.product_id"))
        assert seen.batch(event(VIEW, product_id=product)).run.key == key

    @pytest.mark.parametrize("product", [None, "", []])
    def test_no_key_no_run(self, product: object) -> None:
        seen = play(journey(wait(hours=1), key="event.product_id"))
        assert seen.batch(event(VIEW, product_id=product)).runs == []

    def test_every_journey_of_the_event_enters(self) -> None:
        seen = play(journey(wait(hours=1)), journey(wait(hours=2), name="other")).batch(view())
        assert {run.journey for run in seen.runs} == {"left-behind", "other"}


class TestAgain:
    def test_never(self) -> None:
        seen = play(journey(send())).batch(view(), view(at(days=400)))
        assert len(seen.runs) == 1

    def test_always_once_the_last_has_ended(self) -> None:
        seen = play(journey(wait(hours=2), send(), again=Again("always")))
        seen.batch(view(), view(at(hours=1)))
        assert len(seen.runs) == 1
        seen.batch(view(at(hours=2, seconds=1)))
        assert len(seen.runs) == 2

    @pytest.mark.parametrize("more, runs", [(0, 1), (1, 2)])
    def test_after_is_strictly_more_than_after(self, more: int, runs: int) -> None:
        seen = play(journey(send(), again=MONTH))
        seen.batch(view(), view(at(days=30, microseconds=more)))
        assert len(seen.runs) == runs

    def test_after_counts_from_the_start_of_the_last_run(self) -> None:
        seen = play(journey(send(), again=MONTH))
        seen.batch(view(), view(at(days=31)), view(at(days=60)), view(at(days=62)))
        assert [r.entered_at for r in seen.runs] == [T0, at(days=31), at(days=62)]

    def test_after_does_not_start_a_second_one_beside_the_first(self) -> None:
        seen = play(journey(wait(days=60), again=MONTH)).batch(view(), view(at(days=31)))
        assert len(seen.runs) == 1

    def test_another_key_is_another_matter(self) -> None:
        seen = play(journey(send(), key="event.product_id"))
        assert len(seen.batch(view(product="a"), view(at(days=1), product="b")).runs) == 2

    def test_a_late_trigger_does_not_start_a_second_run_beside_an_active_one(self) -> None:
        always = journey(wait(days=60), again=Again("always"), stops=[stop()])
        seen = play(always).batch(view(at(days=40)), order(at(days=41)))
        seen.batch(view(at(days=5)), now=at(days=42))  # stopped by the order that came before it
        seen.batch(view(at(days=42)))
        seen.batch(view(at(days=41, hours=12)), now=at(days=43))
        active = [run for run in seen.runs if run.status == "active"]
        assert [run.entered_at for run in active] == [at(days=42)]

    def test_an_older_run_that_is_active_keeps_the_next_one_out(self) -> None:
        always = journey(wait(days=60), again=Again("always"))
        seen = play(always).batch(view(at(days=-100))).wake(at(days=-40))
        seen.batch(view(at(days=-130)), now=at(days=-40))  # late; active until day -70
        assert [run.status for run in seen.runs] == ["finished", "active"]
        seen.batch(view(at(days=-75)), now=at(days=-39))
        assert len(seen.runs) == 2

    def test_and_lets_it_in_when_it_has_ended(self) -> None:
        always = journey(wait(days=60), again=Again("always"))
        seen = play(always).batch(view(at(days=-100))).wake(at(days=-40))
        seen.batch(view(at(days=-130)), now=at(days=-40)).wake(at(days=-40))
        assert [run.status for run in seen.runs] == ["finished", "finished"]
        assert len(seen.batch(view(at(days=-39))).runs) == 3


class TestStop:
    def test_ends_the_run_where_it_stands(self) -> None:
        seen = play(journey(wait(hours=2), send(), stops=[stop(goal=True, path="stop/0")]))
        seen.batch(view())
        cause = order(at(hours=1))
        run = seen.batch(cause).run
        assert (run.status, run.goal, run.stopped_by, run.live) == (
            "stopped",
            True,
            cause.id,
            False,
        )
        assert (run.wake_at, run.ended_at, run.reason) == (None, at(hours=1), ORDER)
        assert seen.trace()[-1] == ("stop/0", "goal", ORDER)
        assert seen.wake(at(days=1)).written == []

    def test_condition_and_goal_of_the_first_that_matches(self) -> None:
        stops = [
            stop(if_="key in event.product_ids", goal=True, path="stop/0"),
            stop(path="stop/1"),
        ]
        one = journey(wait(hours=2), send(), key="event.product_id", stops=stops)
        same = play(one).batch(view(product="p1"), order(at(hours=1), "p0", "p1")).run
        other = play(one).batch(view(product="p1"), order(at(hours=1), "p2")).run
        assert (same.status, same.goal) == ("stopped", True)
        assert (other.status, other.goal) == ("stopped", False)

    def test_a_condition_that_fails_lets_the_run_go_on(self) -> None:
        stops = [stop(if_="key in event.product_ids")]
        seen = play(journey(wait(hours=2), send(), key="event.product_id", stops=stops))
        seen.batch(view(product="p1"), order(at(hours=1), "p2")).wake(at(hours=2))
        assert seen.templates == ["hello"]

    def test_a_condition_that_cannot_be_decided_says_so(self) -> None:
        stops = [stop(if_="event.revenue > 10", path="stop/0")]
        seen = play(journey(wait(hours=2), send(), stops=stops)).batch(view(), order(at(hours=1)))
        assert seen.run.status == "active"
        assert ("stop/0", "cannot say", "event.revenue is missing") in seen.trace()

    def test_condition_sees_the_trigger_and_the_new_event(self) -> None:
        stops = [stop(if_="event.cart == trigger.cart")]
        seen = play(journey(wait(hours=2), stops=stops)).batch(view(cart="c1"))
        assert seen.batch(order(at(minutes=1), cart="c2")).run.status == "active"
        assert seen.batch(order(at(minutes=2), cart="c1")).run.status == "stopped"

    def test_an_order_before_the_trigger_does_not(self) -> None:
        seen = play(journey(wait(hours=2), send(), stops=[stop()]))
        seen.batch(order(at(hours=-1)), view()).wake(at(hours=2))
        assert seen.templates == ["hello"]

    def test_nor_one_that_comes_in_after_it(self) -> None:
        seen = play(journey(wait(hours=2), send(), stops=[stop()])).batch(view())
        seen.batch(order(at(hours=-1)), now=at(hours=1)).wake(at(hours=2))
        assert seen.templates == ["hello"]

    @pytest.mark.parametrize(
        "viewed, ordered, status", [("a", "b", "stopped"), ("b", "a", "active")]
    )
    @pytest.mark.parametrize("first", ["view", "order"])
    def test_at_the_same_time_the_id_decides_whatever_came_in_first(
        self, viewed: str, ordered: str, status: str, first: str
    ) -> None:
        events = [view(id=viewed), order(id=ordered)]
        seen = play(journey(wait(hours=2), stops=[stop()]))
        seen.each(events if first == "view" else events[::-1], now=T0)
        assert seen.run.status == status

    def test_all_runs_of_the_shopper(self) -> None:
        one = journey(wait(hours=2), key="event.product_id", stops=[stop()])
        two = journey(wait(hours=2), name="other", stops=[stop("Never")])
        seen = play(one, two).batch(view(product="a"), view(product="b"), order(at(hours=1)))
        assert sorted((r.journey, r.status) for r in seen.runs) == [
            ("left-behind", "stopped"),
            ("left-behind", "stopped"),
            ("other", "active"),
        ]

    def test_a_finished_run_whose_message_may_still_be_due(self) -> None:
        seen = play(journey(send(), stops=[stop(goal=True)])).batch(view())
        assert seen.templates == ["hello"]
        assert seen.batch(order(at(minutes=1))).run.status == "stopped"
        assert seen.messages == []

    def test_a_run_that_is_no_longer_live_is_left_alone(self) -> None:
        seen = play(journey(send(), stops=[stop(goal=True)])).batch(view())
        seen.shopper.live.clear()
        assert seen.batch(order(at(days=1))).run.status == "finished"

    def test_the_event_that_triggers_may_be_the_one_that_stops(self) -> None:
        win_back = journey(
            wait(days=30), send(), trigger=ORDER, again=Again("always"), stops=[stop(goal=True)]
        )
        seen = play(win_back).batch(order(), order(at(days=10)))
        assert [(r.status, r.goal) for r in seen.runs] == [("stopped", True), ("active", False)]
        seen.wake(at(days=40))
        assert [m.created_at for m in seen.messages] == [at(days=40)]

    def test_the_stop_comes_before_the_wait_for(self) -> None:
        one = journey(wait_for(ORDER, hours=3), send(), stops=[stop()])
        seen = play(one).batch(view(), order(at(hours=1)))
        assert (seen.run.status, seen.written) == ("stopped", [])

    def test_an_older_version_is_stopped_by_its_own_rules(self) -> None:
        old = journey(wait(hours=2), version="v1", stops=[stop("Cart Cleared")])
        new = journey(wait(hours=2), version="v2", stops=[stop()])
        seen = play(old).batch(view())
        seen.book = open_book([new], {(old.name, old.version): old})
        assert seen.batch(order(at(minutes=1))).run.status == "active"
        assert seen.batch(event("Cart Cleared", at(minutes=2))).run.status == "stopped"

    def test_a_version_that_is_gone_leaves_the_run_unharmed(self) -> None:
        seen = play(journey(wait(hours=2), send(), version="v1")).batch(view())
        seen.book = open_book([])
        run = seen.batch(order(at(hours=1))).wake(at(hours=3)).run
        assert (run.status, run.wake_at, run.reason) == ("active", None, "version is gone")


class TestHoldout:
    def test_walks_silently_and_counts_the_goal(self) -> None:
        one = journey(
            send(),
            audience("add"),
            wait(hours=2),
            send("sms"),
            holdout=100,
            stops=[stop(goal=True)],
        )
        seen = play(one).batch(view())
        assert seen.run.held_out
        seen.batch(order(at(hours=1)))
        assert (seen.run.status, seen.run.goal) == ("stopped", True)
        assert (seen.written, seen.shopper.outcome.audiences) == ([], [])
        assert not seen.run.on_audience
        assert [m[1] for m in seen.trace()] == ["enters", "withheld", "withheld", "waits", "goal"]

    def test_to_the_end(self) -> None:
        seen = play(journey(wait(hours=2), send(), holdout=100)).batch(view()).wake(at(hours=2))
        assert (seen.run.status, seen.written) == ("finished", [])

    def test_share_and_stickiness(self) -> None:
        one = journey(send(), holdout=10, again=Again("always"))
        held = 0
        for profile in range(2000):
            runs = play(one, profile=profile).batch(view(), view(at(days=1))).runs
            assert len({run.held_out for run in runs}) == 1
            held += runs[0].held_out
        assert held == pytest.approx(200, rel=0.2)

    def test_none(self) -> None:
        assert not any(
            play(journey(send()), profile=p).batch(view()).run.held_out for p in range(99)
        )
