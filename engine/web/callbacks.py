"""``POST /callbacks/<provider>``: what providers report of our messages.

    204  verified, and its events are in the inbox
    400  verified, but unreadable: sending it again will not help
    401  the signature is missing or wrong, or we were given no key to check it with
    503  the inbox cannot be written now: send it again

Providers repeat their posts; the events' ids make the repeats count once (P2). Twilio by
default repeats only what could not connect, so whatever we answer it must be able to reach us.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, cast

import msgspec
from flask import Blueprint, Response, current_app, request

from engine.core.receipts import REPORTER
from engine.intake.committer import Busy, Committer
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.settings import Settings
from engine.store.inbox import InboxRefused, InboxUnavailable, event_line
from engine.web.errors import problem

if TYPE_CHECKING:
    from engine.web.app import Dependencies

logger = logging.getLogger(__name__)

#: SendGrid posts up to 768 KB at a time, Twilio a few hundred bytes.
LARGEST = 4 * 1024 * 1024


class Receiver(Protocol):
    """Verifies and parses one provider's posts (``engine.channels.open_receiver``)."""

    def verify(
        self, headers: Mapping[str, str], raw_body: bytes, url: str, settings: Settings
    ) -> bool: ...

    def parse(self, raw_body: bytes, url: str, received_at: datetime) -> list[Event]: ...


def create_blueprint(
    deps: Dependencies, receiver_of: Callable[[str], Receiver | None]
) -> Blueprint:
    """The addresses; ``receiver_of`` gives who reads a provider's posts, None for a stranger's."""
    pages = Blueprint("callbacks", __name__)

    @pages.post("/callbacks/<provider>")
    def receive(provider: str) -> Response:
        receiver = receiver_of(provider)
        if receiver is None:
            return problem(404, "not_found", f"There is no provider {provider[:40]}.")
        request.max_content_length = LARGEST  # past it, reading the body answers 413
        raw_body = request.get_data(cache=False, parse_form_data=False)
        # What was signed is the address the provider called, which a proxy may have changed.
        query = request.query_string.decode("latin-1")
        url = f"{deps.settings.public_url}{request.path}{'?' if query else ''}{query}"
        if not receiver.verify(dict(request.headers), raw_body, url, deps.settings):
            logger.warning("callback of %s refused: its signature does not fit", provider)
            return problem(
                401,
                "bad_signature",
                "The signature is missing or wrong. Check the provider's key in Winback's "
                "settings and that WINBACK_PUBLIC_URL is the address the provider calls.",
            )
        try:
            said = receiver.parse(raw_body, url, deps.clock.now())
        except ValueError as error:
            logger.warning("callback of %s cannot be read: %s", provider, type(error).__name__)
            return problem(400, "unreadable", "The body is not what this provider sends.")
        try:
            _accept([msgspec.structs.replace(e, context={REPORTER: provider}) for e in said])
        except (Busy, InboxUnavailable) as error:
            response = problem(503, "unavailable", str(error))
            response.headers["Retry-After"] = "1"
            return response
        except InboxRefused as error:
            logger.warning("callback of %s cannot be kept: %s", provider, error)
            return problem(400, "unreadable", "The body holds text that cannot be kept.")
        return Response(status=204)

    return pages


def _accept(events: Sequence[Event]) -> None:
    """Commit the events to the inbox together with whatever else comes in."""
    if not events:
        return
    committer = cast(Committer, current_app.extensions["winback.committer"])
    lanes = [lane_of(event.sender) for event in events]
    lines = [event_line(event, lane) for event, lane in zip(events, lanes, strict=True)]
    committer.commit(lines, [], set(lanes))
