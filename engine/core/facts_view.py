"""The names a condition can use, made only when it looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engine.core.facts import event_facts, product_ids, profile_facts
from engine.core.shopper import Shopper
from engine.model.event import Event

Properties = Mapping[str, Any] | Event


class Facts(dict[str, Any]):
    """``event``, ``trigger``, ``key``, ``profile``, ``history`` and ``now`` for one decision.

    ``properties`` and ``trigger`` are an event, or the stored properties of one. Raises
    ``KeyError`` for any other name.
    """

    __slots__ = ("_currency", "_properties", "_shopper", "_trigger")

    def __init__(
        self,
        shopper: Shopper,
        currency: str,
        now: datetime,
        key: str,
        properties: Properties,
        trigger: Properties,
    ) -> None:
        self["now"], self["key"] = now, key
        self._shopper = shopper
        self._currency = currency
        self._properties = properties
        self._trigger = trigger

    def profile_changed(self) -> None:
        """Look at the profile anew: a step has changed it."""
        self.pop("profile", None)

    def __missing__(self, name: str) -> Any:
        value: Any
        if name == "event":
            value = seen(self._properties)
        elif name == "trigger":
            value = seen(self._trigger)
        elif name == "profile":
            value = profile_facts(self._shopper.profile, self._currency)
        elif name == "history":
            value = self._shopper.history
        else:
            raise KeyError(name)
        self[name] = value
        return value


def seen(source: Properties) -> dict[str, Any]:
    """An event as a condition sees it."""
    if isinstance(source, Event):
        return event_facts(source)
    return {"product_ids": product_ids(source), **source}
