"""The inbox: events that are accepted and not yet worked. Written with COPY, many at a time.

An accepted event is one line in PostgreSQL's COPY text format, made in the request's own
thread, so that the transaction that many requests share only passes bytes on. ``accept_xid`` is
left to its default: the id of the transaction that makes the event accepted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
import psycopg

from engine.errors import WinbackError
from engine.model.event import Event
from engine.store import copying
from engine.store.database import Connection

logger = logging.getLogger(__name__)

#: What is kept of a refused body, in bytes: all of the largest event that may be taken after all.
KEPT = 256 * 1024

_EVENTS = (
    "copy inbox (lane, sender, links, name, identifiers, id, time, received_at, body) from stdin"
)
_REJECTED = "copy rejected (received_at, source, reason, body) from stdin"
_COUNT = """
    insert into ledger (writer, fact, n) values ('{}', 'accepted', {})
    on conflict (writer, fact) do update set n = ledger.n + excluded.n
"""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class InboxUnavailable(WinbackError):
    """PostgreSQL cannot write now; nothing was accepted. Send it again."""


class InboxRefused(WinbackError):
    """PostgreSQL would not take these rows, and never will."""


def event_line(event: Event, lane: int) -> bytes:
    """One accepted event as a COPY line for ``inbox``."""
    names = event.identifiers
    body = _encode(event).decode()
    return (
        f"{lane}\t{_text(names[0])}\t{'t' if len(names) > 1 else 'f'}\t{_text(event.name)}\t"
        f"{_array(names)}\t{_text(event.id)}\t{_time(event.time)}\t{_time(event.received_at)}\t"
        f"{_text(body)}\n"
    ).encode()


def rejected_line(received_at: datetime, source: str, reason: str, body: bytes) -> bytes:
    """One refused body as a COPY line for ``rejected``: its first 256 KB, what is not UTF-8 or
    NUL replaced by U+FFFD."""
    text = body[:KEPT].decode("utf-8", "replace")
    if len(body) > KEPT:
        text += f"… ({len(body)} bytes)"
    reason = reason.encode("utf-8", "replace").decode()
    fields = (_time(received_at), source, reason, text)
    return ("\t".join(_text(field.replace("\0", "\ufffd")) for field in fields) + "\n").encode()


def write(connection: Connection, events: Sequence[bytes], *, writer: str) -> None:
    """Put lines into the inbox and count them in the ledger under ``writer``, within the
    caller's transaction. Its commit accepts them, and nothing before it."""
    with connection.cursor() as cursor:
        with cursor.copy(_EVENTS) as copy:
            copy.write(b"".join(events))
        cursor.execute(_count(writer, len(events)))


class InboxWriter:
    """Writes and commits on a connection of its own, which it opens again when it breaks.

    For one thread. ``writer`` is its name in the ledger ("web:<uuid>").
    """

    def __init__(self, url: str, writer: str) -> None:
        self._url = url
        self._writer = writer
        self._connection: Connection | None = None

    def write(self, events: Sequence[bytes], rejected: Sequence[bytes]) -> None:
        """Commit the lines in one transaction.

        A broken connection is replaced and the lines written once more. Where it broke during
        the commit that can write them twice; the drain counts a ``messageId`` once (P2).
        Raises ``InboxUnavailable`` when the second attempt fails too (unreachable, disk full,
        read-only, not migrated), ``InboxRefused`` when PostgreSQL does not take the rows for
        what they hold.
        """
        try:
            self._attempt(events, rejected)
        except psycopg.Error:
            try:
                self._attempt(events, rejected)
            except psycopg.Error as error:
                logger.warning("inbox: nothing can be accepted: %s", _first_line(error))
                raise InboxUnavailable from error

    def close(self) -> None:
        """Give the connection back. A later ``write`` opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, events: Sequence[bytes], rejected: Sequence[bytes]) -> None:
        work = [(_EVENTS, events), (_REJECTED, rejected)]
        statements = [command for command, lines in work if lines]
        if events:
            statements.insert(0, _count(self._writer, len(events)))
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    application_name=self._writer,
                    connect_timeout=3,
                    tcp_user_timeout=10_000,
                )
            copying.run(
                self._connection,
                ";".join(statements).encode(),
                [b"".join(lines) for _, lines in work if lines],
            )
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise InboxRefused(f"PostgreSQL does not take it: {_first_line(error)}") from error
        except psycopg.Error:
            self.close()
            raise


def backlog(connection: Connection) -> int:
    """How many accepted events wait for their drain."""
    row = connection.execute("select count(*) from inbox").fetchone()
    return int(row[0]) if row else 0


def _count(writer: str, n: int) -> str:
    return _COUNT.format(writer.replace("'", "''"), n)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _text(value: str) -> str:
    """Escape one field (PostgreSQL, COPY, "Text Format")."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\n" in value or "\t" in value or "\r" in value:
        value = value.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return value


def _array(values: tuple[str, ...]) -> str:
    quoted = '","'.join([v.replace("\\", "\\\\").replace('"', '\\"') for v in values])
    return _text('{"' + quoted + '"}')


@lru_cache(maxsize=64)
def _time(value: datetime) -> str:
    return value.isoformat()
