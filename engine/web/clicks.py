"""Links in messages: ``/c/<token>``, ``/s/<code>`` and ``/w/<code>`` lead on, and count the click.

The reader is sent on whatever becomes of the count, and only to where a message of ours leads:
a link that we did not make leads nowhere. HEAD counts nothing, for no person asks for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, cast
from uuid import uuid4

from flask import Blueprint, Response, current_app, make_response, redirect, request

from engine.core.receipts import REPORTER
from engine.errors import WinbackError
from engine.intake.committer import Busy, Committer
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.store import preferences, receipts
from engine.store.database import Unavailable
from engine.store.inbox import event_line

if TYPE_CHECKING:
    from engine.web.app import Dependencies

logger = logging.getLogger(__name__)

_LONGEST_AGENT = 300


class Click(Protocol):
    """Whose click it is (``engine.rendering.clicks.Click``)."""

    @property
    def profile_id(self) -> int: ...
    @property
    def message_id(self) -> str: ...


class Links(Protocol):
    """Reads the links of mails (``engine.rendering.clicks.ClickLinks``)."""

    def read(self, token: str, url: str) -> Click | None: ...


def create_blueprint(deps: Dependencies, links: Links) -> Blueprint:
    """The addresses. ``links`` must be made with the secret that signed those in the mails."""
    pages = Blueprint("clicks", __name__)

    @pages.get("/c/<token>")
    def mail(token: str) -> Response:
        url = request.args.get("u", "")
        click = links.read(token, url)
        if click is None:
            return _unknown(deps.policy.shop.url)
        _count(deps, "Email Clicked", click.profile_id, click.message_id, url)
        return _on_to(url)

    @pages.get("/w/<code>", defaults={"name": "WhatsApp Clicked"})
    @pages.get("/s/<code>", defaults={"name": "SMS Clicked"})
    def text(code: str, name: str) -> Response:
        with deps.database.connection() as connection:
            found = receipts.target(connection, code)
        if found is None:
            return _unknown(deps.policy.shop.url)
        _count(deps, name, found.profile_id, found.message_id, found.url)
        return _on_to(found.url)

    return pages


def _on_to(url: str) -> Response:
    response = cast(Response, redirect(url, 302))
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def _unknown(shop: str) -> Response:
    """A link that somebody cut short or made up. The shop's own address is no open redirect."""
    words = f"This link does not work any more. The shop is at {shop}\n"
    return make_response(words, 404, {"Content-Type": "text/plain; charset=utf-8"})


def _count(deps: Dependencies, name: str, profile_id: int, message_id: str, url: str) -> None:
    """Put the click into the inbox. Where that cannot be, the reader goes on all the same."""
    if request.method == "HEAD":
        return
    try:
        with deps.database.connection() as connection:
            reader = preferences.reader(connection, profile_id)
        if reader is None or not reader.identifiers:
            return
        now = deps.clock.now()
        event = Event(
            id=f"click:{uuid4()}",
            kind="track",
            name=name,
            time=now,
            received_at=now,
            identifiers=(reader.identifiers[0],),
            properties={
                "message_id": message_id,
                "url": url,
                "user_agent": request.headers.get("User-Agent", "")[:_LONGEST_AGENT],
                "provider": "winback",
            },
            context={REPORTER: "winback"},
        )
        lane = lane_of(event.sender)
        committer = cast(Committer, current_app.extensions["winback.committer"])
        committer.commit([event_line(event, lane)], [], {lane})
    except (Busy, WinbackError, Unavailable) as error:
        logger.warning("a click was not counted: %s", type(error).__name__)
