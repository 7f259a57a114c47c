"""What a simulation forgets, and that nobody notices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.core.book import open_book
from engine.core.shopper import Past
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Cap, Policy, Topic
from engine.runtime.keepsakes import Keepsakes, Remembered
from engine.runtime.simulate import Simulation
from tests.scenario_kit import journey

START = datetime(2026, 3, 2, tzinfo=UTC)
VIEW, ORDER = "Product Viewed", "Order Completed"
HEAD = "journey: one\ntrigger: {event: Product Viewed, key: event.product_id, again: %s}\n"
SEND = "  - send: email\n    template: a\n"
POLICY = Policy(topics={"offers": Topic("offers", consent="none")})


def kept(*written: str, always: tuple[str, ...] = ()) -> Keepsakes:
    journeys = [journey(text) for text in written]
    return Keepsakes(journeys, open_book(journeys), always)


def seen(hours: float, name: str = VIEW, who: str = "user:1", **said: Any) -> Event:
    at = START + timedelta(hours=hours)
    given = {"product_id": "P1", "price": Decimal("9.50"), **said}
    return Event(f"{name} {who} {hours}", "track", name, at, at, (who,), given)


def run(written: Journey, *events: Event, policy: Policy = POLICY, bare: bool = True) -> Simulation:
    simulation = Simulation([written], policy, bare=bare)
    for event in events:
        simulation.feed(event)
    return simulation


def test_properties_that_no_expression_reads_go_and_equal_ones_are_one_object() -> None:
    keepsakes = kept(HEAD % "never" + "steps:\n  - branch: [{if: event.size > 3, steps: []}]\n")
    one = keepsakes.of({"product_id": "P1", "size": 4, "colour": "red", "order_id": "1"})
    other = keepsakes.of({"product_id": "P1", "size": 4, "colour": "blue", "order_id": "2"})
    assert one is other and one == {"product_id": "P1", "size": 4}


def test_what_is_read_as_a_whole_is_kept_as_a_whole() -> None:
    keepsakes = kept(HEAD % "never" + "steps: [{emit: {event: Seen, properties: {a: = event}}}]\n")
    assert keepsakes.of({"colour": "red"}) == {"colour": "red"}


@pytest.mark.parametrize("values", [(1, True), (1, Decimal(1)), (Decimal("1.0"), Decimal("1.00"))])
def test_what_is_equal_but_not_the_same_stays_apart(values: tuple[Any, Any]) -> None:
    keepsakes = kept(HEAD % "never" + "steps: [{wait: 1 day}]\n")
    found = [keepsakes.of({"price": value})["price"] for value in values]
    assert [repr(value) for value in found] == [repr(value) for value in values]


def test_only_as_many_are_shared_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runtime.keepsakes._SHARED", 10)
    keepsakes = kept(HEAD % "never" + "steps: [{wait: 1 day}]\n")
    for number in range(1000):
        assert keepsakes.of({"product_id": number}) == {"product_id": number}
    assert len(keepsakes._shared) <= 10


def test_windows_are_those_of_conditions_that_are_asked_as_time_goes() -> None:
    keepsakes = kept(
        HEAD % "never"
        + 'stop: [{event: Order Completed, if: \'count("Product Added", within="1 day") > 2\'}]\n'
        + 'steps:\n  - branch: [{if: \'did("Product Viewed", within="3 days")\', steps: []}]\n'
        + '  - branch: [{if: \'did("Product Viewed", within="5 days")\', steps: []}]\n'
        + '  - branch: [{if: \'did("Product Added", within="5 days")\', steps: []}]\n'
        + '  - branch: [{if: \'did("Order Completed", within="5 days")\', steps: []}]\n'
        + "  - branch: [{if: 'did(\"Page\")', steps: []}]\n",
        always=(ORDER,),
    )
    assert keepsakes.windows == {VIEW: timedelta(days=5)}


def test_history_beyond_every_window_is_forgotten() -> None:
    keepsakes = kept(
        HEAD % "never" + 'steps:\n  - branch: [{if: \'count("Product Viewed", within="1 day")'
        " > 3', steps: []}]\n"
    )
    history = Remembered(keepsakes)
    for hour in range(1000):
        for name in (VIEW, ORDER):
            history.add(name, Past(START + timedelta(hours=hour), f"{hour}", {"page": hour}))
    views = list(history.times(VIEW, None))
    assert 25 <= len(views) < 40 and views[-1].id == "999" and views[-1].properties == {}
    assert len(list(history.times(ORDER, None))) == 1000


@pytest.mark.parametrize(("again", "left"), [("always", 3), ("after 1 day", 60), ("never", 500)])
def test_finished_runs_that_keep_nobody_out_are_forgotten(again: str, left: int) -> None:
    events = [seen(hour, product_id=f"P{hour}") for hour in range(500)]
    simulation = run(journey(HEAD % again + "steps:\n" + SEND), *events)
    (person,) = simulation._people.values()
    assert len(person.shopper.runs) <= left
    assert not person.shopper.live and not person.shopper.triggers and not person.waiting
    assert simulation.tallies["one"].messages == 500


def test_messages_beyond_every_cap_are_forgotten_and_the_caps_hold() -> None:
    policy = Policy(
        topics={"offers": Topic("offers", consent="opt-out")}, caps=(Cap(2, timedelta(hours=5)),)
    )
    events = [seen(hour, who="email:a@example.org", product_id=f"P{hour}") for hour in range(100)]
    simulation = run(
        journey(HEAD % "always" + "steps:\n" + SEND), *events, policy=policy, bare=False
    )
    (person,) = simulation._people.values()
    assert len(person.sent) <= 2
    assert simulation.tallies["one"].messages == 40


def test_people_without_consent_or_mail_share_what_they_do_not_have() -> None:
    written = journey(HEAD % "never" + "steps: [{wait: 1 day}]\n")
    events = [seen(0, who=f"user:{number}") for number in range(3)]
    asked = Event(
        "c", "track", "Consent Given", events[0].time, events[0].time, ("user:0",), {"channel": "x"}
    )
    simulation = run(written, *events, asked)
    told, *others = simulation._people.values()
    assert told.consents and all(other.consents == {} for other in others)
    assert others[0].consents is others[1].consents
    stays = others[0].shopper.profile
    assert stays.lifetime_value == {} and simulation._new_person(7).shopper.profile.traits == {}
