"""A simulation in memory and the real store agree, run for run, whatever happens to shoppers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.decision import Outcome
from engine.core.gate import Verdict
from engine.core.shopper import Shopper
from engine.intake.identifiers import strongest_first
from engine.language import load_journey
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.policy import Cap, Policy, QuietHours, Topic
from engine.runtime.replay import Replay
from engine.runtime.simulate import Observer, Simulation
from engine.store.database import Database

START = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = timedelta(days=40)

JOURNEYS = """
journey: keyed
trigger:
  event: Product Viewed
  if: event.price >= 20
  key: event.product_id
  again: after 2 days
stop:
  - {event: Order Completed, if: key in event.product_ids, goal: true}
  - {event: Order Completed, if: event.revenue > 100}
holdout: 20%
steps:
  - wait: 2 hours
  - send: email
    template: t
  - wait for: {event: Product Added, if: event.product_id == key, at most: 1 day}
    then:
      - send: sms
        template: t
    else:
      - audience: {add: google/left}
  - wait: 1 day
  - send: email
    template: t
---
journey: counted
trigger:
  event: Product Viewed
  if: count("Product Viewed", within="3 days") >= 2 and not bought(within="2 days")
  again: always
stop: {event: Order Completed, goal: true}
steps:
  - branch:
      - if: profile.orders > 1
        steps:
          - exit: a regular
      - if: did("Product Added")
        steps:
          - send: email
            template: t
      - else:
          - update: {browses: true, seen: "= profile.seen + 1"}
          - wait: 1 day
  - split: {30% a: [{send: email, template: t}], 70% b: [{wait: 1 day}, {send: sms, template: t}]}
---
journey: after-order
trigger: {event: Order Completed, again: always}
stop: {event: Order Completed, if: "event.revenue >= trigger.revenue", goal: true}
steps:
  - send: email
    template: t
  - wait: 3 days
  - send: email
    template: t
"""

#: The rest of the language: what happens of itself, what follows from itself.
MORE_JOURNEYS = """
journey: inaction
trigger:
  event: Product Viewed
  without: {event: Product Added, if: event.product_id == trigger.product_id, within: 6 hours}
  key: event.product_id
  again: always
stop: {event: Order Completed, goal: true}
steps:
  - emit: {event: Reminder Shown, properties: {product_id: "= key", price: "= trigger.price"}}
  - wait: {until: "18:00"}
  - send: sms
    template: t
    when quiet: skip
---
journey: reminded
priority: 5
trigger: {event: Reminder Shown, key: event.product_id, again: always}
stop: {event: Order Completed, if: key in event.product_ids, goal: true}
holdout: 20%
steps:
  - offer: {coupon: generate WB, percent: 10, valid: 3 days}
  - send: email
    template: t
    when capped: wait
  - wait: {until: "10:00", on: [tuesday, thursday]}
  - webhook: {url: "https://shop.example/hook", body: {product: "= key"}}
  - jump: landed
---
journey: landed
trigger: {event: Order Completed, again: always}
stop: {event: Order Completed, goal: true}
steps:
  - wait: {until: profile.birthday, at: "09:00", shift: -2 days}
  - branch:
      - if: did("Product Added", within="4 days") and trigger.price
        steps:
          - send: email
            template: added
  - offer: {coupon: pool winter, percent: 10}
    if none left: exit
  - send: email
    template: t
    if overdue: next window after 2 hours
  - emit: {event: Product Viewed, properties: {product_id: q, price: 30}}
  - jump: reminded
---
journey: birthday
trigger: {date: profile.birthday, yearly: true, shift: -3 days, at: "09:00", again: always}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: t
  - wait: 1 day
  - emit: {event: Reminder Shown, properties: {product_id: p}}
---
journey: twice-a-week
starts: 2026-03-04
ends: 2026-03-20
timezone: Asia/Kolkata
trigger:
  every: [monday, thursday]
  at: "10:00"
  if: count("Product Viewed", within="5 days") >= 1
  again: always
stop: {event: Order Completed, goal: true}
steps:
  - send: sms
    template: t
  - wait: 3 days
  - send: email
    template: t
"""


def journeys(texts: str = JOURNEYS) -> list[Journey]:
    found = []
    for text in texts.split("---\n"):
        journey, diagnostics = load_journey(text)
        assert journey is not None, diagnostics
        found.append(journey)
    return found


_PEOPLE = st.sampled_from(
    [
        ("anonymous:a",),
        ("anonymous:b",),
        ("anonymous:c",),
        ("user:1",),
        ("user:2",),
        ("user:1", "anonymous:a"),
        ("user:2", "anonymous:a"),
        ("user:2", "anonymous:b"),
        ("email:x@example.org",),
        ("user:1", "email:x@example.org"),
        ("email:x@example.org", "anonymous:c"),
        ("cart:9", "anonymous:b"),
        ("cart:9", "email:x@example.org"),
        ("user:1", "phone:+447400123456"),
        ("email:y@example.org", "phone:+447400123456", "anonymous:a"),
    ]
)
_NAMES = st.sampled_from(
    ["Product Viewed", "Product Viewed", "Product Added", "Order Completed", "Identify"]
)
_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 14 * 24), _PEOPLE, _NAMES, st.sampled_from("pq"), st.integers(10, 200)
    ),
    min_size=1,
    max_size=25,
)


def event(number: int, drawn: tuple[int, tuple[str, ...], str, str, int]) -> Event:
    hours, people, name, product, money = drawn
    at = START + timedelta(hours=hours)
    properties: dict[str, Any] = {}
    if name in ("Product Viewed", "Product Added"):
        properties = {"product_id": product, "price": Decimal(money)}
    elif name == "Order Completed":
        properties = {
            "products": [{"product_id": product}],
            "revenue": Decimal(money),
            "currency": "USD",
        }
    elif name == "Identify":
        properties = {"birthday": f"{1927 + money % 100}-03-{1 + money % 28:02}"}
        if product == "q":
            properties["timezone"] = "America/New_York"
    kind = "identify" if name == "Identify" else "track"
    return Event(f"e{number:03}", kind, name, at, at, strongest_first(people), properties)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


def empty(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(
            "truncate inbox, rejected, ledger, profile, identity, event, consent, suppression,"
            " journey_version, former_profile, enrollment, message, delivery, audience_member,"
            " calendar_look"
        )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=_EVENTS)
def test_simulation_and_store_agree(
    database: Database, drawn: list[tuple[int, tuple[str, ...], str, str, int]]
) -> None:
    agree(database, drawn, JOURNEYS)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=_EVENTS)
def test_they_agree_on_what_happens_of_itself(
    database: Database, drawn: list[tuple[int, tuple[str, ...], str, str, int]]
) -> None:
    agree(database, drawn, MORE_JOURNEYS)


def agree(
    database: Database, drawn: list[tuple[int, tuple[str, ...], str, str, int]], texts: str
) -> None:
    empty(database)
    events = [event(number, one) for number, one in enumerate(sorted(drawn, key=lambda d: d[0]))]
    written = journeys(texts)
    policy = _policy()
    kept = Kept()
    simulation = Simulation(written, policy, observer=kept)
    for one in events:
        simulation.feed(one)
    simulated = simulation.finish(UNTIL)
    real = Replay(database, written, policy).run(events, UNTIL)
    assert {n: vars_of(t) for n, t in real.items()} == {n: vars_of(t) for n, t in simulated.items()}
    with database.connection() as connection:
        runs = connection.execute(
            "select id::text, journey, key, entered_at, status, reason, at, wake_at, offer"
            " from enrollment"
        ).fetchall()
        sent = connection.execute("select id::text, claimed_at from message where status = 'sent'")
        assert dict(sent.fetchall()) == kept.sent
    # Where two identities had the same run, the simulation forgets the later one.
    assert {row[0]: row[1:] for row in runs if row[4] != "merged"} == {
        run.id: shown(run) for run in kept.runs.values() if run.id not in merged_ids(runs)
    }


class Kept(Observer):
    """The last that a simulation said of each run and message."""

    def __init__(self) -> None:
        self.runs: dict[str, Enrollment] = {}
        self.sent: dict[str, datetime] = {}

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.runs.update(outcome.enrollments)

    def judged(self, message: Message, verdict: Verdict) -> None:
        if verdict.action == "send":
            self.sent[message.id] = message.due_at


def shown(run: Enrollment) -> tuple[Any, ...]:
    return (
        run.journey,
        run.key,
        run.entered_at,
        run.status,
        run.reason,
        run.at,
        run.wake_at,
        run.offer,
    )


def merged_ids(runs: list[tuple[Any, ...]]) -> set[str]:
    return {row[0] for row in runs if row[4] == "merged"}


def vars_of(tally: Any) -> dict[str, int]:
    return {
        name: getattr(tally, name)
        for name in ("enrolled", "held_out", "messages", "stopped", "goals")
    }


def _policy() -> Policy:
    return Policy(
        topics={"offers": Topic("offers", consent="opt-out")},
        quiet_hours={"sms": QuietHours(time(20), time(9))},
        caps=(Cap(3, timedelta(days=2)),),
    )
