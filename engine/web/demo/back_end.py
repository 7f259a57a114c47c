"""The demo shop's back end: what it reports of a shopper, it reports through the collector.

As with a real shop, the browser and the back end are two senders that know the shopper by
different names: the snippet by its cookie, the back end by address, user id and cart.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import urllib3

from engine.errors import WinbackError

#: Takes a list of Segment messages. Raises ``NotReported``.
Report = Callable[[list[dict[str, Any]]], None]

_encode = msgspec.json.Encoder(decimal_format="number").encode


class NotReported(WinbackError):
    """The collector did not take the shop's report."""


def http_report(url: str, write_key: str) -> Report:
    """A reporter that posts to the collector at ``url`` over HTTP."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=2, read=5),
        # A message keeps its id, so to send it again is safe (P2).
        retries=urllib3.Retry(3, backoff_factor=0.1, allowed_methods=None),
    )
    headers = urllib3.make_headers(basic_auth=f"{write_key}:")
    headers["Content-Type"] = "application/json"

    def report(messages: list[dict[str, Any]]) -> None:
        try:
            answer = pool.request(
                "POST", f"{url}/v1/batch", body=_encode({"batch": messages}), headers=headers
            )
        except urllib3.exceptions.HTTPError as error:
            raise NotReported(f"The collector at {url} cannot be reached: {error}") from error
        if answer.status != 200:
            raise NotReported(f"The collector at {url} answered {answer.status}.")

    return report


def identified(
    at: datetime,
    *,
    email: str,
    user_id: str = "",
    name: str = "",
    phone: str = "",
    language: str = "",
    consent: dict[str, bool] | None = None,
) -> dict[str, Any]:
    """An Identify as shops send it; ``consent`` only where the shopper was asked."""
    traits: dict[str, Any] = {"email": email}
    if name:
        traits["firstName"] = name
    if phone:
        traits["phone"] = phone
    if language:
        traits["locale"] = language
    if consent is not None:
        traits["consent"] = consent
    message: dict[str, Any] = {
        "type": "identify",
        "messageId": str(uuid.uuid4()),
        "timestamp": at.isoformat(),
        "traits": traits,
        "context": {"library": {"name": "demo-shop", "version": "1"}},
    }
    if user_id:
        message["userId"] = user_id
    return message


def ordered(
    at: datetime,
    *,
    order_id: str,
    email: str,
    total: Decimal,
    currency: str,
    products: list[dict[str, Any]],
    cart_id: str = "",
    user_id: str = "",
) -> dict[str, Any]:
    """An Order Completed of the back end: it knows the address and the cart, not the cookie."""
    properties: dict[str, Any] = {
        "order_id": order_id,
        "email": email,
        "total": total,
        "revenue": total,
        "currency": currency,
        "products": products,
    }
    if cart_id:
        properties["cart_id"] = cart_id
    message: dict[str, Any] = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"order-{order_id}",
        "timestamp": at.isoformat(),
        "properties": properties,
        "context": {"library": {"name": "demo-shop", "version": "1"}},
    }
    if user_id:
        message["userId"] = user_id
    return message
