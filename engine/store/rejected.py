"""Events set aside: refused at the door, or failed in the drain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from engine.store.database import Connection, ids, texts

#: A reason without what differs from row to row, and may be somebody's: what it quotes, numbers.
_KIND: LiteralString = """regexp_replace(regexp_replace(regexp_replace(reason,
    '''[^'']*''|"[^"]*"', '…', 'g'), '[^[:space:]]+@[^[:space:]]+', '…', 'g'),
    '[0-9]+', '#', 'g')"""


class Group(NamedTuple):
    """``n`` events of one ``source`` ("collector": refused at the door; "drain": failed there) set
    aside for one ``reason``; ``first_id`` is the oldest of them."""

    source: str
    reason: str
    n: int
    oldest: datetime
    newest: datetime
    first_id: int


class Unusable(NamedTuple):
    """``profiles`` shoppers who gave something as their address of a ``kind`` (email, phone) that
    is none, for one ``reason``."""

    kind: str
    reason: str
    profiles: int


class Kept(NamedTuple):
    """One event set aside: its ``body`` as it came (door) or as it was accepted (drain)."""

    id: int
    received_at: datetime
    source: str
    reason: str
    body: str


def groups(connection: Connection) -> list[Group]:
    """All that is set aside, by source and kind of reason, the most first."""
    rows = connection.execute(
        f"""
        select source, {_KIND} as kind, count(*), min(received_at), max(received_at), min(id)
          from rejected group by 1, 2 order by 3 desc, 1, 2
        """
    )
    return [Group(*row) for row in rows]


def addresses(connection: Connection) -> list[Unusable]:
    """The addresses that could not be taken, by kind and reason, the most first. Their events
    counted."""
    rows = connection.execute(
        f"""
        select kind, {_KIND} as why, count(*)
          from (select kind, traits #>> array['refused_' || kind, 'because'] as reason
                  from profile, unnest(array['email', 'phone']) as kind
                 where traits ?| array['refused_email', 'refused_phone']) as told
         where reason is not null
         group by 1, 2 order by 3 desc, 1, 2
        """
    )
    return [Unusable(*row) for row in rows]


def find(
    connection: Connection, *, only: Sequence[int] | None = None, reason: str | None = None
) -> list[int]:
    """The ids of what is set aside, oldest first: of ``only`` these, and with ``reason`` in its
    reason, as it stands or as ``groups`` shows it."""
    rows = connection.execute(
        f"""
        select id from rejected
         where (%(only)s::bigint[] is null or id = any(%(only)s::bigint[]))
           and (%(reason)s::text is null or position(%(reason)s in reason) > 0
                or position(%(reason)s in {_KIND}) > 0)
         order by id
        """,
        {"only": None if only is None else ids(only), "reason": reason},
    )
    return [int(row[0]) for row in rows]


def lock(connection: Connection, chosen: Sequence[int]) -> list[Kept]:
    """Those of ``chosen`` that are still there and that nobody else has in hand, locked."""
    rows = connection.execute(
        """
        select id, received_at, source, reason, body from rejected
         where id = any(%s::bigint[]) order by id for update skip locked
        """,
        [ids(chosen)],
    )
    return [Kept(*row) for row in rows]


def one(connection: Connection, id: int) -> Kept | None:
    row = connection.execute(
        "select id, received_at, source, reason, body from rejected where id = %s", [id]
    ).fetchone()
    return None if row is None else Kept(*row)


def remove(connection: Connection, chosen: Sequence[int]) -> int:
    """Take them off the table; gives how many that were."""
    return connection.execute(
        "delete from rejected where id = any(%s::bigint[])", [ids(chosen)]
    ).rowcount


def say_why(connection: Connection, reasons: Sequence[tuple[int, str]]) -> None:
    """Keep the reason that is true today, by id."""
    parameters: list[Any] = [ids(id for id, _ in reasons), texts(why for _, why in reasons)]
    connection.execute(
        """
        update rejected r set reason = t.reason
          from unnest(%s::bigint[], %s::text[]) as t(id, reason)
         where r.id = t.id and r.reason <> t.reason
        """,
        parameters,
    )
