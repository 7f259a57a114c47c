"""Every step of a journey, walked."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from engine.core.ids import derive, percentile
from tests.unit.core.build import (
    CLICK,
    T0,
    at,
    audience,
    branch,
    event,
    journey,
    leave,
    order,
    overdue,
    play,
    send,
    split,
    stop,
    update,
    view,
    wait,
    wait_for,
)


class TestWait:
    def test_rests_until_its_time_is_over(self) -> None:
        seen = play(journey(wait(hours=2), send())).batch(view())
        assert (seen.run.at, seen.run.wake_at) == ("steps/0", at(hours=2))
        assert seen.wake(at(hours=2) - timedelta(microseconds=1)).messages == []
        assert seen.wake(at(hours=2)).templates == ["hello"]

    def test_waits_add_up_without_drift(self) -> None:
        seen = play(journey(wait(hours=2), wait(hours=3), send())).batch(view())
        seen.wake(at(hours=2, seconds=30))
        assert seen.run.wake_at == at(hours=5)

    def test_after_a_downtime_the_next_wait_is_a_whole_one(self) -> None:
        seen = play(journey(wait(hours=2), wait(hours=3), send())).batch(view())
        seen.wake(at(hours=12))
        assert seen.run.wake_at == at(hours=15)
        assert seen.messages == []

    def test_a_minute_late_is_on_time_and_more_is_not(self) -> None:
        on_time = play(journey(wait(hours=2), wait(hours=3))).batch(view())
        late = play(journey(wait(hours=2), wait(hours=3))).batch(view())
        assert on_time.wake(at(hours=2, seconds=60)).run.wake_at == at(hours=5)
        assert late.wake(at(hours=2, seconds=61)).run.wake_at == at(hours=5, seconds=61)

    def test_the_end_finishes_the_run(self) -> None:
        seen = play(journey(wait(hours=2), stops=[stop()])).batch(view()).wake(at(hours=2))
        run = seen.run
        assert (run.status, run.reason, run.at, run.wake_at) == ("finished", "finished", None, None)
        assert run.ended_at == at(hours=2)
        assert run.live  # until the shell sees that nothing is left to stop

    def test_a_journey_without_steps_finishes_at_once(self) -> None:
        run = play(journey()).batch(view()).run
        assert (run.status, run.live) == ("finished", False)


class TestWaitFor:
    both = journey(
        wait_for(CLICK, hours=24, then=[send(template="came")], otherwise=[send(template="out")]),
        send(template="both"),
    )

    def test_came(self) -> None:
        seen = play(self.both).batch(view()).batch(event(CLICK, at(hours=1)))
        assert seen.templates == ["came", "both"]
        assert [m.created_at for m in seen.messages] == [at(hours=1)] * 2
        assert ("steps/0", "came", CLICK) in seen.trace()

    def test_timed_out(self) -> None:
        seen = play(self.both).batch(view()).wake(at(hours=24))
        assert seen.templates == ["out", "both"]
        assert ("steps/0", "time ran out", CLICK) in seen.trace()

    def test_without_then_and_else_both_go_on(self) -> None:
        plain = journey(wait_for(CLICK, hours=24), send())
        assert play(plain).batch(view()).batch(event(CLICK, at(hours=1))).templates == ["hello"]
        assert play(plain).batch(view()).wake(at(hours=24)).templates == ["hello"]

    def test_exit_in_then_leaves(self) -> None:
        seen = play(journey(wait_for(CLICK, hours=24, then=[leave("came back")]), send()))
        seen.batch(view()).batch(event(CLICK, at(hours=1)))
        assert (seen.run.status, seen.run.reason, seen.messages) == ("finished", "came back", [])

    def test_the_event_at_the_very_end_is_in_time(self) -> None:
        seen = play(self.both).batch(view()).batch(event(CLICK, at(hours=24)))
        assert seen.templates == ["came", "both"]

    def test_the_event_a_moment_after_the_end_is_not(self) -> None:
        after = at(hours=24, seconds=1)
        seen = play(self.both).batch(view()).batch(event(CLICK, after))
        assert seen.templates == ["out", "both"]

    def test_an_event_from_before_the_wait_does_not_count(self) -> None:
        seen = play(journey(wait(hours=1), wait_for(CLICK, hours=24), send()))
        seen.batch(view()).wake(at(hours=1)).batch(event(CLICK, at(minutes=30)), now=at(hours=2))
        assert (seen.run.waiting_for, seen.messages) == (CLICK, [])

    def test_another_event_does_not_count(self) -> None:
        seen = play(self.both).batch(view()).batch(event("Email Opened", at(hours=1)))
        assert seen.messages == []

    def test_condition(self) -> None:
        picky = journey(
            wait_for(CLICK, if_="event.product_id == key", hours=24), send(), key="event.product_id"
        )
        seen = play(picky).batch(view(product="p1"))
        assert seen.batch(event(CLICK, at(hours=1), product_id="p2")).messages == []
        assert seen.batch(event(CLICK, at(hours=2))).messages == []
        assert ("steps/0", "cannot say", "event.product_id is missing") not in seen.trace()
        assert seen.batch(event(CLICK, at(hours=3), product_id="p1")).templates == ["hello"]

    def test_condition_that_cannot_be_decided_is_false_and_says_so(self) -> None:
        picky = journey(wait_for(CLICK, if_="event.depth > 3", hours=24), send())
        seen = play(picky).batch(view()).batch(event(CLICK, at(hours=1)))
        assert seen.messages == []
        assert ("steps/0", "cannot say", "event.depth is missing") in seen.trace()

    def test_a_second_event_of_the_kind_changes_nothing(self) -> None:
        seen = play(self.both).batch(view())
        seen.batch(event(CLICK, at(hours=1))).batch(event(CLICK, at(hours=2)))
        assert seen.templates == ["came", "both"]


class TestBranch:
    rich = journey(
        branch(
            ("profile.lifetime_value >= 500", [send(template="rich")]),
            ("profile.orders > 0", [send(template="regular")]),
            (None, [send(template="new")]),
        ),
        send(template="all"),
    )

    @pytest.mark.parametrize(
        "spent, expected",
        [((), "new"), ((20,), "regular"), ((300, 300), "rich")],
    )
    def test_first_arm_that_holds(self, spent: tuple[int, ...], expected: str) -> None:
        seen = play(self.rich)
        for number, revenue in enumerate(spent):
            seen.batch(order(at(minutes=number), revenue=revenue, currency="USD"))
        assert seen.batch(view(at(hours=1))).templates == [expected, "all"]

    def test_no_arm_and_no_else_goes_on(self) -> None:
        seen = play(journey(branch(("false", [send(template="never")])), send())).batch(view())
        assert seen.templates == ["hello"]
        assert ("steps/0", "branches", "none holds") in seen.trace()

    def test_empty_arm_goes_on(self) -> None:
        seen = play(journey(branch(("true", []), (None, [send(template="no")])), send()))
        assert seen.batch(view()).templates == ["hello"]

    def test_a_missing_fact_is_false_and_says_so(self) -> None:
        seen = play(journey(branch(("profile.age > 18", [send()]), (None, [send("sms")]))))
        seen.batch(view())
        assert [m.channel for m in seen.messages] == ["sms"]
        assert ("steps/0/0", "cannot say", "profile.age is missing") in seen.trace()

    def test_it_sees_the_trigger_event_after_a_wait(self) -> None:
        seen = play(journey(wait(hours=1), branch(("event.price > 10", [send()]))))
        assert seen.batch(view(price=Decimal("10.01"))).wake(at(hours=1)).templates == ["hello"]

    def test_history(self) -> None:
        busy = journey(
            wait(hours=1),
            branch(('count("Product Viewed", within="1 day") >= 3', [send()])),
        )
        few = play(busy).batch(view(at(days=-3)), view(at(days=-2)))
        assert few.batch(view(at(minutes=1))).wake(at(hours=3)).messages == []
        many = play(busy).batch(view(), view(at(minutes=1)), view(at(minutes=2)))
        assert many.wake(at(hours=1)).templates == ["hello"]


class TestSplit:
    halves = journey(
        split((50, "a", [send(template="a")]), (50, "b", [send(template="b")])),
        send(template="all"),
    )

    def test_sticky(self) -> None:
        for profile in range(1, 40):
            first = play(self.halves, profile=profile).batch(view())
            again = play(self.halves, profile=profile).batch(view(at(days=7)))
            assert first.templates == again.templates
            assert len(first.templates) == 2

    def test_shares(self) -> None:
        thirds = journey(
            split((10, "", [send(template="10")]), (30, "", [send(template="30")]), (60, "", []))
        )
        found: Counter[str] = Counter()
        for profile in range(2000):
            found.update(play(thirds, profile=profile).batch(view()).templates or ["60"])
        assert found["10"] == pytest.approx(200, rel=0.2)
        assert found["30"] == pytest.approx(600, rel=0.1)
        assert found["60"] == pytest.approx(1200, rel=0.1)

    def test_two_journeys_split_independently(self) -> None:
        other = journey(
            split((50, "a", [send(template="a")]), (50, "b", [send(template="b")])), name="other"
        )
        pairs = Counter(
            tuple(m.template for m in play(self.halves, other, profile=p).batch(view()).messages)
            for p in range(1000)
        )
        assert len(pairs) == 4
        assert min(pairs.values()) > 180

    def test_it_follows_the_profile_at_entry(self) -> None:
        seen = play(self.halves, profile=77).batch(view())
        expected = "a" if percentile("left-behind", "steps/0", 77) < 50 else "b"
        assert seen.run.bucket == 77
        assert seen.templates == [expected, "all"]


class TestUpdate:
    def test_constant_and_computed(self) -> None:
        step = update(vip=True, tier="= 'gold' if profile.orders > 1 else 'silver'")
        seen = play(journey(step)).batch(order(), order(at(hours=1)), view(at(hours=2)))
        assert seen.shopper.profile.traits == {"vip": True, "tier": "gold"}
        assert seen.shopper.profile_changed

    def test_what_cannot_be_computed_changes_nothing(self) -> None:
        seen = play(journey(update(spent="= event.price * 2", seen=1)), traits={"spent": 5})
        seen.batch(view())
        assert seen.shopper.profile.traits == {"spent": 5, "seen": 1}
        assert ("steps/0/spent", "cannot say", "event.price is missing") in seen.trace()

    def test_the_next_step_sees_it(self) -> None:
        # The trigger's condition has looked at the profile before the update.
        seen = play(
            journey(
                update(vip=True),
                branch(("profile.vip", [send(template="vip")]), (None, [send(template="no")])),
                if_="profile.orders == 0",
            )
        )
        assert seen.batch(view()).templates == ["vip"]


class TestAudience:
    def test_add_and_remove(self) -> None:
        seen = play(journey(audience("add"), wait(hours=1), audience("remove"), stops=[stop()]))
        seen.batch(view())
        assert seen.run.on_audience
        assert [(c.audience, c.wanted) for c in seen.shopper.outcome.audiences] == [
            ("google/left-behind", True)
        ]
        seen.wake(at(hours=1))
        assert [c.wanted for c in seen.shopper.outcome.audiences] == [True, False]

    def test_a_stop_reaches_a_run_that_finished_on_an_audience(self) -> None:
        seen = play(journey(audience("add"), stops=[stop(goal=True)])).batch(view())
        assert (seen.run.status, seen.run.live) == ("finished", True)
        seen.batch(order(at(days=3)))
        assert (seen.run.status, seen.run.goal, seen.run.live) == ("stopped", True, False)
        assert seen.run.id in seen.shopper.outcome.stopped


class TestExit:
    def test_ends_with_its_reason(self) -> None:
        run = play(journey(leave("enough"), send())).batch(view()).run
        assert (run.status, run.reason, run.at, run.ended_at) == (
            "finished",
            "enough",
            "steps/0",
            T0,
        )

    def test_nothing_follows_it(self) -> None:
        assert play(journey(leave("enough"), send())).batch(view()).messages == []


class TestSend:
    def test_the_message(self) -> None:
        step = send("sms", "left", on_unknown="retry", offer={"percent": 10})
        seen = play(journey(wait(hours=2), step, key="event.product_id"))
        cause = view(product="p9")
        (message,) = seen.batch(cause).wake(at(hours=2)).messages
        assert message.id == derive(seen.run.id, "steps/1", 2)
        assert (message.channel, message.template, message.topic) == ("sms", "left", "offers")
        assert (message.enrollment_id, message.profile_id) == (seen.run.id, 1)
        assert (message.event_id, message.step) == (cause.id, "steps/1")
        assert (message.created_at, message.due_at) == (at(hours=2), at(hours=2))
        assert message.expires_at == at(hours=2) + timedelta(days=1)
        assert (message.on_unknown, message.offer) == ("retry", {"percent": 10})

    def test_two_sends_are_two_messages(self) -> None:
        seen = play(journey(send(template="a"), send(template="a"))).batch(view())
        assert len({m.id for m in seen.messages}) == 2

    def test_overdue_skip(self) -> None:
        one = journey(
            wait(hours=2), send(overdue=overdue(hours=12)), send("sms", overdue=overdue())
        )
        in_time = play(one).batch(view()).wake(at(hours=14))
        assert [m.channel for m in in_time.messages] == ["email", "sms"]
        late = play(one).batch(view()).wake(at(hours=14, seconds=1))
        assert [m.channel for m in late.messages] == ["sms"]
        assert ("steps/1", "skips", "overdue by 12:00:01") in late.trace()
        assert late.messages[0].expires_at is None

    def test_a_send_after_an_event_is_never_overdue(self) -> None:
        one = journey(wait_for(CLICK, days=7), send(overdue=overdue(minutes=1)))
        seen = play(one).batch(view()).batch(event(CLICK, at(hours=5)), now=at(days=2))
        assert seen.templates == ["hello"]


def test_the_trace_tells_the_whole_way() -> None:
    seen = play(journey(wait(hours=2), send(), leave("done"))).batch(view()).wake(at(hours=2))
    assert seen.trace() == [
        ("trigger", "enters", "Product Viewed"),
        ("steps/0", "waits", "until 2026-03-02 11:00:00 UTC"),
        ("steps/1", "sends", "email"),
        ("steps/2", "exits", "done"),
    ]
