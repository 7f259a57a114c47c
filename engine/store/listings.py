"""Who is put on the lists of ad platforms and let go again: the steps before each call.

A row of ``audience_listing`` goes ready → adding → sent → confirmed, and when it is to come off
(``off_at``) → removing → removed. Only the process that holds the audience's lock moves rows; the
drain says what it wants in ``audience_member`` and nowhere else. Called within the caller's
transaction. See ``engine.store.listing_calls`` for what comes after a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from engine.store.ads_consent import BLOCKED, NO_NO, YES, AdsConsent
from engine.store.database import Connection, Database, ids, texts, to_json
from engine.store.lanes import FENCE

#: That a run still wants the shopper of listing ``l`` on its list.
_WANTED: LiteralString = """exists (select from audience_member w
    left join enrollment e on e.profile_id = w.profile_id and e.id = w.enrollment_id
    where w.profile_id = l.profile_id and w.audience = l.audience and w.wanted
      and coalesce(e.status, '') not in ('stopped', 'merged')
      and (w.segment = '' or exists (select from segment_member s where s.member
            and s.profile_id = w.profile_id and s.segment = w.segment)))"""

#: A request whose rows the platform may still be putting on: a removal might overtake it.
_UNSETTLED: LiteralString = """exists (select from audience_request q
    where q.id = l.add_request and q.status in ('claimed', 'sent', 'lost'))"""


@contextmanager
def locked(database: Database, audience: str) -> Iterator[bool]:
    """Hold the audience, for as long as the block or the process lives; False when another
    process has it. No transaction stays open meanwhile."""
    with database.connection() as guard:
        row = guard.execute(
            "select pg_try_advisory_lock(hashtextextended('ad list:' || %s, 0))", [audience]
        ).fetchone()
        guard.commit()
        have = row is not None and bool(row[0])
        try:
            yield have
        finally:
            if have:
                guard.execute(
                    "select pg_advisory_unlock(hashtextextended('ad list:' || %s, 0))", [audience]
                )


class Coming(NamedTuple):
    """A profile that a run wants on a list. ``yes``: it said so itself."""

    profile_id: int
    traits: dict[str, Any]
    enrollment_id: UUID
    yes: bool


def coming(
    connection: Connection, audience: str, consent: AdsConsent, after: int, limit: int
) -> list[Coming]:
    """Profiles beyond ``after`` that are wanted on and in no listing, by id. Not those who said
    no, are suppressed, or were found unusable since the last change to them."""
    rows = connection.execute(
        f"""
        select m.profile_id, p.traits, (array_agg(m.enrollment_id order by m.changed_at desc))[1],
               {YES}
          from audience_member m
          join profile p on p.id = m.profile_id
          left join enrollment e on e.profile_id = m.profile_id and e.id = m.enrollment_id
         where m.audience = %(audience)s and m.wanted and not m.listed
           and m.profile_id > %(after)s
           and coalesce(e.status, '') not in ('stopped', 'merged')
           and (m.synced_at is null or m.synced_at < m.changed_at or exists (
                select from consent c where c.profile_id = m.profile_id and c.channel = 'ads'
                   and c.at >= m.synced_at))
           and {NO_NO} and not {BLOCKED}
         group by m.profile_id, p.id
         order by m.profile_id limit %(limit)s
        """,
        {
            "audience": audience,
            "after": after,
            "limit": limit,
            "opt_out": consent == "opt-out",
        },
    )
    return [Coming(*row) for row in rows]


class Fresh(NamedTuple):
    """A profile as its platform will be told of it."""

    profile_id: int
    enrollment_id: UUID
    digest: bytes
    cells: Sequence[str]
    email: str
    phone: str
    yes: bool


def prepare(connection: Connection, audience: str, fresh: Sequence[Fresh], now: datetime) -> int:
    """Make them ready, nothing more: what may go is decided at the claim. Gives how many. A row
    of ``audience_member`` that a drain holds is passed over and comes up again."""
    marked = _mark(connection, audience, [f.profile_id for f in fresh], True, now)
    rows = [f for f in fresh if f.profile_id in marked]
    if not rows:
        return 0
    parameters = {
        "audience": audience,
        "now": now,
        "profiles": ids(f.profile_id for f in rows),
        "runs": ids(str(f.enrollment_id) for f in rows),
        "digests": [f.digest for f in rows],
        "members": texts(to_json(list(f.cells)) for f in rows),
        "emails": texts(f.email for f in rows),
        "phones": texts(f.phone for f in rows),
        "yes": [f.yes for f in rows],
    }
    # Wanted again before it was let go: it stays, and nobody is told anything.
    connection.execute(
        f"""
        update audience_listing l set off_at = null, off_reason = '', consented = t.yes
          from unnest(%(profiles)s::bigint[], %(digests)s::bytea[], %(yes)s::boolean[])
               as t(profile_id, digest, yes)
         where l.profile_id = t.profile_id and l.audience = %(audience)s and l.digest = t.digest
           and l.off_at is not null and l.status in ('ready', 'sent', 'confirmed')
           and not l.again and (l.status <> 'sent' or {_UNSETTLED})
        """,
        parameters,
    )
    return connection.execute(
        """
        insert into audience_listing (profile_id, audience, enrollment_id, status, digest, member,
               email, phone, consented, made_at, try_at)
        select t.profile_id, %(audience)s, t.run, 'ready', t.digest, t.member, t.email, t.phone,
               t.yes, %(now)s, %(now)s
          from unnest(%(profiles)s::bigint[], %(runs)s::uuid[], %(digests)s::bytea[],
                      %(members)s::jsonb[], %(emails)s::text[], %(phones)s::text[],
                      %(yes)s::boolean[])
               as t(profile_id, run, digest, member, email, phone, yes)
         where not exists (
               select from audience_listing l
                where l.profile_id = t.profile_id and l.audience = %(audience)s
                  and l.digest = t.digest and l.status not in ('removed', 'removing')
                  and l.off_at is null)
        """,
        parameters,
    ).rowcount


def leave_out(
    connection: Connection, audience: str, profiles: Sequence[int], now: datetime
) -> None:
    """Note that these cannot be told to the platform as they are; a change brings them back."""
    _mark(connection, audience, profiles, False, now)


def _mark(
    connection: Connection,
    audience: str,
    profiles: Sequence[int],
    listed: bool,
    now: datetime,
) -> set[int]:
    """Change the rows of who is coming, but of those that a drain holds, or has just changed."""
    rows = connection.execute(
        """
        with free as (
            select m.ctid from audience_member m
             where m.audience = %(audience)s and m.profile_id = any(%(profiles)s::bigint[])
               and m.wanted and not m.listed
               for update skip locked)
        update audience_member m set synced_at = %(now)s, listed = %(listed)s from free
         where m.ctid = free.ctid returning m.profile_id
        """,
        {"audience": audience, "profiles": ids(profiles), "listed": listed, "now": now},
    )
    return {int(row[0]) for row in rows}


class Member(NamedTuple):
    """One row of a request. ``blank``: those of its two hashes that somebody else on the list
    shares, so that a removal must not name them."""

    profile_id: int
    id: int
    place: int
    cells: list[str]
    consented: bool
    blank: Sequence[str] = ()


def ready(connection: Connection, audience: str, now: datetime, limit: int) -> Rows:
    """Rows that could be claimed for an addition, the oldest first."""
    return connection.execute(
        """
        select profile_id, id from audience_listing
         where audience = %s and status = 'ready' and off_at is null and try_at <= %s
         order by try_at limit %s
        """,
        [audience, now, limit],
    ).fetchall()


Rows = list[tuple[int, int]]

#: Another row of the list that says the same of the same hash and stays.
_TWIN: LiteralString = """exists (select from audience_listing o
    where o.audience = l.audience and o.digest = l.digest and o.id <> l.id and o.off_at is null
      and o.status in ('adding', 'sent', 'confirmed'))"""
#: The hashes of the rows that are being let go: an addition of the same would meet its removal.
_LEAVING: LiteralString = """select o.email, o.phone from audience_listing o
    where o.audience = %(audience)s and o.off_at is not null and o.status <> 'removed'
      and (o.status in ('removing', 'sent', 'confirmed') or (o.status = 'ready' and o.maybe))"""


def claim_additions(
    connection: Connection,
    audience: str,
    request: str,
    rows: Rows,
    consent: AdsConsent,
    now: datetime,
) -> list[Member]:
    """Claim those of ``rows`` that may go now, for one request.

    Fence, permission, the runs and the claim are one statement, so one snapshot, which is kept
    with the request: the audit holds it against the transactions that accepted stops (P3). What
    the fence holds goes to the end of the line.

    The time that it takes is a purchase's risk, so its way is laid down (materialized, offset 0):
    left to guess from statistics of a minute ago it took 8 s for 10,000 members, so 0.2 s.
    """
    parameters = {
        "audience": audience,
        "platform": audience.partition("/")[0],
        "request": request,
        "now": now,
        "profiles": ids(profile for profile, _ in rows),
        "ids": ids(id for _, id in rows),
        "opt_out": consent == "opt-out",
    }
    found = connection.execute(
        f"""
        with held as materialized ({FENCE}),
        leaving as materialized ({_LEAVING}),
        mine as materialized (
            select l.* from unnest(%(profiles)s::bigint[], %(ids)s::bigint[]) as t(profile_id, id)
             cross join lateral (
                select * from audience_listing l
                 where l.profile_id = t.profile_id and l.id = t.id offset 0) l),
        able as (
            select l.profile_id, l.id, row_number() over (partition by l.digest order by l.id) as n
              from mine l join profile p on p.id = l.profile_id
             where l.status = 'ready' and l.off_at is null
               and l.profile_id not in (select profile_id from held)
               and {_WANTED} and {NO_NO} and not {BLOCKED} and not {_TWIN}
               and not (l.email <> '' and l.email in (select email from leaving))
               and not (l.phone <> '' and l.phone in (select phone from leaving))),
        placed as (
            select profile_id, id, row_number() over (order by id) - 1 as place
              from able where n = 1),
        claimed as (
            update audience_listing l
               set status = 'adding', add_request = %(request)s, add_place = placed.place,
                   tries = l.tries + 1, problem = ''
              from placed where l.profile_id = placed.profile_id and l.id = placed.id
            returning l.profile_id, l.id, l.add_place, l.member, l.consented),
        noted as (
            insert into audience_request (id, audience, platform, action, members, status,
                   claimed_at, gate_snapshot)
            select %(request)s, %(audience)s, %(platform)s, 'add', count(*), 'claimed', %(now)s,
                   pg_current_snapshot()
              from claimed having count(*) > 0)
        select * from claimed order by add_place
        """,
        parameters,
    ).fetchall()
    claimed = {row[1] for row in found}
    back = [row for row in rows if row[1] not in claimed]
    if back:
        connection.execute(
            """
            update audience_listing l set try_at = %s
              from unnest(%s::bigint[], %s::bigint[]) as t(profile_id, id)
             where l.profile_id = t.profile_id and l.id = t.id and l.status = 'ready'
            """,
            [now, ids(p for p, _ in back), ids(i for _, i in back)],
        )
    return [Member(*row) for row in found]


def adopt(connection: Connection, audience: str) -> int:
    """Confirm rows of which the platform knows all already, from another shopper's row."""
    return connection.execute(
        """
        update audience_listing l set status = 'confirmed', confirmed_at = o.confirmed_at
          from audience_listing o
         where l.audience = %s and l.status = 'ready' and l.off_at is null
           and o.audience = l.audience and o.digest = l.digest and o.id <> l.id
           and o.status = 'confirmed' and o.off_at is null
        """,
        [audience],
    ).rowcount


def claim_removals(
    connection: Connection, audience: str, request: str, now: datetime, limit: int
) -> list[Member]:
    """Claim for one request those who are to be let go, the oldest first. Of rows that share all
    they have with somebody who stays there is nothing to say: they are removed at once."""
    rows = connection.execute(
        f"""
        with due as (
            select l.profile_id, l.id, row_number() over (order by l.off_at, l.id) - 1 as place
              from audience_listing l
             where l.audience = %(audience)s and l.off_at is not null and l.try_at <= %(now)s
               and (l.status in ('sent', 'confirmed') or (l.status = 'ready' and l.maybe))
               and not (l.again and {_UNSETTLED})
             order by l.off_at, l.id limit %(limit)s),
        claimed as (
            update audience_listing l
               set status = 'removing', off_request = %(request)s, off_place = due.place,
                   tries = l.tries + 1, again = {_UNSETTLED}
              from due where l.profile_id = due.profile_id and l.id = due.id
            returning l.profile_id, l.id, l.off_place, l.member, l.consented, l.audience,
                      l.email, l.phone)
        select c.profile_id, c.id, c.off_place, c.member, c.consented, array(
                select c.email where exists (select from audience_listing o
                        where o.audience = c.audience and o.email = c.email and o.email <> ''
                          and o.id <> c.id and o.off_at is null
                          and o.status in ('adding', 'sent', 'confirmed'))
                union all
                select c.phone where exists (select from audience_listing o
                        where o.audience = c.audience and o.phone = c.phone and o.phone <> ''
                          and o.id <> c.id and o.off_at is null
                          and o.status in ('adding', 'sent', 'confirmed')))
          from claimed c order by c.off_place
        """,
        {"audience": audience, "request": request, "now": now, "limit": limit},
    ).fetchall()
    members = [Member(*row) for row in rows]
    if members:
        connection.execute(
            """
            insert into audience_request (id, audience, platform, action, members, status,
                   claimed_at, gate_snapshot)
            values (%s, %s, %s, 'remove', %s, 'claimed', %s, pg_current_snapshot())
            """,
            [request, audience, audience.partition("/")[0], len(members), now],
        )
    return members
