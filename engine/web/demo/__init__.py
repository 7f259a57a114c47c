"""The demo: a shop with the snippet on it, the mailbox and the live page.

Here only when ``WINBACK_DEMO=1``: these pages ask for no login, the mailbox shows whatever was
sent, and the shop lets anyone say who they are.
"""

from __future__ import annotations

from importlib import import_module

from flask import Flask

from engine.settings import Settings
from engine.web.demo import back_end

#: Modules with a ``blueprint``.
PAGES = ("engine.web.demo.shop", "engine.web.mailbox", "engine.web.live")


def install(app: Flask, settings: Settings, *, report: back_end.Report | None = None) -> None:
    """Put the demo's pages into ``app``.

    ``report`` is how the shop's back end speaks to the collector; None: over HTTP, to this
    very server.
    """
    app.secret_key = settings.secret
    # A name of its own, so that a shop on the same host keeps its cookie.
    app.config.update(SESSION_COOKIE_NAME="winback_demo_shop", SESSION_COOKIE_SAMESITE="Lax")
    address = f"http://127.0.0.1:{settings.port}"
    back_end.use(app, report or back_end.http_report(address, settings.write_key))
    app.add_template_filter(lasts)
    for name in PAGES:
        app.register_blueprint(import_module(name).blueprint)


def lasts(seconds: float) -> str:
    """A length of time as one says it: ``600`` is "10 minutes", ``7200`` "2 hours"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return _count(seconds / length, unit)
    return _count(seconds, "second")


def _count(number: float, unit: str) -> str:
    text = f"{number:.1f}".removesuffix(".0")
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
