"""What a simulation keeps of events past: as little as the journeys can still ask for.

Shoppers by the hundred thousand look at the same few thousand products. So of a trigger's event
and of the history only those properties are kept that some expression reads, and equal ones are
one object. What nobody can look back at any more is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from engine.core.book import JourneyBook, Needs, widen
from engine.core.shopper import Past, ShopperHistory
from engine.model.journey import Journey, WaitFor
from engine.runtime.looks import conditions_in, looks_of

#: Read without being named in a journey: what was bought (``product_ids``), and by a backtest.
_ALWAYS = frozenset({"product_id", "products", "price"})
#: So many different events are shared: some 10 MB.
_SHARED = 10_000
#: A history is looked through for what is too old each time it has grown by so many events.
_GROWN = 8


class Keepsakes:
    """For the journeys of one simulation. Of the events in ``always``, by name, all times are
    kept, however old."""

    def __init__(
        self, journeys: Collection[Journey], book: JourneyBook, always: Iterable[str]
    ) -> None:
        looks = looks_of(journeys).properties
        self._names = None if looks is None else looks | _ALWAYS
        self._shared: dict[str, dict[str, Any]] = {}
        needs: Needs = {}
        # A stop or a wait looks back to where its run began, and a merge may bring any run; then
        # they are judged by what was known at that time.
        whole = {*always, *book.stop_names, *book.wait_names}
        for journey in journeys:
            for condition in conditions_in(journey):
                widen(needs, dict(condition.history))
            waits = (step for step in journey.steps.values() if isinstance(step, WaitFor))
            for condition in conditions_in([*journey.stops, *waits]):
                whole.update(name for name, _ in condition.history)
        #: by event name how far back conditions look
        self.windows = {
            name: within
            for name, within in needs.items()
            if within is not None and name not in whole
        }

    def of(self, properties: dict[str, Any]) -> dict[str, Any]:
        """What is worth keeping of an event's properties. Not to be changed: others have it too."""
        names = self._names
        if names is not None:
            properties = {name: value for name, value in properties.items() if name in names}
        written = repr(properties)  # 1, True and Decimal(1) are equal, and not the same
        found = self._shared.get(written)
        if found is None:
            if len(self._shared) >= _SHARED:
                self._shared.clear()
            found = self._shared[written] = properties
        return found


class Remembered(ShopperHistory):
    """A history that keeps no more than that."""

    __slots__ = ("_keepsakes",)

    def __init__(self, keepsakes: Keepsakes) -> None:
        super().__init__()
        self._keepsakes = keepsakes

    def add(self, name: str, past: Past) -> None:
        keepsakes = self._keepsakes
        super().add(name, Past(past.time, past.id, keepsakes.of(past.properties)))
        events = self._by_name[name]
        within = keepsakes.windows.get(name)
        if within is not None and not len(events) % _GROWN:
            self.trim(name, events[-1].time - within)
