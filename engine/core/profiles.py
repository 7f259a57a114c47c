"""What an event teaches about its shopper: traits and money spent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from engine.core.emitted import ours
from engine.core.receipts import REPORTER
from engine.model.event import Event
from engine.model.profile import Profile

ORDER = "Order Completed"
REFUND = "Order Refunded"

#: Key of the context under which the intake keeps what was given as an address and is none:
#: kind -> ``{"value", "because"}``. It becomes the trait ``refused_email`` or ``refused_phone``,
#: and never the address.
REFUSED = "refused_addresses"
_KEPT_ASIDE = {"email": "refused_email", "phone": "refused_phone"}
#: Identifiers that a shopper can be written to at.
_ADDRESSES = ("email:", "phone:")

_NOTHING: dict[str, Any] = {}
_ZERO = Decimal(0)

#: Traits that come along in the context of any event.
_CONTEXT_TRAITS = ("locale", "timezone", "location")


def absorb(profile: Profile, event: Event) -> Profile:
    """The profile after ``event``. Traits: what came last in order of work stands. An event that
    Winback made teaches nothing of who the shopper is or when they were here."""
    learned: dict[str, Any] = {}
    context, known = event.context, profile.traits
    seen, reported = True, False
    if context:
        # A report of yesterday's bounce must not bring back yesterday's address.
        reported = REPORTER in context
        seen = not ours(context)
        for trait in _CONTEXT_TRAITS:
            if trait in context and trait not in known and (value := context[trait]):
                learned[trait] = value
        told = context.get("traits")
        if isinstance(told, dict):
            for trait, value in told.items():
                # A storefront sends the same traits with every event.
                if value.__class__ is not str or known.get(trait) != value:
                    learned[trait] = value
    if event.kind == "identify":
        learned.update(event.properties)
    refused = _NOTHING
    if context and REFUSED in context:
        refused = context[REFUSED]
        for kind, aside in refused.items():
            learned.pop(kind, None)
            learned[_KEPT_ASIDE[kind]] = aside
    mended: list[str] = []
    for identifier in event.identifiers if seen else ():
        if not identifier.startswith(_ADDRESSES):
            continue
        kind, _, value = identifier.partition(":")
        had = known.get(kind)
        if had != value and not (had and reported):
            learned[kind] = value
        if kind not in refused and not reported and _KEPT_ASIDE[kind] in known:
            mended.append(_KEPT_ASIDE[kind])
    if learned and learned.pop("consent", None) is not None:
        learned.pop("proof", None)

    first, last = profile.first_seen, profile.last_seen
    orders, value_by_currency = profile.orders, profile.lifetime_value
    last_order = profile.last_order_at
    if event.name == ORDER:
        orders += 1
        last_order = event.time if last_order is None else max(last_order, event.time)
        value_by_currency = _add(value_by_currency, event.properties, +1)
    elif event.name == REFUND:
        value_by_currency = _add(value_by_currency, event.properties, -1)

    traits = {**known, **learned} if learned else known
    if mended:  # a good address after all
        traits = {key: value for key, value in traits.items() if key not in mended}
    return Profile(
        profile.id,
        traits,
        orders,
        value_by_currency,
        event.time if seen and (first is None or event.time < first) else first,
        event.time if seen and (last is None or event.time > last) else last,
        last_order,
    )


def money(properties: Mapping[str, Any]) -> tuple[Decimal, str] | None:
    """Amount and ISO currency of an order: ``revenue``, else ``total``, else ``value``
    (Segment's e-commerce spec v2). None where there is no usable number or currency."""
    for key in ("revenue", "total", "value"):
        amount = properties.get(key)
        if amount is None or isinstance(amount, bool):
            continue
        number = amount
        if amount.__class__ is not Decimal:
            try:
                number = Decimal(str(amount))
            except InvalidOperation:
                continue
        currency = properties.get("currency")
        if number.is_finite() and isinstance(currency, str) and len(currency) == 3:
            return number, currency.upper()
    return None


def _add(
    totals: dict[str, Decimal], properties: Mapping[str, Any], sign: int
) -> dict[str, Decimal]:
    spent = money(properties)
    if spent is None:
        return totals
    amount, currency = spent
    before = totals.get(currency, _ZERO)
    if before.__class__ is not Decimal:
        before = Decimal(before)
    return {**totals, currency: before + amount if sign > 0 else before - amount}


def merged_profiles(into: Profile, other: Profile) -> Profile:
    """One profile of two. Where both know a trait, the one seen last knows better."""
    newer, older = (other, into) if _seen(other) > _seen(into) else (into, other)
    value = dict(into.lifetime_value)
    for currency, amount in other.lifetime_value.items():
        value[currency] = Decimal(value.get(currency, Decimal(0))) + Decimal(amount)
    return msgspec.structs.replace(
        into,
        traits={**older.traits, **newer.traits},
        orders=into.orders + other.orders,
        lifetime_value=value,
        first_seen=min(filter(None, (into.first_seen, other.first_seen)), default=None),
        last_seen=max(filter(None, (into.last_seen, other.last_seen)), default=None),
        last_order_at=max(filter(None, (into.last_order_at, other.last_order_at)), default=None),
    )


def _seen(profile: Profile) -> float:
    seen: datetime | None = profile.last_seen
    return seen.timestamp() if seen else 0.0
