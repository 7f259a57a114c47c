"""Rendering: personal mails a second, from the templates that are shipped."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from engine.bench.report import Figure, middle
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.model.links import LinkRules
from engine.model.message import Message
from engine.model.policy import Policy, Shop, Topic
from engine.rendering import Renderer

#: The project's own, which is where the bench is run from a checkout.
TEMPLATES = Path(__file__).parents[2] / "templates"
_AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
_URL = "https://shop.example"
_EACH = 2_000


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """One product and a full cart, links counted, in English and Urdu. Nothing is handed out
    twice: each mail has its own name, prices and links."""
    if not TEMPLATES.is_dir():
        return []
    policy = Policy(
        shop=replace(Shop(), url=_URL, name="Bench"),
        topics={"offers": Topic("offers")},
        links=LinkRules(track=True, utm={"source": "bench", "campaign": "{journey}"}),
    )
    renderer = Renderer(TEMPLATES, policy, public_url=_URL, secret="s" * 32)
    count = _EACH if sizes.rounds > 1 else _EACH // 10
    found = []
    for what, template, products in (
        ("render, one product", "product-left-behind", 1),
        ("render, a cart of five", "cart-left-behind", 5),
    ):
        rates = []
        for turn in range(sizes.rounds):
            tell(f"{what}, round {turn + 1}")
            rates.append(_rate(renderer, template, products, count))
        found.append(Figure(what, middle(rates), "mails/s", at_least=5_000))
    return found


def _rate(renderer: Renderer, template: str, products: int, count: int) -> float:
    """Mails in a second of one processor."""
    for n in range(10):
        _render(renderer, template, products, n)
    # Of the processor, which a worker has to itself: it waits for nothing here, and other work on
    # the machine must not count.
    began = time.thread_time()
    for n in range(count):
        _render(renderer, template, products, n)
    return count / (time.thread_time() - began)


def _render(renderer: Renderer, template: str, products: int, n: int) -> None:
    message = Message(
        id=str(UUID(int=n)),
        enrollment_id="e",
        profile_id=n,
        journey="bench",
        version="v",
        step="steps/1",
        channel="email",
        template=template,
        topic="offers",
        event_id="x",
        created_at=_AT,
        due_at=_AT,
    )
    shown = [_product(n, each) for each in range(products)]
    event: dict[str, Any] = {**shown[0], "products": shown, "cart_url": f"{_URL}/cart/{n}"}
    traits = {
        "email": f"shopper{n}@example.com",
        "first_name": f"Asha {n}",
        "locale": "ur" if n % 4 == 0 else "en",
    }
    renderer.render(message, traits, event)


def _product(n: int, each: int) -> dict[str, Any]:
    return {
        "product_id": f"p{n}-{each}",
        "name": f"Lamp {n}-{each}",
        "price": f"{19 + each}.90",
        "currency": "USD",
        "quantity": 1 + each,
        "url": f"{_URL}/lamp/{n}-{each}",
        "image_url": f"{_URL}/lamp/{n}-{each}.jpg",
    }
