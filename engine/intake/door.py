"""The door: a request's body is read, its key checked, its events committed or kept aside."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import cast

import msgspec

from engine.intake import segment, wire
from engine.intake.committer import Busy, Committer
from engine.intake.lanes import lane_of
from engine.intake.segment import Parsed, Refusal
from engine.intake.wire import NotTaken
from engine.model.event import Event, EventKind
from engine.store import inbox
from engine.store.database import Connection
from engine.store.inbox import InboxRefused, InboxUnavailable, event_line, rejected_line

logger = logging.getLogger(__name__)

#: ``rejected.source`` of what is refused here.
SOURCE = "collector"

#: Seconds after which a sender that was turned away for now should come back.
RETRY = 1

_json = msgspec.json.encode


class Door:
    """Takes bodies, commits their events.

    ``key`` is the write key that senders must show (empty: nobody may enter); ``region`` the
    country (ISO 3166) of phone numbers without a country code.
    """

    def __init__(self, committer: Committer, *, key: str, region: str) -> None:
        self.committer = committer
        self._key = key.encode()
        self._region = region

    def knows(self, keys: Iterable[str | None]) -> bool:
        """Whether one of them is the write key. Compared in constant time."""
        return any(
            hmac.compare_digest(self._key, key.encode("utf-8", "replace"))
            for key in keys
            if key and self._key
        )

    def take(self, body: bytes, kind: str, received_at: datetime, keys: Iterable[str]) -> Parsed:
        """Commit the events of a body and keep the refused ones, each with its reason.

        ``kind`` is that of a single-event call, "" for a batch; ``keys`` what came outside of
        the body. Gives what was taken and refused, after the commit. Raises ``NotTaken``.
        """
        known = self.knows(keys)
        try:
            if kind:
                parsed = segment.parse_event(body, cast(EventKind, kind), received_at, self._region)
            else:
                parsed = segment.parse_batch(body, received_at, self._region)
        except NotTaken as error:
            if known or self.knows([wire.write_key(body)]):
                whole = Refusal(0, error.code, error.message, body)
                self._commit([], [whole], received_at)
            raise
        if not known and not self.knows([parsed.write_key]):
            raise NotTaken(
                "unknown_write_key",
                "the write key is missing or wrong: send it as the user of Basic authorization, "
                "or as writeKey in the body",
                status=401,
            )
        try:
            self._commit(parsed.events, parsed.refusals, received_at)
        except InboxRefused:
            return self._one_by_one(parsed, received_at)
        return parsed

    def _commit(self, events: list[Event], refusals: list[Refusal], received_at: datetime) -> None:
        if not events and not refusals:
            return
        lanes = [lane_of(event.sender) for event in events]
        try:
            self.committer.commit(
                [event_line(event, lane) for event, lane in zip(events, lanes, strict=True)],
                [rejected_line(received_at, SOURCE, r.reason, r.body) for r in refusals],
                set(lanes),
            )
        except Busy as error:
            raise NotTaken("busy", str(error), status=429, retry=RETRY) from error
        except InboxUnavailable as error:
            raise NotTaken("unavailable", str(error), status=503, retry=RETRY) from error

    def _one_by_one(self, parsed: Parsed, received_at: datetime) -> Parsed:
        """PostgreSQL will not take one of them for what it holds, which ``segment`` should have
        seen: find it, refuse it, take the others."""
        taken: list[Event] = []
        refusals = list(parsed.refusals)
        refused = {refusal.index for refusal in refusals}
        places = [n for n in range(len(parsed.events) + len(refused)) if n not in refused]
        for place, event in zip(places, parsed.events, strict=True):
            try:
                self._commit([event], [], received_at)
                taken.append(event)
            except InboxRefused as error:
                logger.error("an event passed the checks, yet %s", error)
                refusals.append(Refusal(place, "invalid_event", str(error), _json(event)))
        self._commit([], refusals, received_at)
        refusals.sort(key=lambda refusal: refusal.index)
        return Parsed(taken, refusals, parsed.write_key)


def backlog(connection: Connection) -> int:
    """How many accepted events wait for their drain."""
    return inbox.backlog(connection)
