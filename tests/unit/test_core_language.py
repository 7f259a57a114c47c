"""The rest of the language, walked: moments, events, webhooks, offers, jumps, seasons."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.core.book import open_book
from engine.core.emitted import LONGEST_CHAIN, event_of
from engine.core.react import LONGEST_WAY, after_merge, on_timers
from engine.core.shopper import Past, Shopper
from engine.model.journey import (
    CALENDAR_REACHED,
    Again,
    Calendar,
    Condition,
    Emit,
    Exit,
    Journey,
    Jump,
    OfferStep,
    Overdue,
    WaitFor,
    WaitUntil,
    Webhook,
)
from engine.model.profile import Profile
from tests.unit.core.build import (
    ORDER,
    T0,
    VIEW,
    Play,
    at,
    branch,
    condition,
    event,
    journey,
    order,
    play,
    send,
    stop,
    update,
    view,
    wait,
    wait_for,
)

ALWAYS = Again("always")
NEW_YORK = {"timezone": "America/New_York"}


def until(clock: str | None = None, *weekdays: int, date: str | None = None, **shift: float) -> Any:
    return {
        "kind": WaitUntil,
        "at": clock and time.fromisoformat(clock),
        "weekdays": weekdays,
        "date": condition(date),
        "shift": timedelta(**shift),
    }


def emit(name: str, **properties: Any) -> Any:
    return {"kind": Emit, "event": name, "properties": values(properties)}


def webhook(url: str = "https://shop.example/hook", **body: Any) -> Any:
    return {"kind": Webhook, "url": url, "body": values(body)}


def offer(generate: str = "", valid: timedelta | None = None, **terms: Any) -> Any:
    return {"kind": OfferStep, "terms": terms, "generate": generate, "valid": valid}


def jump(to: str) -> Any:
    return {"kind": Jump, "journey": to}


def values(given: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, condition(value[2:]) if isinstance(value, str) and value[:2] == "= " else value)
        for name, value in given.items()
    )


class TestWaitUntil:
    """T0 is Monday 2 March 2026, 09:00 UTC."""

    @pytest.mark.parametrize(
        ("clock", "weekdays", "traits", "expected"),
        [
            ("18:00", (), {}, "2026-03-02T18:00"),
            ("09:00", (), {}, "2026-03-03T09:00"),  # now is no longer "next"
            ("08:00", (), {}, "2026-03-03T08:00"),
            ("10:00", (1, 3), {}, "2026-03-03T10:00"),
            ("10:00", (0,), {}, "2026-03-02T10:00"),
            ("08:00", (0,), {}, "2026-03-09T08:00"),
            ("09:00", (5, 6), {}, "2026-03-07T09:00"),
            ("18:00", (), NEW_YORK, "2026-03-02T23:00"),
            ("10:00", (6,), NEW_YORK, "2026-03-08T14:00"),  # the clocks went forward that night
            ("02:30", (6,), NEW_YORK, "2026-03-08T07:00"),  # a time they skipped: just after it
            ("18:00", (), {"phone": "+919876543210"}, "2026-03-02T12:30"),
        ],
    )
    def test_the_next_such_time_of_the_shopper(
        self, clock: str, weekdays: tuple[int, ...], traits: dict[str, Any], expected: str
    ) -> None:
        seen = play(journey(until(clock, *weekdays), send()), traits=traits).batch(view())
        moment = datetime.fromisoformat(expected).replace(tzinfo=UTC)
        assert seen.run.wake_at == moment
        assert seen.run.waiting_for == ""
        assert seen.wake(moment - timedelta(seconds=1)).messages == []
        assert [m.created_at for m in seen.wake(moment).messages] == [moment]

    def test_without_a_zone_of_their_own_the_shops_clock_counts(self) -> None:
        book = open_book([journey(until("18:00"))], timezone="Asia/Kolkata")
        assert Play(book).batch(view()).run.wake_at == at(hours=3, minutes=30)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("2026-03-20", "2026-03-20T09:00"),
            (date(2026, 3, 20), "2026-03-20T09:00"),
            ("2026-03-20T17:30:00Z", "2026-03-20T17:30"),
            ("2026-03-20T17:30:00+05:30", "2026-03-20T12:00"),
            ("2026-03-20 17:30", "2026-03-20T17:30"),
            (datetime(2026, 3, 20, 17, 30, tzinfo=UTC), "2026-03-20T17:30"),
            (1774008000, "2026-03-20T12:00"),
            (Decimal(1774008000000), "2026-03-20T12:00"),
            ("1774008000", "2026-03-20T12:00"),
        ],
    )
    def test_a_date_in_the_data(self, value: Any, expected: str) -> None:
        steps = journey(until(date="profile.ends"), send())
        seen = play(steps, traits={"ends": value}).batch(view())
        assert seen.run.wake_at == datetime.fromisoformat(expected).replace(tzinfo=UTC)

    def test_whole_days_are_counted_on_the_wall_clock(self) -> None:
        """A week before ten o'clock in New York is ten o'clock there, on winter time."""
        steps = journey(until("10:00", date="profile.ends", days=-7))
        seen = play(steps, traits={**NEW_YORK, "ends": "2026-03-12"}).batch(view())
        assert seen.run.wake_at == datetime(2026, 3, 5, 15, tzinfo=UTC)
        seen = play(steps, traits={**NEW_YORK, "ends": "2026-03-12T14:00:00Z"}).batch(view())
        assert seen.run.wake_at == datetime(2026, 3, 5, 15, tzinfo=UTC)
        hours = journey(until(date="profile.ends", hours=-2))
        seen = play(hours, traits={"ends": "2026-03-12T14:00:00Z"}).batch(view())
        assert seen.run.wake_at == datetime(2026, 3, 12, 12, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("traits", "verdict"),
        [
            ({}, "cannot say"),
            ({"ends": "soon"}, "cannot say"),
            ({"ends": True}, "cannot say"),
            ({"ends": "2026-02-30"}, "cannot say"),
            ({"ends": ["2026-03-20"]}, "cannot say"),
            ({"ends": 10**30}, "cannot say"),
            ({"ends": "9999-12-31T23:59:59-12:00"}, "cannot say"),
            ({"ends": "2026-03-02"}, "goes on"),  # nine o'clock is now
            ({"ends": "2025-03-20"}, "goes on"),
        ],
    )
    def test_without_a_moment_to_come_nobody_waits(
        self, traits: dict[str, Any], verdict: str
    ) -> None:
        seen = play(journey(until(date="profile.ends"), send()), traits=traits).batch(view())
        assert seen.templates == ["hello"]
        assert [v for path, v, _ in seen.trace() if path == "steps/0"] == [verdict]


class TestEmit:
    def test_an_event_with_computed_properties(self) -> None:
        steps = journey(
            emit(
                "Reminder Shown", product="= key", price="= event.price * 2", n=1, lost="= event.x"
            ),
            key="event.product_id",
        )
        seen = play(steps).batch(view(price=Decimal("1.5")))
        (emitted,) = seen.shopper.outcome.emitted
        assert emitted.name == "Reminder Shown"
        assert emitted.properties == {"product": "p1", "price": Decimal("3.0"), "n": 1}
        assert emitted.time == T0
        assert ("steps/0/lost", "cannot say", "event.x is missing") in seen.trace()
        again = play(steps).batch(view(price=Decimal("1.5"), id=seen.run.event_id))
        assert again.shopper.outcome.emitted == [emitted]  # a retry makes the same

    def test_values_are_as_they_come_back_from_json(self) -> None:
        steps = journey(emit("X", at="= now", deep={"list": (1, condition("key"))}))
        (emitted,) = play(steps).batch(view()).shopper.outcome.emitted
        assert emitted.properties == {"at": T0.isoformat(), "deep": {"list": [1, ""]}}

    def test_holdout_emits_nothing_for_it_might_start_a_journey_that_sends(self) -> None:
        seen = play(journey(emit("X"), holdout=100)).batch(view())
        assert seen.shopper.outcome.emitted == []
        assert ("steps/0", "withheld", "holdout") in seen.trace()

    def test_it_does_not_count_as_the_shopper_being_seen(self) -> None:
        seen = play(journey(wait(hours=5), emit(ORDER, revenue=3, currency="USD")))
        seen.batch(view(who=("user:1", "email:a@x.de"))).wake(at(hours=5))
        (emitted,) = seen.shopper.outcome.emitted
        seen.batch(event_of(emitted, ("email:old@x.de",), at(hours=5)))
        profile = seen.shopper.profile
        assert profile.last_seen == T0
        assert profile.traits["email"] == "a@x.de"
        assert profile.orders == 1  # it is an event like any other all the same

    def test_a_circle_at_one_moment_ends(self) -> None:
        circle = journey(emit("Tick"), trigger="Tick", again=ALWAYS)
        seen = play(circle).batch(event("Tick"))
        worked = 0
        while seen.shopper.outcome.emitted:
            (emitted,) = seen.shopper.outcome.emitted
            seen.shopper.outcome.emitted = []
            seen.batch(event_of(emitted, ("user:1",), T0))
            worked += 1
        assert worked == LONGEST_CHAIN

    def test_a_circle_in_which_time_passes_does_not(self) -> None:
        circle = journey(wait(days=1), emit("Tick"), trigger="Tick", again=ALWAYS)
        seen = play(circle).batch(event("Tick"))
        for day in range(1, 3 * LONGEST_CHAIN):
            (emitted,) = seen.wake(at(days=day)).shopper.outcome.emitted
            seen.shopper.outcome.emitted = []
            seen.batch(event_of(emitted, ("user:1",), at(days=day)))

    def test_fired_on_time_the_event_comes_before_the_next_timer(self) -> None:
        one = journey(wait(hours=1), emit("X"), name="one")
        other = journey(wait(hours=2), send(), name="other")
        seen = play(one, other).batch(view())
        on_timers(seen.book, seen.shopper, at(hours=3), None)
        assert seen.templates == []
        seen.shopper.outcome.emitted = []
        on_timers(seen.book, seen.shopper, at(hours=3), None)
        assert seen.templates == ["hello"]


class TestWebhook:
    def test_a_message_to_a_url(self) -> None:
        steps = journey(webhook(shopper="= profile.email", fixed=[1]), key="event.product_id")
        steps = dataclasses.replace(steps, priority=3)
        seen = play(steps, traits={"email": "a@x.de"}).batch(view())
        (call,) = seen.messages
        assert (call.channel, call.topic, call.template) == (
            "webhook",
            "webhooks",
            "https://shop.example/hook",
        )
        assert call.offer == {"body": {"shopper": "a@x.de", "fixed": [1]}}
        assert (call.due_at, call.expires_at) == (T0, at(days=1))
        assert call.priority == 3

    def test_overdue_and_holdout_as_for_a_mail(self) -> None:
        late = play(journey(wait(hours=1), webhook())).batch(view()).wake(at(hours=26))
        assert late.messages == []
        assert late.trace()[-1][:2] == ("steps/1", "skips")
        assert play(journey(webhook(), holdout=100)).batch(view()).messages == []


class TestOffer:
    def test_terms_code_and_end_stay_with_the_run(self) -> None:
        steps = journey(
            wait(hours=1),
            offer("WB", timedelta(days=3), percent=10),
            send(),
            wait(days=1),
            send(offer={"percent": 20}),
            send(offer={"valid": "2 hours"}),
        )
        seen = play(steps).batch(view()).wake(at(hours=1)).wake(at(hours=25))
        code = seen.run.offer["code"]
        assert len(code) == len("WB-") + 8 and code.startswith("WB-")
        assert not set(code[3:]) & set("ILO01")
        given = {
            "percent": 10,
            "coupon": code,
            "code": code,
            "ends_at": at(hours=1, days=3).isoformat(),
        }
        assert seen.run.offer == given
        first, second, third = (m.offer for m in seen.messages)
        assert first == given
        assert second == given | {"percent": 20}
        assert "ends_at" not in third  # its own time counts from when it is sent
        assert third["valid"] == "2 hours"

    def test_every_run_has_its_own_code_and_always_the_same(self) -> None:
        steps = journey(offer("WB"), key="event.product_id")
        codes = [
            play(steps, profile=number).batch(view(id=f"v{number}")).run.offer["code"]
            for number in [*range(200), 7]
        ]
        assert len(set(codes)) == 200
        assert codes[7] == codes[-1]

    def test_a_plain_coupon_is_for_everybody(self) -> None:
        run = play(journey(offer(coupon="WINTER10"))).batch(view()).run
        assert run.offer == {"coupon": "WINTER10", "code": "WINTER10"}


class TestJump:
    def there(self, *steps: Any, **more: Any) -> Journey:
        return journey(*(steps or (send(template="there"),)), name="there", trigger="No", **more)

    def test_the_run_ends_and_another_begins_about_the_same(self) -> None:
        here = journey(wait(hours=1), jump("there"), key="event.product_id", stops=[stop()])
        there = self.there(
            wait(hours=1), send(template="there"), update(saw="= trigger.product_id")
        )
        seen = play(here, there).batch(view(product="p7")).wake(at(hours=1)).wake(at(hours=2))
        left, came = sorted(seen.runs, key=lambda run: run.journey)
        assert (left.status, left.reason) == ("finished", "jumped to there")
        assert (came.key, came.event_id, came.status) == ("p7", left.event_id, "finished")
        assert seen.templates == ["there"]
        assert seen.shopper.profile.traits["saw"] == "p7"
        assert seen.trace(came)[0] == ("trigger", "arrives", "from left-behind")
        assert came.id in seen.shopper.outcome.entered

    def test_what_led_there_does_not_stop_it_and_what_follows_does(self) -> None:
        here = journey(wait_for(ORDER, hours=5, then=[jump("there")]), again=ALWAYS)
        there = self.there(wait(hours=5), send(), stops=[stop(goal=True)])
        seen = play(here, there).batch(view()).batch(order(at(hours=1)))
        assert [r.status for r in seen.runs if r.journey == "there"] == ["active"]
        seen.batch(order(at(hours=2)))
        assert [(r.status, r.goal) for r in seen.runs if r.journey == "there"] == [
            ("stopped", True)
        ]

    @pytest.mark.parametrize(
        ("again", "count"), [(Again(), 1), (ALWAYS, 2), (Again("after", timedelta(hours=3)), 1)]
    )
    def test_the_other_journeys_again_holds(self, again: Again, count: int) -> None:
        here = journey(jump("there"), again=ALWAYS)
        seen = play(here, self.there(again=again)).batch(view()).batch(view(at(hours=2)))
        assert seen.templates == ["there"] * count
        if count == 1:
            last = [r for r in seen.runs if r.journey == "left-behind"][-1]
            expected = ("steps/0", "does not start", f"there: again: {again.rule}")
            assert seen.trace(last)[-1] == expected

    def test_there_may_be_no_such_journey_any_more(self) -> None:
        seen = play(journey(jump("there"))).batch(view())
        assert seen.run.status == "finished"
        assert seen.trace()[-1] == ("steps/0", "does not start", "there: there is no such journey")

    def test_who_is_left_alone_on_purpose_does_not_jump(self) -> None:
        seen = play(journey(jump("there"), holdout=100), self.there()).batch(view())
        assert seen.messages == []
        assert seen.run.reason == "holdout"

    def test_a_circle_ends(self) -> None:
        one = journey(jump("two"), name="one", again=ALWAYS)
        two = journey(jump("one"), name="two", trigger="No", again=ALWAYS)
        seen = play(one, two).batch(view())
        assert len(seen.runs) == LONGEST_WAY + 1
        assert {run.status for run in seen.runs} == {"finished"}
        assert not seen.shopper.outcome.jumps

    def test_circles_of_jumps_and_events_end(self) -> None:
        one = journey(jump("two"), name="one", again=ALWAYS)
        two = journey(emit(VIEW), name="two", trigger="No", again=ALWAYS)
        seen = play(one, two).batch(view())
        rounds = 0
        while emitted := seen.shopper.outcome.emitted:
            seen.shopper.outcome.emitted = []
            seen.batch(*(event_of(each, ("user:1",), T0) for each in emitted))
            rounds += 1
        assert rounds == LONGEST_CHAIN

    def test_what_another_journey_looks_back_at_is_loaded_before_the_jump(self) -> None:
        looks = branch(('did("Page", within="2 days")', [send()]))
        book = open_book([journey(jump("b"), name="a"), journey(looks, name="b", trigger="No")])
        assert book.history[VIEW] == {"Page": timedelta(days=2)}

    def test_the_book_knows_where_jumps_may_lead(self) -> None:
        a = journey(jump("b"), name="a")
        b = journey(jump("c"), name="b")
        c = journey(jump("a"), jump("gone"), name="c")
        book = open_book([a, b, c, journey(name="d")])
        assert book.reach == {(name, "v1"): frozenset("abc") for name in "abc"}


class TestOverdue:
    window = Overdue("next window", timedelta(hours=2))

    def test_the_next_window_is_the_same_local_time_on_the_next_day(self) -> None:
        steps = journey(until("10:00", date="profile.due"), send(overdue=self.window))
        seen = play(steps, traits={**NEW_YORK, "due": "2026-03-07"}).batch(view())
        due = datetime(2026, 3, 7, 15, tzinfo=UTC)
        (message,) = seen.wake(due + timedelta(hours=5)).messages
        # the clocks went forward meanwhile: ten o'clock is an hour earlier
        assert message.due_at == due + timedelta(hours=23)
        assert message.expires_at == message.due_at + timedelta(hours=2)
        assert message.grace == timedelta(hours=2)

    def test_a_little_late_is_not_late(self) -> None:
        seen = play(journey(wait(hours=1), send(overdue=self.window))).batch(view())
        (message,) = seen.wake(at(hours=3)).messages
        assert (message.due_at, message.expires_at) == (at(hours=3), at(hours=5))


class TestSeason:
    def test_no_run_before_its_start_or_from_its_end_on(self) -> None:
        season = dataclasses.replace(
            journey(send(), again=ALWAYS), starts=at(days=1), ends=at(days=3)
        )
        for days, count in [(0.9, 0), (1, 1), (2.9, 1), (3, 0)]:
            assert len(play(season).batch(view(at(days=days))).messages) == count

    def test_what_is_under_way_goes_on(self) -> None:
        season = dataclasses.replace(journey(wait(days=2), send()), ends=at(days=1))
        assert play(season).batch(view()).wake(at(days=2)).templates == ["hello"]


class TestInaction:
    """``without`` is compiled to a hidden wait that comes before the first step."""

    def viewed_without(self, if_: str | None = None) -> Journey:
        made = journey(send(), key="event.product_id", stops=[stop("Cart Emptied")])
        hidden = WaitFor(
            "trigger/without",
            made.start,
            ORDER,
            timedelta(hours=2),
            condition(if_),
            "trigger/without/then",
            made.start,
        )
        leave = Exit("trigger/without/then", None, "did it after all")
        steps = {hidden.path: hidden, leave.path: leave, **made.steps}
        return dataclasses.replace(made, start=hidden.path, steps=steps)

    def test_it_goes_on_when_nothing_came(self) -> None:
        seen = play(self.viewed_without()).batch(view()).wake(at(hours=2))
        assert seen.templates == ["hello"]

    def test_it_ends_when_it_came(self) -> None:
        same = "event.product_id == trigger.product_id"
        seen = play(self.viewed_without(same)).batch(view())
        seen.batch(event(ORDER, at(hours=0.5), product_id="other"))
        assert seen.run.status == "active"
        seen.batch(event(ORDER, at(hours=1), product_id="p1"))
        assert (seen.run.reason, seen.messages) == ("did it after all", [])

    def test_also_when_it_came_before_a_late_trigger(self) -> None:
        """The order of 10:00 is worked before the view of 09:00 (P6)."""
        seen = play(self.viewed_without()).batch(order(at(hours=1)))
        seen.batch(view(), now=at(hours=3)).wake(at(hours=3))
        assert (seen.run.reason, seen.messages) == ("did it after all", [])
        assert seen.run.ended_at == at(hours=1)

    def bought(self) -> Journey:
        """As a shop writes it: the purchase is what must not come, and the goal."""
        made = self.viewed_without()
        return dataclasses.replace(made, stops=(stop(goal=True), stop("Cart Emptied")))

    def test_an_early_purchase_is_no_goal(self) -> None:
        """Who bought within the time never was in the journey."""
        seen = play(self.bought()).batch(view()).batch(order(at(hours=1)), order(at(hours=1.5)))
        run = seen.run
        assert (run.status, run.goal, run.reason) == ("finished", False, "did it after all")
        assert (run.qualified, run.live, seen.shopper.live) == (False, False, {})
        assert seen.shopper.outcome.stopped == seen.shopper.outcome.qualified == set()

    def test_a_late_trigger_before_the_purchase_is_no_goal_either(self) -> None:
        seen = play(self.bought()).batch(order(at(hours=1))).batch(view(), now=at(hours=3))
        assert (seen.run.reason, seen.run.goal) == ("did it after all", False)

    def test_nor_is_a_purchase_under_another_identity(self) -> None:
        seen = play(self.bought()).batch(view())
        seen.shopper.history.add(ORDER, Past(at(hours=1), "o", {}))
        after_merge(seen.book, seen.shopper)
        assert (seen.run.reason, seen.run.goal) == ("did it after all", False)

    def test_another_stop_within_the_time_ends_it_without_a_goal(self) -> None:
        stops = (stop("Order Refunded", goal=True),)
        seen = play(dataclasses.replace(self.bought(), stops=stops)).batch(view())
        seen.batch(event("Order Refunded", at(hours=1)))
        assert (seen.run.status, seen.run.goal, seen.run.qualified) == ("stopped", False, False)

    def test_a_purchase_after_the_time_is_the_goal(self) -> None:
        made = dataclasses.replace(self.bought(), steps=dict(self.bought().steps))
        in_order = play(made).batch(view()).wake(at(hours=2)).batch(order(at(hours=3)))
        late = play(made).batch(order(at(hours=3))).batch(view(), now=at(hours=4))
        for seen in (in_order, late):
            assert (seen.run.status, seen.run.goal, seen.run.qualified) == ("stopped", True, True)
            assert seen.shopper.outcome.qualified == {seen.run.id}
            assert seen.messages == []

    def test_in_doubt_it_came(self) -> None:
        """Nothing has been sent yet, and nothing must be (P3)."""

        def fault(_: object) -> bool:
            raise TypeError

        made = self.bought()
        hidden = made.steps["trigger/without"]
        assert isinstance(hidden, WaitFor)
        sick = dataclasses.replace(hidden, condition=Condition("x", fault, "trigger/without/if"))
        made = dataclasses.replace(made, steps={**made.steps, hidden.path: sick})
        seen = play(made).batch(view()).batch(order(at(hours=1)))
        assert (seen.run.reason, seen.run.goal) == ("did it after all", False)
        assert [f.path for f in seen.shopper.outcome.failures] == ["trigger/without/if"]

    def test_but_not_when_it_came_too_late_or_too_early(self) -> None:
        for hours in (-1, 2.5):
            seen = play(self.viewed_without()).batch(order(at(hours=hours)))
            seen.batch(event("Page", at(hours=3)))
            seen.batch(view(), now=at(hours=3)).wake(at(hours=3))
            assert seen.templates == ["hello"], hours


def test_only_its_own_calendar_starts_a_journey() -> None:
    made = journey(send(), name="monthly", trigger=CALENDAR_REACHED)
    made = dataclasses.replace(
        made, trigger=dataclasses.replace(made.trigger, calendar=Calendar(every=("month",)))
    )
    seen = Play(open_book([made]), Shopper(Profile(1)))
    assert seen.batch(event(CALENDAR_REACHED, journey="other")).messages == []
    assert seen.batch(event(CALENDAR_REACHED, journey="monthly")).templates == ["hello"]
