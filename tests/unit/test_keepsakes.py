"""What a simulation forgets, and that nobody notices."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
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
POLICY_CAPS = (Cap(4, timedelta(days=7)),)
POLICY = Policy(topics={"offers": Topic("offers", consent="none")})


def kept(*written: str, watched: bool = False) -> Keepsakes:
    journeys = [journey(text) for text in written]
    return Keepsakes(journeys, open_book(journeys), watched=watched)


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


@pytest.mark.parametrize(
    ("step", "watched", "left"),
    [
        ("wait: 1 day", False, {}),
        ("wait: 1 day", True, {"products": [{"product_id": "P1"}], "price": 3}),
        ("branch: [{if: bought(), steps: []}]", False, {"products": [{"product_id": "P1"}]}),
        ("update: {a: = event.product_ids}", False, {"products": [{"product_id": "P1"}]}),
        ("update: {a: = event.revenue}", False, {"revenue": 9}),
    ],
)
def test_what_was_bought_is_kept_where_somebody_may_ask(
    step: str, watched: bool, left: dict[str, Any]
) -> None:
    keepsakes = kept(
        f"journey: one\ntrigger: {{event: Page}}\nsteps:\n  - {step}\n", watched=watched
    )
    order = {"products": [{"product_id": "P1"}], "price": 3, "revenue": 9}
    assert keepsakes.of(order) == left
    assert order == {"products": [{"product_id": "P1"}], "price": 3, "revenue": 9}


def test_a_product_in_many_baskets_is_one_object() -> None:
    keepsakes = kept(HEAD % "never" + "steps: [{wait: 1 day}]\n", watched=True)
    baskets = [
        keepsakes.of({"products": [{"product_id": "P1"}, {"product_id": str(number)}, "odd"]})
        for number in range(2)
    ]
    assert baskets[0]["products"][0] is baskets[1]["products"][0]
    assert [one["products"][1:] for one in baskets] == [
        [{"product_id": "0"}, "odd"],
        [{"product_id": "1"}, "odd"],
    ]


def test_what_is_read_as_a_whole_is_kept_as_a_whole() -> None:
    keepsakes = kept(HEAD % "never" + "steps: [{emit: {event: Seen, properties: {a: = event}}}]\n")
    assert keepsakes.of({"colour": "red"}) == {"colour": "red"}


@pytest.mark.parametrize("values", [(1, True), (1, Decimal(1)), (Decimal("1.0"), Decimal("1.00"))])
def test_what_is_equal_but_not_the_same_stays_apart(values: tuple[Any, Any]) -> None:
    keepsakes = kept(HEAD % "never" + "steps: [{wait: 1 day}]\n")
    found = [keepsakes.of({"product_id": value}) for value in values]
    assert [repr(one) for one in found] == [repr({"product_id": value}) for value in values]


def test_only_as_many_are_shared_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runtime.keepsakes._SHARED", 10)
    keepsakes = kept(HEAD % "never" + "steps: [{wait: 1 day}]\n", watched=True)
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
        watched=True,
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


@pytest.mark.parametrize(("again", "left"), [("always", 0), ("after 1 day", 60), ("never", 500)])
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


def test_a_shopper_takes_little_memory() -> None:
    """A hundred thousand of them and a million events fit into 300 MB: 2.4 KB each, with the
    tables in which they are found."""
    text = HEAD % "always" + "stop: {event: Order Completed}\nsteps:\n" + SEND
    policy = Policy(topics={"offers": Topic("offers", consent="opt-out")}, caps=POLICY_CAPS)
    simulation = Simulation([journey(text)], policy, bare=True)
    tracemalloc.start()
    try:
        for number in range(10_000):
            user, anonymous = f"user:u{number % 1000}", f"anonymous:a-{number % 1000}"
            event = seen(number / 10, who=user, product_id=f"P{number % 97}", brand="x")
            named = (user, f"email:shopper{number % 1000}@bench.example", anonymous)
            simulation.feed(msgspec.structs.replace(event, identifiers=named))
        del event
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert simulation.tallies["one"].messages == 10_000
    assert taken / 1000 < 2_000


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
