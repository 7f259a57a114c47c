"""What a segment is asked about: one shopper, as far as segments look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from engine.core.facts import profile_facts
from engine.core.facts_view import seen
from engine.core.shopper import Past, ShopperHistory
from engine.model.enrollment import Enrollment
from engine.model.profile import Consent, Profile


class Stay(NamedTuple):
    """A run of a journey, as segments see it. ``ended_at`` None: it goes on."""

    journey: str
    entered_at: datetime
    ended_at: datetime | None
    goal: bool


def stays_of(runs: Iterable[Enrollment]) -> list[Stay]:
    """The stays of ``runs``. Who waits for what a trigger's ``without`` says is not in the journey
    yet; of two runs that a merge made one, only one counts."""
    return [
        Stay(run.journey, run.entered_at, run.ended_at, run.goal)
        for run in runs
        if run.qualified and run.status != "merged"
    ]


@dataclass(slots=True)
class Subject:
    """``history`` holds the events that the segments at hand ask for, and may hold more;
    ``lists`` are the names of the static lists that the shopper is on."""

    profile: Profile
    history: ShopperHistory = field(default_factory=ShopperHistory)
    stays: Sequence[Stay] = ()
    consents: Mapping[tuple[str, str], Consent] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    #: segments that could not be decided, and why
    faults: list[tuple[str, Exception]] = field(default_factory=list)
    _seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    _facts: dict[str, tuple[Profile, dict[str, Any]]] = field(default_factory=dict)

    def seen(self, past: Past) -> dict[str, Any]:
        """A past event as conditions see it, made once however many rules ask."""
        found = self._seen.get(past.id)
        if found is None:
            found = self._seen[past.id] = seen(past.properties)
        return found

    def profile_facts(self, currency: str) -> dict[str, Any]:
        """The profile as conditions see it, made once for each state of it."""
        known = self._facts.get(currency)
        if known is None or known[0] is not self.profile:
            known = self._facts[currency] = (self.profile, profile_facts(self.profile, currency))
        return known[1]
