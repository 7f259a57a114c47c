"""``without``: simulation, pipeline, reports and explain agree on who was in the journey."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from engine.language import load_journey
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.runtime.explain import explain
from engine.runtime.in_force import Past
from engine.runtime.replay import Replay
from engine.runtime.retrace import differences
from engine.runtime.simulate import Simulation
from engine.store import journeys as journeys_store
from engine.store import tally, views
from tests.integration.runtime_kit import LEFT, Make
from tests.unit.core.build import at, event, order, view

JOURNEY = LEFT
TEXT = """
journey: browsed
trigger:
  event: Product Viewed
  without: {event: Order Completed, within: 2 hours}
  again: always
stop:
  - {event: Order Completed, goal: true}
  - {event: Order Refunded}
holdout: HOLDOUT%
steps:
  - wait: 1 day
  - send: email
    template: browsed
"""


def browsed(holdout: int = 0) -> Journey:
    text = (
        TEXT.replace("HOLDOUT", str(holdout))
        if holdout
        else TEXT.replace("holdout: HOLDOUT%\n", "")
    )
    journey, findings = load_journey(text, "browsed")
    assert journey is not None, findings
    return journey


def shopper(name: str, *doings: tuple[str, float]) -> list[Event]:
    made = []
    for n, (what, hours) in enumerate(doings):
        more = {"id": f"{name}-{n}", "who": (f"user:{name}",)}
        time: datetime = at(hours=hours)
        if what == "view":
            made.append(view(time, **more))
        elif what == "order":
            made.append(order(time, "p1", **more))
        else:
            made.append(event(what, time, **more))
    return made


STORIES = [
    *shopper("early", ("view", 0), ("order", 1), ("order", 1.5)),  # never in it
    *shopper("refund", ("view", 0), ("Order Refunded", 1)),  # nor this one
    *shopper("later", ("view", 0), ("order", 3)),  # the goal
    *shopper("never", ("view", 0)),  # gets the mail
    *shopper("at-the-end", ("view", 0), ("order", 2)),  # in time: never in it
    *shopper("before", ("order", -1), ("view", 0)),  # gets the mail
]


@pytest.mark.parametrize("holdout", [0, 50])
def test_simulation_and_store_count_the_same(make: Make, holdout: int) -> None:
    events = sorted(STORIES, key=lambda one: one.order_key)
    journey = browsed(holdout)
    found = Simulation([journey], Policy(), bare=False).run(events, timedelta(days=60))["browsed"]
    assert (found.enrolled, found.stopped, found.goals) == (3, 1, 1)

    shop = make(journey)
    Replay(shop.database, [journey], Policy()).run(events, timedelta(days=60))
    with shop.database.connection() as connection:
        stored = tally.tallies(connection)["browsed"]
        (shown,) = views.journeys(connection)
    assert (stored[0], stored[1], *stored[3:]) == (
        *(found.enrolled, found.held_out, found.stopped, found.goals),
    )
    assert (shown.entered, shown.held_out) == (found.enrolled, found.held_out)


def test_a_purchase_in_time_or_late_is_told_the_same(make: Make) -> None:
    """The order comes before the view that it belongs behind, as well as after it."""
    journey = browsed()
    shop = make(journey)
    with shop.database.connection() as connection:
        journeys_store.keep(connection, [(journey.name, journey.version, journey.source)], at())
    shop.drain(*shopper("a", ("view", 0)))
    shop.drain(*shopper("a", ("view", 0), ("order", 1))[1:])
    shop.drain(*shopper("b", ("view", 0), ("order", 1))[1:])
    shop.drain(*shopper("b", ("view", 0)))
    assert shop.rows("select distinct status, at, goal, live, reason from enrollment") == [
        ("finished", "trigger/without/then", False, False, "did it after all")
    ]
    shop.at(at(days=3)).wake()
    assert shop.messages() == []
    for name in ("a", "b"):
        with shop.database.connection() as connection:
            told = explain(connection, f"user:{name}", "GB")
            wrong = differences(told, Past(connection, {"browsed": journey}), "USD", "UTC")
        verdicts = [line.verdict for line in told.stories[0].lines]
        assert verdicts == ["enters", "waits", "came", "exits"]
        assert wrong == []


def test_a_purchase_under_another_identity_is_one_too(make: Make) -> None:
    shop = make(browsed())
    shop.drain(*shopper("a", ("view", 0)))
    shop.drain(event("Order Completed", at(hours=1), who=("anonymous:x",)))
    shop.drain(event("Page", at(hours=1.5), who=("user:a", "anonymous:x")))
    assert shop.rows("select status, goal, reason from enrollment") == [
        ("finished", False, "did it after all")
    ]
