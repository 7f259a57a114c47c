"""Figures of the lists at ad platforms, and the daily look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from engine.store.database import Connection, ids, texts
from engine.store.listing_feed import BOUGHT

#: Rows that the server-side cursor fetches at a time.
FETCH = 1000


class Figures(NamedTuple):
    """One list, in members. ``wanted`` by a run, whatever consent says; ``listed``: of these and
    those to be let go, the ones that a file or a row speaks for; ``ready`` to be sent;
    ``sent`` and not yet confirmed; ``leaving``: to come off and not confirmed off; ``still``: of
    these and of those not looked at yet, the ones who have bought. The delays are those from the
    accepted order to the confirmed removal, in seconds of the shop's clock, of the last 30 days.
    """

    audience: str
    wanted: int
    listed: int
    ready: int
    sent: int
    confirmed: int
    refused: int
    leaving: int
    removed: int
    still: int
    delay_p50: float | None
    delay_p99: float | None
    delay_max: float | None
    hold: str


def figures(connection: Connection, audiences: Sequence[str], now: datetime) -> list[Figures]:
    rows = connection.execute(
        f"""
        select a.audience, w.wanted, w.listed, l.ready, l.sent, l.confirmed, l.refused, l.leaving,
               l.removed,
               l.still + w.still
                   + (select count(*) from ({BOUGHT}) b where b.audience = a.audience),
               l.p50, l.p99, l.most,
               coalesce((select reason from audience_hold h where h.until > %(now)s
                   and h.subject in (a.audience, split_part(a.audience, '/', 1)) limit 1), '')
          from unnest(%(audiences)s::text[]) as a(audience)
         cross join lateral (
               select count(distinct m.profile_id) filter (where m.wanted) as wanted,
                      count(distinct m.profile_id) filter (where m.listed) as listed,
                      count(distinct m.profile_id) filter (where m.listed and not m.wanted
                          and r.status = 'stopped' and not exists (
                              select from audience_member o
                               where o.profile_id = m.profile_id and o.audience = m.audience
                                 and o.wanted)) as still
                 from audience_member m
                 left join enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id
                where m.audience = a.audience) w
         cross join lateral (
               select count(*) filter (where status = 'ready' and off_at is null) as ready,
                      count(*) filter (where status in ('adding', 'sent') and off_at is null)
                          as sent,
                      count(*) filter (where status = 'confirmed' and off_at is null) as confirmed,
                      count(*) filter (where status = 'refused') as refused,
                      count(*) filter (where off_at is not null and status <> 'removed')
                          as leaving,
                      count(*) filter (where status = 'removed') as removed,
                      count(*) filter (where off_reason = 'stopped' and status <> 'removed')
                          as still,
                      percentile_cont(0.5) within group (order by delay) as p50,
                      percentile_cont(0.99) within group (order by delay) as p99,
                      max(delay) as most
                 from (select *, case when status = 'removed' and off_reason = 'stopped'
                                       and removed_at > %(now)s - interval '30 days'
                              then extract(epoch from removed_at - off_at)::float8 end as delay
                         from audience_listing where audience = a.audience) x) l
         order by a.audience
        """,
        {"audiences": texts(audiences), "now": now},
    )
    return [Figures(*row) for row in rows]


class Standing(NamedTuple):
    """A row that stays on a list, with its shopper as they are now."""

    profile_id: int
    id: int
    digest: bytes
    traits: dict[str, Any]


def standing(connection: Connection, audience: str) -> Iterator[Standing]:
    """Every row that stays, streamed."""
    with connection.cursor(name="standing") as cursor:
        cursor.itersize = FETCH
        cursor.execute(
            """
            select l.profile_id, l.id, l.digest, p.traits
              from audience_listing l join profile p on p.id = l.profile_id
             where l.audience = %s and l.off_at is null
               and l.status in ('ready', 'sent', 'confirmed', 'refused')
            """,
            [audience],
        )
        for row in cursor:
            yield Standing(*row)


def changed(connection: Connection, rows: Sequence[tuple[int, int]], now: datetime) -> None:
    """Mark rows (profile, id) off whose shopper the platform would now be told otherwise."""
    connection.execute(
        """
        update audience_listing l set off_at = %s, off_reason = 'changed', try_at = %s, tries = 0
          from unnest(%s::bigint[], %s::bigint[]) as t(profile_id, id)
         where l.profile_id = t.profile_id and l.id = t.id and l.off_at is null
        """,
        [now, now, ids(p for p, _ in rows), ids(i for _, i in rows)],
    )


def send_again(connection: Connection, audience: str, now: datetime) -> int:
    """Have all who are confirmed sent once more; gives how many."""
    return connection.execute(
        """
        update audience_listing set status = 'ready', maybe = true, try_at = %s, tries = 0
         where audience = %s and status = 'confirmed' and off_at is null
        """,
        [now, audience],
    ).rowcount


class Day(NamedTuple):
    """What one daily look found. ``low`` and ``high``: what the platform said of the size."""

    audience: str
    at: datetime
    confirmed: int
    low: int | None
    high: int | None
    mended: int
    note: str


def days(connection: Connection, audience: str, limit: int = 14) -> list[Day]:
    """The last looks at a list, the latest first."""
    rows = connection.execute(
        """
        select audience, at, confirmed, low, high, mended, note from audience_size
         where audience = %s order by at desc limit %s
        """,
        [audience, limit],
    )
    return [Day(*row) for row in rows]


def note_day(connection: Connection, day: Day) -> None:
    connection.execute(
        """
        insert into audience_size (audience, at, confirmed, low, high, mended, note)
        values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing
        """,
        day,
    )


def confirmed(connection: Connection, audience: str) -> int:
    row = connection.execute(
        """
        select count(*) from audience_listing
         where audience = %s and status = 'confirmed' and off_at is null
        """,
        [audience],
    ).fetchone()
    return int(row[0]) if row else 0


def looked_at_since(connection: Connection, audiences: Sequence[str], since: datetime) -> bool:
    """Whether each of the lists has had its daily look since then."""
    row = connection.execute(
        """
        select bool_and(exists (select from audience_size s where s.audience = a and s.at > %s))
          from unnest(%s::text[]) as a
        """,
        [since, texts(audiences)],
    ).fetchone()
    return row is not None and bool(row[0])


def tidy(connection: Connection, audience: str, before: datetime) -> None:
    """Forget what is long over: removals, requests and daily sizes from before that time."""
    for statement in (
        "delete from audience_listing where audience = %s and status = 'removed' "
        "and removed_at < %s",
        "delete from audience_request where audience = %s and settled_at < %s and not exists "
        "(select from audience_listing l where l.add_request = audience_request.id "
        "and l.status <> 'removed')",
        "delete from audience_size where audience = %s and at < %s",
    ):
        connection.execute(statement, [audience, before])


class Call(NamedTuple):
    """One request to a platform; ``wire_ms``: real time from the gate to the call."""

    action: str
    members: int
    status: str
    claimed_at: datetime
    settled_at: datetime | None
    wire_ms: float | None
    detail: str


def calls(connection: Connection, audience: str, limit: int = 10) -> list[Call]:
    """The last requests of a list, the latest first."""
    rows = connection.execute(
        """
        select action, members, status, claimed_at, settled_at, wire_ms::float8, detail
          from audience_request where audience = %s order by claimed_at desc limit %s
        """,
        [audience, limit],
    )
    return [Call(*row) for row in rows]


def problems(connection: Connection, audience: str) -> dict[str, int]:
    """Why the platform has refused members, counted."""
    rows = connection.execute(
        """
        select problem, count(*) from audience_listing
         where audience = %s and status = 'refused' group by 1 order by 2 desc
        """,
        [audience],
    )
    return {str(problem): int(count) for problem, count in rows}


class OnLists(NamedTuple):
    """What the audit tells of all lists: members confirmed there, those who are to come off, of
    them those who have bought, removals after a purchase, and the delays of these."""

    members: int
    leaving: int
    still: int
    let_go: int
    delay_p50: float | None
    delay_p99: float | None
    wire_ms: float | None


def on_lists(connection: Connection) -> OnLists:
    row = connection.execute(
        f"""
        select (select count(*) from audience_listing
                 where status = 'confirmed' and off_at is null),
               (select count(*) from audience_listing
                 where off_at is not null and status <> 'removed')
               + (select count(*) from audience_member where listed and not wanted),
               (select count(*) from audience_listing
                 where off_reason = 'stopped' and off_at is not null and status <> 'removed')
               + (select count(*) from audience_member m
                    join enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id
                   where m.listed and not m.wanted and r.status = 'stopped')
               + (select count(*) from ({BOUGHT}) b),
               count(delay), percentile_cont(0.5) within group (order by delay),
               percentile_cont(0.99) within group (order by delay),
               (select max(wire_ms)::float8 from audience_request where action = 'add')
          from (select extract(epoch from removed_at - off_at)::float8 as delay
                  from audience_listing
                 where off_reason = 'stopped' and status = 'removed') x
        """
    ).fetchone()
    assert row is not None
    return OnLists(*row)
