"""``POST /callbacks/<provider>``: what providers report of our messages.

    204  verified, and its events are in the inbox
    400  verified, but unreadable: sending it again will not help
    401  the signature is missing, wrong or too old, or we were given no key to check it with
    413  larger than any provider's post
    503  the inbox cannot be written now: send it again

Providers repeat their posts; the events' ids make the repeats count once (P2). A post that was
signed longer ago than a provider repeats (``WINBACK_WEBHOOK_WINDOW``) is somebody else's copy of
it. Twilio signs no time, and by default repeats only what could not connect, so whatever we
answer it must be able to reach us. What is verified and about no shopper (a notice to the
account) is kept aside in ``rejected``.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, cast

import msgspec
from flask import Blueprint, Response, current_app, request

from engine.core.keywords import read
from engine.core.receipts import REPORTER
from engine.intake.committer import Busy, Committer
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.settings import Settings
from engine.store.inbox import InboxRefused, InboxUnavailable, event_line, rejected_line
from engine.web.errors import problem

if TYPE_CHECKING:
    from engine.web.app import Dependencies

logger = logging.getLogger(__name__)

#: SendGrid posts up to 768 KB at a time, Twilio a few hundred bytes.
LARGEST = 4 * 1024 * 1024
#: Seconds by which the clock of a provider may be ahead of ours.
AHEAD = 600
_GZIP = b"\x1f\x8b"


class Receiver(Protocol):
    """Verifies and parses one provider's posts (``engine.channels.open_receiver``)."""

    def verify(
        self, headers: Mapping[str, str], raw_body: bytes, url: str, settings: Settings
    ) -> bool: ...

    def parse(self, raw_body: bytes, url: str, received_at: datetime) -> list[Event]: ...

    def signed_at(self, headers: Mapping[str, str]) -> int | None: ...


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
        headers = dict(request.headers)
        body = _inflated(raw_body)
        if body is None:
            return problem(413, "too_large", "The body is larger than any that we expect.")
        # Whether it was signed before it was packed or after, no provider says.
        if not any(
            receiver.verify(headers, signed, url, deps.settings)
            for signed in dict.fromkeys((raw_body, body))
        ):
            logger.warning("callback of %s refused: its signature does not fit", provider)
            return problem(
                401,
                "bad_signature",
                "The signature is missing or wrong. Check the provider's key in Winback's "
                "settings and that WINBACK_PUBLIC_URL is the address the provider calls.",
            )
        if _is_stale(receiver.signed_at(headers), deps.settings.webhook_window):
            logger.warning("callback of %s refused: it was signed too long ago", provider)
            return problem(
                401,
                "stale_signature",
                "It was signed at another time than now: a copy, or a clock is wrong. "
                "WINBACK_WEBHOOK_WINDOW says how old a post may be.",
            )
        try:
            said = receiver.parse(body, url, deps.clock.now())
        except ValueError as error:
            logger.warning("callback of %s cannot be read: %s", provider, type(error).__name__)
            return problem(400, "unreadable", "The body is not what this provider sends.")
        readings = [read(event, deps.policy.keywords) for event in said]
        said = [reading.event for reading in readings]
        try:
            _accept(provider, said)
        except (Busy, InboxUnavailable) as error:
            response = problem(503, "unavailable", str(error))
            response.headers["Retry-After"] = "1"
            return response
        except InboxRefused as error:
            logger.warning("callback of %s cannot be kept: %s", provider, error)
            return problem(400, "unreadable", "The body holds text that cannot be kept.")
        words = next((reading.answer for reading in readings if reading.answer), "")
        answer = getattr(receiver, "answer", None)  # not every provider carries one back
        if words and answer is not None:
            text, kind = answer(words)
            return Response(text, mimetype=kind)
        return Response(status=204)

    return pages


def _accept(provider: str, said: Sequence[Event]) -> None:
    """Commit the events to the inbox together with whatever else comes in."""
    events = [
        msgspec.structs.replace(event, context={REPORTER: provider})
        for event in said
        if event.identifiers
    ]
    aside = [
        rejected_line(
            event.received_at,
            f"callback:{provider}",
            f"about no shopper: {event.name}",
            msgspec.json.encode(event.properties),
        )
        for event in said
        if not event.identifiers
    ]
    if not (events or aside):
        return
    committer = cast(Committer, current_app.extensions["winback.committer"])
    lanes = [lane_of(event.sender) for event in events]
    lines = [event_line(event, lane) for event, lane in zip(events, lanes, strict=True)]
    committer.commit(lines, aside, set(lanes))


def _inflated(body: bytes) -> bytes | None:
    """The body, unpacked where it is gzip; None where that is past all measure. What only looks
    like gzip is left as it is: its signature will tell."""
    if body[:2] != _GZIP:
        return body
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = unpacker.decompress(body, LARGEST)
    except zlib.error:
        return body
    return None if unpacker.unconsumed_tail else found


def _is_stale(signed_at: int | None, window: int) -> bool:
    """Whether a post was signed outside of the last ``window`` seconds (0: any time will do).
    By the machine's own clock: the provider knows no other."""
    if signed_at is None or not window:
        return False
    return not -AHEAD <= time.time() - signed_at <= window
