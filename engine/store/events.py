"""Events that have been worked: the history."""

from __future__ import annotations

from datetime import datetime

from engine.model.event import Event
from engine.store.database import Connection, texts, to_json


def known(connection: Connection, ids: list[str]) -> set[str]:
    """Which of the message ids have been counted already (P2)."""
    rows = connection.execute("select id from event where id = any(%s::text[])", [texts(ids)])
    return {str(row[0]) for row in rows}


def insert(
    connection: Connection, events: list[tuple[int, Event, str]], processed_at: datetime
) -> None:
    """Write (profile, event, accepting transaction). Raises ``UniqueViolation`` when another
    worker counted one of them in the meantime: the caller starts again and finds it known."""
    with (
        connection.cursor() as cursor,
        cursor.copy(
            """
            copy event (profile_id, id, kind, name, time, received_at, processed_at, properties,
                context, accept_xid, identifiers) from stdin
            """
        ) as copy,
    ):
        for profile, event, accept_xid in events:
            copy.write_row(
                (
                    profile,
                    event.id,
                    event.kind,
                    event.name,
                    event.time,
                    event.received_at,
                    processed_at,
                    to_json(event.properties),
                    to_json(event.context),
                    accept_xid,
                    texts(event.identifiers),
                )
            )
