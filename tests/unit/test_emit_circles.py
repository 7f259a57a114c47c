"""Journeys that start each other by what they emit come to an end, however many they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.core.emitted import LONGEST_CHAIN
from engine.core.shopper import Shopper
from engine.language import load_journey
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.runtime.simulate import Observer, Simulation

T0 = datetime(2026, 3, 1, tzinfo=UTC)
#: What can come of one emitted event, itself counted.
MOST = 2 ** (LONGEST_CHAIN - 1)


def emitting(name: str, emits: int, trigger: str = "Tick") -> Journey:
    steps = "[" + ", ".join(["{emit: {event: Tick}}"] * emits) + "]"
    text = f"journey: {name}\ntrigger: {{event: {trigger}, again: always}}\nsteps: {steps}"
    journey, found = load_journey(text)
    assert journey is not None, found
    return journey


class Ticks(Observer):
    number = 0

    def happened(self, shopper: Shopper, event: Event) -> None:
        self.number += event.name == "Tick"


def ticks_after_one(*journeys: Journey, of: str = "Tick") -> int:
    ticks = Ticks()
    first = Event("e1", "track", of, T0, T0, ("user:1",), {})
    Simulation(journeys, Policy(), observer=ticks).run([first], timedelta())
    return ticks.number - (of == "Tick")


def test_one_after_the_other_counts_by_one() -> None:
    assert ticks_after_one(emitting("a", 1)) == LONGEST_CHAIN


@pytest.mark.parametrize("emits", [2, 3, 12])
def test_several_do_not_multiply_at_every_turn(emits: int) -> None:
    assert LONGEST_CHAIN < ticks_after_one(emitting("a", emits)) <= emits * MOST


def test_nor_do_those_of_several_journeys() -> None:
    three = [emitting(name, 2) for name in "abc"]
    assert LONGEST_CHAIN < ticks_after_one(*three) <= 6 * MOST


def test_where_nothing_goes_round_a_journey_emits_what_it_says() -> None:
    assert ticks_after_one(emitting("a", 25, trigger="Go"), of="Go") == 25
