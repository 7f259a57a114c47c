"""What the demo shop remembers of a visitor: a signed cookie, nothing on the server."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import request, session

from engine.web.demo.catalogue import PRODUCTS, Product
from engine.web.demo.words import LANGUAGES

#: More of one thing than this is not added: the demo's cookie stays small.
MOST_OF_ONE = 9


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the cart."""

    product: Product
    quantity: int

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity


def language() -> str:
    """The language chosen, else the one that the browser asks for."""
    chosen = session.get("language")
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"


def lines() -> list[Line]:
    """The cart, in the order it was filled."""
    cart = session.get("cart", {})
    return [Line(PRODUCTS[id], quantity) for id, quantity in cart.items() if id in PRODUCTS]


def total() -> Decimal:
    return sum((line.total for line in lines()), Decimal(0))


def cart_id() -> str:
    """The cart's token: what browser and back end both know of it. "" before anything is in."""
    return str(session.get("cart_id", ""))


def begin() -> None:
    """Give the cart its token. Called by a POST only, so that reading pages sets nothing."""
    if not session.get("cart_id"):
        session["cart_id"] = secrets.token_hex(8)


def change(product: Product, by: int) -> None:
    """Put ``by`` more (or fewer) of a product into the cart."""
    cart = dict(session.get("cart", {}))
    quantity = min(int(cart.get(product.id, 0)) + by, MOST_OF_ONE)
    if quantity > 0:
        cart[product.id] = quantity
    else:
        cart.pop(product.id, None)
    session["cart"] = cart


def empty() -> None:
    """Forget the cart and its token: the next one is another."""
    session.pop("cart", None)
    session.pop("cart_id", None)


def shopper() -> dict[str, str]:
    """Who signed in: ``id``, ``email``, ``name``; empty for a stranger."""
    return dict(session.get("shopper", {}))


def sign_in(email: str, name: str) -> str:
    """Remember the shopper; gives their user id, the same for the same address."""
    digest = hashlib.blake2b(email.encode(), digest_size=5).hexdigest()
    session["shopper"] = {"id": f"shopper-{digest}", "email": email, "name": name}
    return f"shopper-{digest}"


def sign_out() -> None:
    session.pop("shopper", None)
    empty()


def products_for_event(language: str, public_url: str) -> list[dict[str, Any]]:
    """The cart as the ``products`` of a Segment e-commerce event."""
    return [
        {
            "product_id": line.product.id,
            "name": line.product.names[language],
            "price": line.product.price,
            "quantity": line.quantity,
            "category": line.product.category,
            "url": f"{public_url}/shop/products/{line.product.id}",
            "image_url": f"{public_url}/static/products/{line.product.id}.svg",
        }
        for line in lines()
    ]
