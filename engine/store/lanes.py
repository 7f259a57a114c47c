"""Taking events out of the inbox, one worker a lane."""

from __future__ import annotations

from typing import LiteralString, NamedTuple

from engine.store.database import Connection, ids


class Taken(NamedTuple):
    """One inbox row: its place in line, the event as JSON and the transaction that accepted it."""

    seq: int
    body: str
    accept_xid: str


def lock(connection: Connection, lane: int) -> bool:
    """Take the lane for this transaction; False when another worker has it."""
    found = connection.execute(
        "select 1 from lane where id = %s for update skip locked", [lane]
    ).fetchone()
    return found is not None


def lock_some(connection: Connection, first: int, many: int) -> list[int]:
    """Take up to ``many`` lanes that have work and that no other worker has, ``first`` and those
    after it before others."""
    rows = connection.execute(
        """
        select id from lane
         where exists (select 1 from inbox where inbox.lane = lane.id)
         order by id < %s, id limit %s for update skip locked
        """,
        [first, many],
    ).fetchall()
    return [int(row[0]) for row in rows]


def with_free_work(connection: Connection) -> list[int]:
    """Lanes that have events waiting and that no worker has. Nothing may have been written on
    this connection: the transaction is rolled back, which lets go of them again at no cost."""
    found = lock_some(connection, 0, 1_000)
    connection.rollback()
    return found


def take(connection: Connection, lanes: list[int], limit: int) -> list[Taken]:
    """Remove up to ``limit`` rows of ``lanes``, of each as many, in order of arrival and give
    them.

    Taking is deleting, in the transaction that writes the consequences: a cursor over ``seq``
    would skip rows that commit out of order.
    """
    rows = connection.execute(
        """
        delete from inbox where ctid = any(array(
            select found.ctid from unnest(%s::smallint[]) as l(lane)
             cross join lateral (select b.ctid from inbox b where b.lane = l.lane
                                  order by b.seq limit %s) found))
        returning seq, body, accept_xid::text
        """,
        [ids(lanes), max(1, limit // len(lanes))],
    ).fetchall()
    return sorted(Taken(*row) for row in rows)


def with_work(connection: Connection) -> list[int]:
    """Lanes that have events waiting. One index probe a lane, however long the backlog."""
    rows = connection.execute(
        "select id from lane where exists (select 1 from inbox where inbox.lane = lane.id)"
    ).fetchall()
    return [int(row[0]) for row in rows]


#: The fence: those of ``%(profiles)s`` that something in the inbox reaches, by any identifier.
#:
#: What waits there may be the purchase (P3), the withdrawn consent (P5) or the click that a
#: timer is about to miss. An identify that would tie the shopper to another account names one
#: of the shopper's identifiers too, so it holds them as well. The sender is the first identifier.
#: It costs a few index probes an identifier, however much waits.
FENCE: LiteralString = """
    select i.profile_id from identity i
     where i.profile_id = any(%(profiles)s::bigint[])
       and exists (
            select 1 from inbox b where b.sender = i.identifier
            union all select 1 from inbox b where b.identifiers[2] = i.identifier
            union all select 1 from inbox b where b.identifiers[3] = i.identifier
            union all select 1 from inbox b where b.identifiers[4] = i.identifier
            union all select 1 from inbox b where cardinality(b.identifiers) > 4
                                              and i.identifier = any(b.identifiers[5:]))
"""


def touched(connection: Connection, profiles: list[int]) -> set[int]:
    """Those of ``profiles`` that the fence holds."""
    rows = connection.execute(FENCE, {"profiles": ids(profiles)}).fetchall()
    return {int(row[0]) for row in rows}


def reject(
    connection: Connection, source: str, refused: list[tuple[str, str]], received_at: object
) -> None:
    """Keep (body, reason) pairs aside, where they can be seen and retried."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into rejected (received_at, source, reason, body) values (%s, %s, %s, %s)",
            [(received_at, source, reason, body) for body, reason in refused],
        )


def count(connection: Connection, writer: str, facts: dict[str, int]) -> None:
    """Add to the audit's counters of ``writer``."""
    connection.execute(
        """
        insert into ledger (writer, fact, n)
        select %s, fact, n from unnest(%s::text[], %s::bigint[]) as t(fact, n)
        on conflict (writer, fact) do update set n = ledger.n + excluded.n
        """,
        [writer, list(facts), list(facts.values())],
    )
