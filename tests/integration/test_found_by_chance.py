"""What drawn journeys and shoppers (tests/property) found to be wrong, as small as it gets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from engine.core.gate import Verdict
from engine.language import load_journey
from engine.model.event import Event
from engine.model.message import Message
from engine.model.policy import Policy, QuietHours, Topic
from engine.runtime import shelf as shelf_module
from engine.runtime.explain import Explanation, explain
from engine.runtime.in_force import Past
from engine.runtime.replay import Replay
from engine.runtime.retrace import differences
from engine.runtime.simulate import Observer, Simulation
from engine.store.database import Database
from tests.integration.versions_kit import HOUR, World, event, new_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture
def world(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(shelf_module, "EVERY", 0.0)
    with Database(database_url) as database:
        yield World(database, new_project(tmp_path / "shop"), T0)


def live(world: World, journey: str, *events: Event, hours: float = 48) -> None:
    """The workers keep up with each event as it comes, and then go on for some time."""
    world.write("one", f"journey: one\n{journey}")
    world.apply()
    for one in events:
        # No two batches are worked in the same microsecond.
        world.clock.move_to(max(world.clock.now() + TICK, one.time))
        world.accept(one)
        world.work(world.clock.now())
    world.work(T0 + hours * HOUR)


def told(world: World) -> Explanation:
    with world.database.connection() as connection:
        return explain(connection, "1", "GB")


def replayed(world: World) -> list[str]:
    with world.database.connection() as connection:
        past = Past(connection, world.shelf.book().current)
        return differences(explain(connection, "1", "GB"), past, "USD", "UTC")


def view(hours: float = 1) -> Event:
    return event("Product Viewed", 1, T0 + hours * HOUR, product_id="p")


def test_what_an_event_could_not_decide_about_a_run_is_told(world: World) -> None:
    """It was written only where the run happened to move in the same batch."""
    live(
        world,
        "trigger: {event: Product Viewed}\n"
        "stop: {event: Order Completed, if: event.price >= 20}\n"
        "steps: [{wait: 1 day}, {wait: 1 day}]\n",
        view(1),
        event("Order Completed", 1, T0 + 2 * HOUR, order_id="o"),
    )
    (story,) = told(world).stories
    marks = [(line.path, line.verdict, line.why) for line in story.lines]
    assert ("stop/0", "cannot say", "event.price is missing") in marks
    assert replayed(world) == []


def test_a_message_put_off_to_its_next_window_replays_the_same(world: World) -> None:
    """The gate moves the end of its time along, which is no other decision."""
    live(
        world,
        "trigger: {event: Product Viewed}\n"
        "steps:\n"
        "  - webhook: {url: 'https://shop.example/'}\n"
        "    if overdue: next window after 1 minute\n",
        view(1),
    )
    with world.database.connection() as connection:
        connection.execute("update message set expires_at = expires_at + interval '1 day'")
    ((grace,),) = world.rows("select grace from message")
    assert grace == timedelta(minutes=1)
    assert replayed(world) == []


@pytest.mark.parametrize("holder", ["event", "trigger"])
def test_the_name_of_the_event_is_known_after_a_wait(world: World, holder: str) -> None:
    """It was known only until the run waited, and to stops only where they saw the event come."""
    condition = f'{holder}.event_name == "Product Viewed"'
    live(
        world,
        "trigger: {event: Product Viewed}\n"
        "stop: {event: Order Completed, if: event.event_name == 'Order Completed'}\n"
        "steps:\n"
        "  - wait: 1 hour\n"
        f"  - branch: [{{if: '{condition}', steps: [{{exit: known}}]}}]\n",
        view(1),
    )
    (story,) = told(world).stories
    assert story.run.reason == "known"
    assert replayed(world) == []


def test_nor_is_it_missing_where_a_stop_looks_back(world: World) -> None:
    live(
        world,
        "trigger: {event: Product Viewed}\n"
        "stop: {event: Order Completed, if: event.event_name == 'Order Completed'}\n"
        "steps: [{wait: 1 day}]\n",
        event("Order Completed", 1, T0 + 2 * HOUR, order_id="o"),
        view(1),
    )
    (story,) = told(world).stories
    assert story.run.status == "stopped"
    assert replayed(world) == []


def both_send(database_url: str, texts: list[str], *events: Event) -> list[datetime]:
    """When messages go, as the simulation and the replay through the store agree upon."""
    journeys = [load_journey(text)[0] for text in texts]
    policy = Policy(
        topics={"offers": Topic("offers", consent="opt-out")},
        quiet_hours={"email": QuietHours(time(2), time(4))},
    )
    went = Went()
    found = [journey for journey in journeys if journey is not None]
    assert len(found) == len(texts)
    once = {one.id: one for one in events}.values()
    tallies = Simulation(found, policy, observer=went).run(once, timedelta(days=20))
    with Database(database_url) as database:
        assert Replay(database, found, policy).run(events, timedelta(days=20)) == tallies
        with database.connection() as connection:
            rows = connection.execute("select claimed_at from message where status = 'sent'")
            assert sorted(at for (at,) in rows) == sorted(went.at)
    return went.at


class Went(Observer):
    def __init__(self) -> None:
        self.at: list[datetime] = []

    def judged(self, message: Message, verdict: Verdict) -> None:
        if verdict.action == "send":
            self.at.append(message.due_at)


ASHA = Event("e1", "identify", "Identify", T0, T0, ("user:1",), {"email": "a@x.example"})


def test_a_message_is_not_judged_by_where_the_shopper_is_later(database_url: str) -> None:
    """All timers up to the shopper's next event fired before what had been due meanwhile."""
    texts = [
        "journey: one\ntrigger: {event: Identify}\n"
        "steps: [{wait: 3 hours}, {send: email, template: t}]",
        "journey: two\ntrigger: {event: Identify}\n"
        "steps: [{wait: 12 hours}, {update: {timezone: Asia/Kolkata}}]",
    ]
    again = event("Product Viewed", 1, T0 + 24 * HOUR)
    assert both_send(database_url, texts, ASHA, again) == [T0 + 4 * HOUR]


def test_an_event_told_twice_does_not_bring_the_first_of_the_month_back(database_url: str) -> None:
    texts = [
        "journey: one\ntrigger: {every: month, at: '00:00'}\nsteps: [{send: email, template: t}]"
    ]
    assert both_send(database_url, texts, ASHA, ASHA) == []
