"""What a text message costs, in words."""

from __future__ import annotations

from engine.core.prices import estimate
from engine.model.message import Rendered, Sms
from engine.model.policy import Policy
from engine.model.texts import Price


def price_of(rendered: Rendered | None, policy: Policy) -> Price | None:
    """The estimate for a text message; None for all else, and where the shop gives no price."""
    return estimate(rendered, policy) if isinstance(rendered, Sms) else None


def size_of(sms: Sms, policy: Policy) -> str:
    """Segments, alphabet and price: "2 parts, UCS-2, about 0.09 USD"."""
    count = f"{sms.segments} part{'' if sms.segments == 1 else 's'}, {sms.encoding}"
    price = price_of(sms, policy)
    if price is None:
        return f"{count}, price unknown" if policy.sms.prices else count
    return f"{count}, about {price.amount.normalize():f} {price.currency}"


def price_document(price: Price | None) -> dict[str, str] | None:
    """``price`` for a program: the amount as a text, for it is money."""
    if price is None:
        return None
    return {"amount": f"{price.amount.normalize():f}", "currency": price.currency}
