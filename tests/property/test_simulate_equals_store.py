"""A simulation in memory and the real store agree, run for run, whatever happens to shoppers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.intake.identifiers import strongest_first
from engine.language import load_journey
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Cap, Policy, QuietHours, Topic
from engine.runtime.replay import Replay
from engine.runtime.simulate import Simulation
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


def journeys() -> list[Journey]:
    found = []
    for text in JOURNEYS.split("---\n"):
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
        ("user:1", "phone:+447700900123"),
        ("email:y@example.org", "phone:+447700900123", "anonymous:a"),
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
            " journey_version, former_profile, enrollment, message, delivery, audience_member"
        )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=_EVENTS)
def test_simulation_and_store_agree(
    database: Database, drawn: list[tuple[int, tuple[str, ...], str, str, int]]
) -> None:
    empty(database)
    events = [event(number, one) for number, one in enumerate(sorted(drawn, key=lambda d: d[0]))]
    written = journeys()
    policy = _policy()
    simulation = Simulation(written, policy)
    for one in events:
        simulation.feed(one)
    simulated = simulation.finish(UNTIL)
    real = Replay(database, written, policy).run(events, UNTIL)
    assert {n: vars_of(t) for n, t in real.items()} == {n: vars_of(t) for n, t in simulated.items()}


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
