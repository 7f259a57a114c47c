"""Pools of coupon codes: imported by the shop, each code claimed at most once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.store.database import Connection, ids, texts


class Asked(NamedTuple):
    """A run asks for a code of ``pool``; the same ``claim`` gets the same code."""

    claim: str
    pool: str
    enrollment_id: str


def claim(connection: Connection, asked: Iterable[Asked], now: datetime) -> dict[str, str | None]:
    """By claim the code that it has or now gets; None where the pool has none left.

    The codes go back when the transaction does. Nobody waits for codes that another transaction
    has taken unless they are the last: only when that one is over can it be said that none is left.
    """
    todo = {one.claim: one for one in asked}
    found = known(connection, list(todo))
    todo = {id: one for id, one in todo.items() if id not in found}
    while todo:
        taken = _take(connection, list(todo.values()), now)
        found |= taken
        todo = {id: one for id, one in todo.items() if id not in taken}
        if todo and not _wait_for_others(connection, Counter(one.pool for one in todo.values())):
            found |= known(connection, list(todo))  # those we waited for may have been for us
            todo = {id: one for id, one in todo.items() if id not in found}
            break
    return found | dict.fromkeys(todo)


def known(connection: Connection, claims: Sequence[str]) -> dict[str, str | None]:
    """What earlier transactions answered: by claim its code, None where none was left."""
    rows = connection.execute(
        """
        select claim::text, code from coupon where claim = any(%(claims)s::uuid[])
        union all
        select claim::text, null from coupon_missed where claim = any(%(claims)s::uuid[])
        """,
        {"claims": ids(claims)},
    )
    return {str(id): code for id, code in rows}


def of_runs(connection: Connection, runs: Sequence[str]) -> dict[str, str | None]:
    """What the claims of these runs were answered: by claim the code, or None."""
    rows = connection.execute(
        """
        select claim::text, code from coupon where enrollment_id = any(%(runs)s::uuid[])
        union all
        select claim::text, code from coupon_returned where enrollment_id = any(%(runs)s::uuid[])
        union all
        select claim::text, null from coupon_missed where enrollment_id = any(%(runs)s::uuid[])
        """,
        {"runs": ids(runs)},
    )
    return {str(id): code for id, code in rows}


def _take(connection: Connection, asked: list[Asked], now: datetime) -> dict[str, str | None]:
    needed = Counter(one.pool for one in asked)
    free: dict[str, list[str]] = {}
    for pool, code in connection.execute(
        """
        select n.pool, c.code from unnest(%s::text[], %s::int[]) as n(pool, codes)
         cross join lateral (
            select code, place from coupon where pool = n.pool and claim is null
             order by place limit n.codes for update skip locked) c
         order by c.place desc
        """,
        [texts(needed), list(needed.values())],
    ):
        free.setdefault(pool, []).append(code)
    taken = [(one, codes.pop()) for one in asked if (codes := free.get(one.pool))]
    if taken:
        connection.execute(
            """
            update coupon c set claim = t.claim, enrollment_id = t.run, claimed_at = %s
              from unnest(%s::uuid[], %s::uuid[], %s::text[]) as t(claim, run, code)
             where c.code = t.code
            """,
            [
                now,
                ids(one.claim for one, _ in taken),
                ids(one.enrollment_id for one, _ in taken),
                texts(code for _, code in taken),
            ],
        )
    return {one.claim: code for one, code in taken}


def _wait_for_others(connection: Connection, short: Mapping[str, int]) -> bool:
    """Wait until other transactions are done with the codes that they hold of the pools; False
    if there are none."""
    waited = False
    for pool, codes in sorted(short.items()):
        rows = connection.execute(
            "select 1 from coupon where pool = %s and claim is null limit 1", [pool]
        ).fetchall()
        if rows:
            waited = True
            connection.execute(
                "select 1 from coupon where pool = %s and claim is null"
                " order by place limit %s for update",
                [pool, codes],
            )
    return waited


def dry(connection: Connection, pools: Sequence[str]) -> set[str]:
    """Those of ``pools`` that have no code left."""
    rows = connection.execute(
        "select p from unnest(%s::text[]) p where not exists"
        " (select from coupon c where c.pool = p and c.claim is null)",
        [texts(pools)],
    )
    return {str(pool) for (pool,) in rows}


def give_back(connection: Connection, claims: Iterable[str]) -> None:
    """Undo those of the claims that this transaction made: they came to nothing."""
    connection.execute(
        "update coupon set claim = null, enrollment_id = null, claimed_at = null"
        " where claim = any(%s::uuid[]) and xmin = pg_current_xact_id()::xid",
        [ids(claims)],
    )


def return_of_stopped(
    connection: Connection, profiles: Sequence[int], runs: Sequence[str], now: datetime
) -> None:
    """Put the codes of runs that a stop has ended back into their pools, but for those that
    somebody may have read: in a message that a provider has, may have, or is just being handed.
    What their claims had been answered stays known (see ``of_runs``)."""
    connection.execute(
        """
        with returned as (
            update coupon c set claim = null, enrollment_id = null, claimed_at = null
              from unnest(%(profiles)s::bigint[], %(runs)s::uuid[]) as r(profile_id, id)
              join coupon o on o.enrollment_id = r.id
             where c.code = o.code and c.claim = o.claim and not exists (
                   select from message m
                    where m.profile_id = r.profile_id and m.enrollment_id = r.id
                      and m.offer ->> 'claim' = o.claim::text
                      and (m.status not in ('cancelled', 'skipped', 'failed') or exists (
                           select from delivery d
                            where d.profile_id = m.profile_id and d.message_id = m.id
                              and (d.outcome is null or d.outcome <> 'refused'))))
            returning o.claim, c.pool, c.code, r.id)
        insert into coupon_returned (claim, pool, code, enrollment_id, at)
        select distinct on (claim) claim, pool, code, id, %(now)s::timestamptz from returned
            on conflict do nothing
        """,
        {"profiles": ids(profiles), "runs": ids(runs), "now": now},
    )


def note_missed(connection: Connection, missed: Iterable[Asked], now: datetime) -> None:
    """Remember for which claims none was left."""
    rows = list(missed)
    connection.execute(
        """
        insert into coupon_missed (claim, pool, enrollment_id, at)
        select claim, pool, run, %s from unnest(%s::uuid[], %s::text[], %s::uuid[])
            as t(claim, pool, run)
            on conflict do nothing
        """,
        [
            now,
            ids(one.claim for one in rows),
            texts(one.pool for one in rows),
            ids(one.enrollment_id for one in rows),
        ],
    )


class Added(NamedTuple):
    """``new`` codes; ``elsewhere``: of those that were there already the ones in another pool,
    with its name."""

    new: int
    elsewhere: dict[str, str]


def add(connection: Connection, pool: str, codes: Sequence[str]) -> Added:
    """Put codes into a pool, in this order. A code that is there already stays where it is."""
    new = connection.execute(
        """
        insert into coupon (pool, code)
        select %s, code from unnest(%s::text[]) with ordinality as t(code, place) order by place
            on conflict do nothing
        """,
        [pool, texts(codes)],
    ).rowcount
    if new == len(codes):
        return Added(new, {})
    rows = connection.execute(
        "select code, pool from coupon where code = any(%s::text[]) and pool <> %s",
        [texts(codes), pool],
    )
    return Added(new, {str(code): str(other) for code, other in rows})


class Stock(NamedTuple):
    """A pool: codes ``left``, ``claimed`` since the ``first`` claim and ``recent`` ones of them.
    ``missed`` claims found it empty, the last at ``missed_at``."""

    pool: str
    left: int
    claimed: int
    recent: int
    first: datetime | None
    missed: int
    missed_at: datetime | None


def stock(connection: Connection, since: datetime) -> list[Stock]:
    """Every pool that has or ever was asked for codes, by name; claims after ``since`` are
    ``recent``."""
    rows = connection.execute(
        """
        select pool, coalesce(c.unclaimed, 0), coalesce(c.claimed, 0), coalesce(c.recent, 0),
               c.first, coalesce(m.missed, 0), m.at
          from (select pool, count(*) filter (where claim is null) as unclaimed,
                       count(claim) as claimed,
                       count(*) filter (where claimed_at > %s) as recent,
                       min(claimed_at) as first
                  from coupon group by pool) c
          full join (select pool, count(*) as missed, max(at) as at
                       from coupon_missed group by pool) m using (pool)
         order by pool
        """,
        [since],
    )
    return [Stock(*row) for row in rows]


def left(connection: Connection, pools: Sequence[str]) -> dict[str, int]:
    """How many codes each of ``pools`` has left; pools nobody imported are not in it."""
    rows = connection.execute(
        "select pool, count(*) filter (where claim is null) from coupon"
        " where pool = any(%s::text[]) group by pool",
        [texts(pools)],
    )
    return {str(pool): int(codes) for pool, codes in rows}
