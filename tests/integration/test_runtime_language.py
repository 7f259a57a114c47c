"""The whole language on a real PostgreSQL: emitted events, calendars, webhooks, offers, jumps,
priorities and waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.core.book import open_book
from engine.language import load_journey
from engine.model.journey import CALENDAR_REACHED, Journey
from engine.model.message import Call
from engine.model.policy import Cap, Policy, QuietHours, Shop
from engine.runtime.audit import audit
from engine.runtime.calendar import calendars_due, to_do
from engine.store.database import Database
from tests.integration.runtime_kit import (
    TOPICS,
    Pipeline,
    Provider,
    module_database,
    pipelines,
    silent,
)
from tests.unit.core.build import T0, at, event, order, view

WHO = ("user:1", "email:a@x.de", "phone:+447400123456")


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as opened:
        yield opened


@pytest.fixture
def pipeline(database: Database) -> Iterator[Callable[..., Pipeline]]:
    with pipelines(database) as make:
        yield make


def journeys(text: str) -> list[Journey]:
    found = []
    for each in text.split("---\n"):
        journey, diagnostics = load_journey(each)
        assert journey is not None, diagnostics
        found.append(journey)
    return found


EMITTING = """
journey: first
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 1 hour
  - emit: {event: Reminder Shown, properties: {product_id: "= key"}}
  - send: email
    template: first
---
journey: second
trigger: {event: Reminder Shown, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: second
"""


class TestEmit:
    def test_it_is_accepted_with_the_decision_and_comes_before_the_mail(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop = pipeline(*journeys(EMITTING))
        shop.drain(view(who=WHO, product="p7"))
        assert shop.at(at(hours=1)).wake().emitted == 1
        ((sender, name, accepted),) = shop.rows(
            "select sender, name, (select n from ledger where writer = 'wake') from inbox"
        )
        assert (sender, name, accepted) == ("user:1", "Reminder Shown", 1)
        assert shop.deliver().sent == 0  # the shopper is held until it is worked
        assert shop.drain().taken == 1
        assert shop.runs() == [("first", "p7", "finished"), ("second", "p7", "finished")]
        assert shop.deliver().sent == 2
        last_seen = shop.one("select last_seen from profile")
        assert last_seen == T0

    def test_from_within_a_drain_the_ledger_adds_up(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop = pipeline(*journeys(EMITTING.replace("  - wait: 1 hour\n", "")))
        done = shop.drain(*(view(who=(f"user:{n}",), id=f"v{n}") for n in range(20)))
        assert done.taken == 40
        assert shop.ledger()["accepted"] == 40
        assert len(shop.runs()) == 40
        assert shop.drain().taken == 0

    def test_one_that_was_already_counted_counts_once(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop = pipeline(*journeys(EMITTING))
        shop.drain(view(who=WHO))
        shop.at(at(hours=1)).wake()
        (body,) = [row[0] for row in shop.rows("select body from inbox")]
        shop.drain()
        shop.run_sql(
            "insert into inbox (lane, sender, links, name, identifiers, id, time, received_at,"
            " body) select 0, 'user:1', false, 'Reminder Shown', '{user:1}', id, time,"
            " received_at, %s from event where name = 'Reminder Shown'",
            body,
        )
        shop.run_sql("update ledger set n = n + 1 where writer = 'wake'")
        assert shop.drain().duplicates == 1
        assert len(shop.runs()) == 2


OFFERING = """
journey: offering
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - offer: {coupon: generate WB, percent: 10, valid: 3 days}
  - wait: 1 hour
  - send: email
    template: offered
  - webhook: {url: "https://shop.example/hook", body: {product: "= key", who: "= profile.email"}}
  - jump: landed
---
journey: landed
trigger: {event: Nothing Ever, again: always}
stop: {event: Order Completed, goal: true}
holdout: 0%
steps:
  - wait: 1 hour
  - send: sms
    template: landed
"""


class TestOfferWebhookJump:
    def walked(self, pipeline: Callable[..., Pipeline]) -> tuple[Pipeline, Provider]:
        shop = pipeline(*journeys(OFFERING))
        hook = Provider()
        shop.shell.channels = {**shop.shell.channels, "webhook": hook}
        shop.drain(view(who=WHO, product="p7"))
        shop.at(at(hours=1)).wake()
        return shop, hook

    def test_the_offer_is_kept_with_the_run_and_goes_with_its_mails(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop, _ = self.walked(pipeline)
        kept = shop.one("select offer from enrollment where journey = 'offering'")
        assert kept["percent"] == 10
        assert kept["code"].startswith("WB-")
        assert datetime.fromisoformat(kept["ends_at"]) == at(days=3)
        assert shop.one("select offer from message where channel = 'email'") == kept

    def test_the_webhook_goes_through_the_gate_without_consent_or_address(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop, hook = self.walked(pipeline)
        assert shop.deliver().sent == 2
        (call,) = hook.handed
        assert isinstance(call, Call)
        assert (call.to, call.body) == (
            "https://shop.example/hook",
            {"product": "p7", "who": "a@x.de"},
        )
        assert [r.message_id for r in shop.email.handed] != [call.message_id]
        report = audit(shop.database, open_book(shop.journeys), shop.policy)
        assert report.ok, report

    def test_a_webhook_without_an_answer_is_held(self, pipeline: Callable[..., Pipeline]) -> None:
        shop, hook = self.walked(pipeline)
        hook.answer = silent
        shop.deliver()
        assert shop.one("select status from message where channel = 'webhook'") == "unknown"
        assert shop.deliver().claimed == 0

    def test_a_purchase_stops_one_that_waits(self, pipeline: Callable[..., Pipeline]) -> None:
        text = OFFERING.partition("---")[0].replace("  - jump: landed\n", "  - wait: 1 day\n")
        shop = pipeline(*journeys(text))
        hook = Provider()
        shop.shell.channels = {**shop.shell.channels, "webhook": hook}
        shop.drain(view(who=WHO))
        shop.at(at(hours=1)).wake()
        shop.drain(order(at(hours=1, seconds=1), who=WHO))
        shop.deliver()
        assert hook.handed == []
        assert shop.one("select status from message where channel = 'webhook'") == "cancelled"

    def test_the_jump_begins_the_other_run_once(self, pipeline: Callable[..., Pipeline]) -> None:
        shop, _ = self.walked(pipeline)
        assert shop.runs() == [("landed", "p7", "active"), ("offering", "p7", "finished")]
        shop.deliver()
        shop.at(at(hours=2)).wake()
        shop.deliver()
        assert [text.message_id for text in shop.sms.handed]
        first = shop.one("select trace -> 0 from enrollment where journey = 'landed'")
        assert first[:3] == ["trigger", "arrives", "from offering"]

    def test_again_of_the_other_journey_is_asked_of_the_store(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        once = journeys(
            OFFERING.replace(
                "{event: Nothing Ever, again: always}", "{event: Nothing Ever}"
            ).replace("key: event.product_id}", "again: always}")
        )
        shop = pipeline(*once)
        for day in range(2):
            shop.drain(view(at(days=day), who=WHO))
            shop.at(at(days=day, hours=1)).wake()
            shop.at(at(days=day, hours=2)).wake()
        assert [run[0] for run in shop.runs()] == ["landed", "offering", "offering"]
        last = shop.rows("select trace -> -1 from enrollment where journey = 'offering'"
                         " order by entered_at")  # fmt: skip
        assert last[1][0][:3] == ["steps/4", "does not start", "landed: again: never"]


class TestPriority:
    text = """
journey: low
trigger: {event: Product Viewed}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: low
---
journey: high
priority: 10
trigger: {event: Product Viewed}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 1 minute
  - send: email
    template: high
"""

    @pytest.mark.parametrize("priority", [10, -10])
    def test_the_last_slot_goes_to_the_higher(
        self, pipeline: Callable[..., Pipeline], priority: int
    ) -> None:
        low, high = journeys(self.text)
        high = dataclasses.replace(high, priority=priority)
        policy = Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),))
        shop = pipeline(low, high, policy=policy)
        shop.drain(*(view(who=(f"user:{n}", f"email:{n}@x.de"), id=f"v{n}") for n in range(30)))
        shop.at(at(minutes=1)).wake()
        assert shop.deliver().sent == 30
        first, last = ("high", "low") if priority > 0 else ("low", "high")
        statuses = {(row[0], row[1]) for row in shop.messages()}
        assert statuses == {(first, "sent"), (last, "skipped")}


class TestWaits:
    def test_capped_it_waits_for_the_slot_and_then_goes(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        text = """
journey: waits
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: t
    when capped: wait
    if overdue: skip after 3 days
"""
        policy = Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),))
        shop = pipeline(*journeys(text), policy=policy)
        shop.drain(view(who=WHO, product="a"), view(at(hours=2), who=WHO, product="b"))
        first_due = shop.clock.now()
        assert shop.deliver().sent == 1
        due, reason = shop.rows("select due_at, reason from message where status = 'due'")[0]
        assert (due, reason) == (first_due + timedelta(days=1), "frequency cap: 1 in 1 day")
        assert shop.at(due).deliver().sent == 1

    def test_quiet_it_skips_if_told_to(self, pipeline: Callable[..., Pipeline]) -> None:
        text = """
journey: skips
trigger: {event: Product Viewed}
stop: {event: Order Completed, goal: true}
steps:
  - send: sms
    template: t
    when quiet: skip
"""
        quiet = QuietHours((T0 - timedelta(hours=1)).time(), (T0 + timedelta(hours=1)).time())
        policy = Policy(topics=TOPICS, quiet_hours={"sms": quiet}, shop=Shop(timezone="UTC"))
        shop = pipeline(*journeys(text), policy=policy)
        shop.drain(
            view(who=("user:1",), context={"timezone": "UTC", "traits": {"phone": WHO[2][6:]}})
        )
        shop.deliver()
        assert shop.messages() == [("t", "skipped", "quiet hours")]

    def test_overdue_at_the_gate_it_goes_in_the_next_window(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        text = """
journey: window
trigger: {event: Product Viewed}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: t
    if overdue: next window after 2 hours
"""
        shop = pipeline(*journeys(text))
        shop.drain(view(who=WHO[:2]))
        shop.at(at(hours=5)).deliver()
        ((due, ends, reason),) = shop.rows("select due_at, expires_at, reason from message")
        assert (due, ends, reason) == (at(days=1), at(days=1, hours=2), "overdue: next window")
        assert shop.at(at(days=1)).deliver().sent == 1


BIRTHDAY = """
journey: birthday
trigger: {date: profile.birthday, yearly: true, shift: -1 day, at: "09:00", again: always}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: birthday
"""
SCHEDULE = """
journey: mondays
trigger:
  every: monday
  at: "09:00"
  if: count("Product Viewed") > 1 and profile.vip
  again: always
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: mondays
"""


def born(number: int, day: str, **traits: Any) -> Any:
    return event(
        "Identify",
        at(days=-1),
        kind="identify",
        who=(f"user:{number}", f"email:{number}@x.de"),
        birthday=day,
        **traits,
    )


class TestCalendar:
    def test_who_has_a_birthday_tomorrow_is_written_to_once(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        """T0 is the 2nd of March, nine o'clock."""
        days = {1: "1990-03-03", 2: "1990-03-04", 3: "1990-03-03T00:00:00Z", 4: "soon", 5: ""}
        shop = pipeline(*journeys(BIRTHDAY))
        shop.drain(*(born(number, day) for number, day in days.items()))
        shop.drain(born(6, "1990-03-03", timezone="America/New_York"))
        assert to_do(shop.shell)
        assert calendars_due(shop.shell).put == 0
        shop.at(at(seconds=30))
        assert not to_do(shop.shell)
        assert calendars_due(shop.shell).put == 0, "nine o'clock had come before the first look"

        shop.at(at(hours=5, seconds=30))  # nine o'clock in New York
        assert to_do(shop.shell)
        assert calendars_due(shop.shell).put == 1
        assert calendars_due(shop.shell).put == 0
        shop.at(at(days=1, seconds=10))
        assert calendars_due(shop.shell).put == 1
        shop.drain()
        assert shop.deliver().sent == 2
        rows = shop.rows(
            "select p.traits ->> 'email', e.time, e.properties ->> 'date' from event e"
            " join profile p on p.id = e.profile_id where e.name = %s order by e.time",
            CALENDAR_REACHED,
        )
        assert rows == [
            ("6@x.de", at(hours=5), "2026-03-03"),
            ("2@x.de", at(days=1), "2026-03-04"),
        ]
        shop.at(at(days=363))
        assert calendars_due(shop.shell).put == 0

    def test_a_calendar_may_stand_on_what_winback_counts(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        """No trait: a search narrowed to shoppers with a trait of that name finds nobody."""
        shop = pipeline(*journeys(BIRTHDAY.replace("profile.birthday", "profile.last_order_at")))
        shop.drain(event("Order Completed", at(days=-1), who=("user:1", "email:1@x.de")))
        calendars_due(shop.shell)
        shop.at(at(days=370))
        assert calendars_due(shop.shell).put == 1

    def test_a_search_goes_on_where_a_killed_worker_left_it(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop = pipeline(*journeys(BIRTHDAY))
        shop.drain(*(born(number, "1990-03-04") for number in range(25)))
        calendars_due(shop.shell)
        shop.at(at(days=1))
        searched = calendars_due(shop.shell, seconds=0, batch=10)
        assert (searched.put, searched.done) == (10, False)
        shop.at(at(days=1, minutes=5))
        assert to_do(shop.shell)
        assert calendars_due(shop.shell, batch=10).put == 15
        assert not to_do(shop.shell)
        assert shop.drain().taken == 25
        assert len({row[0] for row in shop.rows("select profile_id from enrollment")}) == 25

    def test_a_schedule_is_for_whom_its_condition_holds(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop = pipeline(*journeys(SCHEDULE))
        for number, (vip, views) in enumerate([(True, 2), (True, 1), (False, 3)]):
            who = (f"user:{number}", f"email:{number}@x.de")
            shop.drain(born(number, "", vip=vip))
            shop.drain(*(view(at(hours=-9 + n), who=who) for n in range(views)))
        calendars_due(shop.shell)
        shop.at(at(days=7, seconds=1))
        assert calendars_due(shop.shell).put == 1
        shop.drain()
        assert shop.deliver().sent == 1
        assert shop.one("select event_id from enrollment").startswith("calendar:mondays:")
        assert shop.one("select entered_at from enrollment") == at(days=7)

    def test_who_came_after_the_moment_did_not_reach_it(
        self, pipeline: Callable[..., Pipeline]
    ) -> None:
        shop = pipeline(*journeys(SCHEDULE.replace('count("Product Viewed") > 1 and ', "")))
        calendars_due(shop.shell)
        late = msgspec.structs.replace(
            born(1, "", vip=True), time=at(days=8), received_at=at(days=8)
        )
        shop.drain(late)
        shop.at(at(days=9))
        assert calendars_due(shop.shell).put == 0

    def test_a_journey_that_comes_back_begins_anew(self, pipeline: Callable[..., Pipeline]) -> None:
        shop = pipeline(*journeys(SCHEDULE.replace('count("Product Viewed") > 1 and ', "")))
        shop.drain(born(1, "", vip=True))
        calendars_due(shop.shell)
        shop.journeys, kept = [], shop.journeys
        shop.at(at(days=1))
        calendars_due(shop.shell)
        shop.journeys = kept
        shop.at(at(days=8))
        assert calendars_due(shop.shell).put == 0
        shop.at(at(days=14))
        assert calendars_due(shop.shell).put == 1
