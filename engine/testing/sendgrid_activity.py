"""SendGrid's Email Activity API as far as a sender uses it: ``GET /v3/messages``."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

_PART = re.compile(
    r"""\(?\s*(?:unique_args\['([^']+)'\]|(to_email|msg_id))\s*=\s*"([^"]*)"\s*\)?"""
)
#: Requests that it takes in a minute.
PER_MINUTE = 6


class Listed(NamedTuple):
    """A mail as the list has it; ``arguments`` are its custom arguments."""

    msg_id: str
    to_email: str
    from_email: str
    subject: str
    at: float
    arguments: Mapping[str, str]


class Activity:
    """The list of an account's mails.

    ``on``         the account has the add-on; without it nothing is shown.
    ``delay``      seconds until a mail is listed.
    ``blind``      the key lacks the right: it gets an empty list.
    ``per_minute`` requests that are taken in any minute of real time; 0 for any number.
    """

    def __init__(
        self, *, on: bool = False, delay: float = 60.0, per_minute: int = PER_MINUTE
    ) -> None:
        self.on, self.delay, self.per_minute = on, delay, per_minute
        self.blind = False
        self._mails: list[Listed] = []
        self._statuses: dict[tuple[str, str], str] = {}
        self._asked: deque[float] = deque()
        self._lock = threading.Lock()

    def add(self, mail: Listed) -> None:
        if self.on:
            with self._lock:
                self._mails.append(mail)

    def report(self, reference: str, to: str, event: str) -> None:
        """What became of a mail, by the words of the event webhook."""
        if event == "delivered":
            self._statuses[reference, to] = "delivered"
        elif event in ("bounce", "dropped"):
            self._statuses[reference, to] = "not_delivered"

    def too_many(self, now: float) -> bool:
        """``now`` in seconds of real time."""
        while self._asked and self._asked[0] <= now - 60:
            self._asked.popleft()
        if self.per_minute and len(self._asked) >= self.per_minute:
            return True
        self._asked.append(now)
        return False

    def find(self, path: str, now: float) -> list[dict[str, Any]] | None:
        """The mails that the request at ``path`` asks for, newest first; None where its query or
        limit is none. ``now`` by the simulator's clock."""
        asked = parse_qs(urlsplit(path).query)
        try:
            limit = int(asked.get("limit", ["10"])[0])
        except ValueError:
            return None
        query = asked.get("query", [""])[0]
        parts = [_PART.fullmatch(part.strip()) for part in query.split(" OR ")] if query else []
        if not 0 < limit <= 1000 or not all(parts):
            return None
        wanted = {part.groups() for part in parts if part is not None}
        with self._lock:
            found = [
                mail
                for mail in reversed(self._mails)
                if mail.at + self.delay <= now and (not wanted or _is_one_of(mail, wanted))
            ]
        return [] if self.blind else [self._row(mail) for mail in found[:limit]]

    def _row(self, mail: Listed) -> dict[str, Any]:
        return {
            "from_email": mail.from_email,
            "msg_id": mail.msg_id,
            "subject": mail.subject,
            "to_email": mail.to_email,
            "status": self._statuses.get((mail.msg_id, mail.to_email), "processed"),
            "opens_count": 0,
            "clicks_count": 0,
            "last_event_time": datetime.fromtimestamp(mail.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def _is_one_of(mail: Listed, wanted: set[tuple[str | Any, ...]]) -> bool:
    known: set[tuple[str | Any, ...]] = {(n, None, value) for n, value in mail.arguments.items()}
    known |= {(None, "to_email", mail.to_email), (None, "msg_id", mail.msg_id)}
    return not known.isdisjoint(wanted)
