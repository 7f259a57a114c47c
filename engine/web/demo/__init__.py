"""The demo: a shop with the snippet on it, the mailbox and the live page.

Here only when ``WINBACK_DEMO=1``: these pages ask for no login, the mailbox shows whatever was
sent, and the shop lets anyone say who they are.
"""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.wrappers import Response

from engine.web import live, mailbox
from engine.web.demo import shop
from engine.web.demo.parts import Parts, use


def pages(parts: Parts, *, secret: str) -> tuple[Blueprint, ...]:
    """The blueprints, for ``Dependencies.pages``. ``secret`` signs the shop's cookie."""
    front = Blueprint("demo", __name__)

    def prepare(state: BlueprintSetupState) -> None:
        state.app.secret_key = secret
        state.app.config.update(
            # A name of its own, so that a shop on the same host keeps its cookie.
            SESSION_COOKIE_NAME="winback_demo_shop",
            SESSION_COOKIE_SAMESITE="Lax",
        )
        state.app.add_template_filter(lasts)
        use(state.app, parts)

    front.record(prepare)

    @front.get("/")
    def root() -> Response:
        return redirect(url_for("shop.front"))

    return (front, shop.blueprint, mailbox.blueprint, live.blueprint)


def lasts(seconds: float) -> str:
    """A length of time as one says it: ``600`` is "10 minutes", ``7200`` "2 hours"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return _count(seconds / length, unit)
    return _count(seconds, "second")


def _count(number: float, unit: str) -> str:
    text = f"{number:.1f}".removesuffix(".0")
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
