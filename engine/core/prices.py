"""What a text message will cost, by the shop's own table of prices."""

from __future__ import annotations

from engine.core.zones import country_of_phone
from engine.model.message import Sms
from engine.model.policy import Policy
from engine.model.texts import Price


def estimate(sms: Sms, policy: Policy) -> Price | None:
    """The price of all segments of ``sms``; None where the shop gives none for the country of the
    number. What the provider bills may differ: operators add fees of their own."""
    prices = policy.sms.prices
    price = prices.get(country_of_phone(sms.to)) or prices.get("*")
    return None if price is None else Price(price.amount * sms.segments, price.currency)
