"""The facts that conditions and templates see, made from an event and a profile."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.model.event import Event
from engine.model.profile import Profile

#: What Winback counts itself: in a condition it stands over a trait of the same name.
COUNTED = ("orders", "lifetime_value", "last_order_at", "first_seen", "last_seen")


def product_ids(properties: Mapping[str, Any]) -> list[str]:
    """The products an event speaks of, as text, each once: ``products[].product_id``, then its
    own ``product_id``.

    Text, because one shop's storefront sends 42 where its back end sends "42".
    """
    found: dict[str, None] = {}
    products = properties.get("products")
    if isinstance(products, list):
        for product in products:
            if isinstance(product, Mapping):
                _add(found, product.get("product_id"))
    _add(found, properties.get("product_id"))
    return list(found)


def _add(found: dict[str, None], value: Any) -> None:
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != "":
        found[str(value)] = None


def event_facts(event: Event) -> dict[str, Any]:
    """``event`` (or ``trigger``) in a condition: the properties as sent, and beneath them
    ``product_ids`` and ``event_name``."""
    return {
        "product_ids": product_ids(event.properties),
        "event_name": event.name,
        **event.properties,
    }


def profile_facts(profile: Profile, currency: str) -> dict[str, Any]:
    """``profile`` in a condition: the traits, and over them what we counted ourselves.

    ``lifetime_value`` is what was spent in the shop's ``currency``; other currencies are not
    converted. ``last_order_at``, ``first_seen`` and ``last_seen`` are UTC or missing.
    """
    return {
        **profile.traits,
        "orders": profile.orders,
        "lifetime_value": profile.lifetime_value.get(currency, Decimal(0)),
        "last_order_at": profile.last_order_at,
        "first_seen": profile.first_seen,
        "last_seen": profile.last_seen,
    }
