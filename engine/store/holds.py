"""Blocks that a shopper put on their own number by STOP, and lifts by START."""

from __future__ import annotations

from datetime import datetime

from engine.store.database import Connection, texts

#: Why such a number is blocked. START lifts no block that was put for another reason.
STOP = "stop"


def stop(connection: Connection, held: list[tuple[str, str]], at: datetime) -> None:
    """Block (address, channel), whoever shares the address. A block that is there already stays
    what it is: a dead number does not live again by a START."""
    connection.execute(
        """
        insert into suppression (address, channel, reason, at)
        select address, channel, %s, %s from unnest(%s::text[], %s::text[]) as t(address, channel)
        on conflict do nothing
        """,
        [STOP, at, texts(a for a, _ in held), texts(c for _, c in held)],
    )


def start(connection: Connection, held: list[tuple[str, str]]) -> None:
    """Lift the blocks on (address, channel) that STOP put, and what Twilio told us of a STOP that
    it heard and we did not (its error 21610)."""
    connection.execute(
        """
        delete from suppression s
         using unnest(%s::text[], %s::text[]) as t(address, channel)
         where s.address = t.address and s.channel = t.channel
           and (s.reason = %s or s.reason like '%%(21610)%%')
        """,
        [texts(a for a, _ in held), texts(c for _, c in held), STOP],
    )
