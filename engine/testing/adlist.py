"""The truth of an ad platform's lists: who is on each, and what was asked for."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Change(NamedTuple):
    """One request that was worked: ``action`` add or remove, the identifiers in it, and when it
    was worked (Unix seconds by the simulator's clock)."""

    audience: str
    action: str
    identifiers: frozenset[str]
    at: float


class AdLists:
    """By list id the identifiers (hashes) on it. Set-like, as the platforms are.

    ``asked``    how often the addition of each (list, identifier) was taken in.
    ``changes``  every request as it was worked, in that order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._people: dict[str, dict[str, float]] = defaultdict(dict)
        self.asked: Counter[tuple[str, str]] = Counter()
        self.changes: list[Change] = []

    def on(self, audience: str) -> set[str]:
        with self._lock:
            return set(self._people[audience])

    def size(self, audience: str) -> int:
        with self._lock:
            return len(self._people[audience])

    def sizes(self) -> dict[str, int]:
        with self._lock:
            return {audience: len(people) for audience, people in self._people.items()}

    def ask(self, audience: str, identifiers: Iterable[str]) -> None:
        with self._lock:
            self.asked.update((audience, one) for one in identifiers)

    def add(self, audience: str, identifiers: Iterable[str], at: float) -> None:
        with self._lock:
            wanted = frozenset(identifiers)
            self._people[audience].update(dict.fromkeys(wanted, at))
            self.changes.append(Change(audience, "add", wanted, at))

    def remove(self, audience: str, identifiers: Iterable[str], at: float) -> None:
        with self._lock:
            gone = frozenset(identifiers)
            for one in gone:
                self._people[audience].pop(one, None)
            self.changes.append(Change(audience, "remove", gone, at))

    def remove_older(self, audience: str, before: float) -> None:
        """Take off who was last added before that time."""
        with self._lock:
            people = self._people[audience]
            for one in [who for who, added in people.items() if added < before]:
                del people[one]

    def replace(self, audience: str, identifiers: Iterable[str], at: float) -> None:
        with self._lock:
            self._people[audience] = dict.fromkeys(identifiers, at)
