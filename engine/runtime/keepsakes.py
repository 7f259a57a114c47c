"""What a simulation keeps of events past: as little as the journeys can still ask for.

Shoppers by the hundred thousand look at the same few thousand products. So of a trigger's event
and of the history only those properties are kept that some expression reads, and equal ones are
one object. What nobody can look back at any more is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine.core.book import JourneyBook, Needs, widen
from engine.core.profiles import ORDER
from engine.core.shopper import Past, ShopperHistory
from engine.model.journey import Journey, WaitFor
from engine.runtime.looks import conditions_in, looks_of

#: Where ``product_ids`` come from: ``bought`` asks for them without naming them.
_PRODUCTS = frozenset({"product_id", "products"})
#: So many different events, and products, are shared: some 10 MB.
_SHARED = 10_000
#: A history is looked through for what is too old each time it has grown by so many events.
_GROWN = 8
_NOTHING: dict[str, Any] = {}
#: Shared by all who have no history.
_NO_EVENTS: dict[str, list[Past]] = {}


class Keepsakes:
    """For the journeys of one simulation. ``watched``: somebody who looks on asks what the
    shopper had bought, and what the product of a trigger cost. ``written``: messages are written
    as they would have been, and a template may ask for anything."""

    def __init__(
        self,
        journeys: Collection[Journey],
        book: JourneyBook,
        *,
        watched: bool = False,
        written: bool = False,
    ) -> None:
        needs: Needs = {}
        # A stop or a wait looks back to where its run began, and a merge may bring any run; then
        # they are judged by what was known at that time.
        whole = {*book.stop_names, *book.wait_names, *([ORDER] if watched else [])}
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
        looks = None if written else looks_of(journeys).properties
        if looks is not None and (watched or ORDER in needs or "product_ids" in looks):
            looks |= _PRODUCTS
        self._names = looks if looks is None or not watched else looks | {"price"}
        self._shared: dict[str, dict[str, Any]] = {}
        self._products: dict[str, dict[str, Any]] = {}
        self._last: tuple[dict[str, Any], dict[str, Any]] = ({}, {})

    def of(self, properties: dict[str, Any]) -> dict[str, Any]:
        """What is worth keeping of an event's properties. Not to be changed: others have it too."""
        last, kept = self._last
        if properties is not last:  # an event may go into the history and start several runs
            kept = self._kept(properties)
            self._last = properties, kept
        return kept

    def _kept(self, properties: dict[str, Any]) -> dict[str, Any]:
        names = self._names
        if names is not None:
            if not names:
                return _NOTHING
            properties = {name: properties[name] for name in names if name in properties}
        products = properties.get("products")
        if isinstance(products, list):  # no two baskets are alike, but what is in them
            return properties | {"products": [self._product(one) for one in products]}
        written = repr(properties)  # 1, True and Decimal(1) are equal, and not the same
        found = self._shared.get(written)
        if found is None:
            if len(self._shared) >= _SHARED:
                self._shared.clear()
            found = self._shared[written] = properties
        return found

    def _product(self, product: Any) -> Any:
        if not isinstance(product, dict) or len(product) != 1:
            return product
        id = product.get("product_id")
        if not isinstance(id, str):
            return product
        if len(self._products) >= _SHARED:
            self._products.clear()
        return self._products.setdefault(id, product)


class Remembered(ShopperHistory):
    """A history that keeps no more than that."""

    __slots__ = ("_keepsakes",)

    def __init__(self, keepsakes: Keepsakes) -> None:
        self._by_name = _NO_EVENTS
        self._keepsakes = keepsakes

    def add(self, name: str, past: Past) -> None:
        keepsakes = self._keepsakes
        if self._by_name is _NO_EVENTS:
            self._by_name = {}
        kept = keepsakes.of(past.properties)
        if kept is not past.properties:
            past = Past(past.time, past.id, kept)
        super().add(name, past)
        within = keepsakes.windows.get(name)
        if within is not None:
            events = self._by_name[name]
            if not len(events) % _GROWN:
                self.trim(name, events[-1].time - within)
