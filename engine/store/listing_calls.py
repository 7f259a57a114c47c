"""What came of each call to an ad platform, and when the next may be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple

from engine.store.database import Connection, ids, texts

#: Tries of one row before it is left to a person.
TRIES = 6

_FORGET: LiteralString = "member = null, email = '', phone = ''"


def recover(connection: Connection, audience: str, now: datetime, settled_by: datetime) -> int:
    """What another process left on the wire when it died: nobody knows whether it arrived, so
    additions are ready again and removals due. Only the holder of the audience may ask. Gives how
    many requests that were. Those that were claimed before ``settled_by`` are over: nothing of
    them can arrive any more."""
    lost = [
        str(row[0])
        for row in connection.execute(
            "select id from audience_request where audience = %s and status = 'claimed'",
            [audience],
        )
    ]
    for request in lost:
        unknown(connection, request, now, "its process died")
    connection.execute(
        """
        update audience_request set status = 'failed', settled_at = %s
         where audience = %s and status = 'lost' and claimed_at < %s
        """,
        [now, audience, settled_by],
    )
    return len(lost)


def unknown(connection: Connection, request: str, now: datetime, detail: str) -> None:
    """The call was made, and nobody knows what came of it. Both kinds are set-like: they are
    made again, if still wanted then."""
    connection.execute(
        """
        with lost as (
            update audience_request set status = 'lost', detail = %(detail)s
             where id = %(request)s returning id),
        adding as (
            update audience_listing l set status = 'ready', maybe = true, try_at = %(now)s
              from lost where l.add_request = lost.id and l.status = 'adding')
        update audience_listing l set status = 'ready', maybe = true, try_at = %(now)s
          from lost where l.off_request = lost.id and l.status = 'removing'
        """,
        {"request": request, "now": now, "detail": detail},
    )


def not_taken(
    connection: Connection,
    request: str,
    now: datetime,
    detail: str,
    refused: Mapping[int, str],
    again: datetime,
) -> None:
    """The platform has nothing of it. ``refused`` (place: reason) are left out from now on; the
    others come again at ``again``."""
    rows = {
        "request": request,
        "now": now,
        "detail": detail,
        "again": again,
        "places": ids(refused),
        "reasons": texts(refused.values()),
    }
    connection.execute(
        """
        update audience_listing l set status = 'refused', problem = t.reason
          from unnest(%(places)s::int[], %(reasons)s::text[]) as t(place, reason)
         where l.add_request = %(request)s and l.add_place = t.place and l.status = 'adding'
        """,
        rows,
    )
    connection.execute(
        """
        with failed as (
            update audience_request set status = 'failed', settled_at = %(now)s,
                   detail = %(detail)s where id = %(request)s returning id),
        adding as (
            update audience_listing l set status = 'ready', try_at = %(again)s
              from failed where l.add_request = failed.id and l.status = 'adding')
        update audience_listing l set try_at = %(again)s,
               status = case when confirmed_at is null then 'sent' else 'confirmed' end
          from failed where l.off_request = failed.id and l.status = 'removing'
        """,
        rows,
    )


def taken(
    connection: Connection,
    request: str,
    reference: str,
    detail: str,
    wire_ms: float,
    now: datetime,
    look_at: datetime,
) -> None:
    """The platform has it. With a ``reference`` it works on it from now on; without, it is done."""
    connection.execute(
        """
        with sent as (
            update audience_request set status = 'sent', reference = %(reference)s,
                   sent_at = %(now)s, wire_ms = %(wire)s, look_at = %(look_at)s,
                   detail = %(detail)s
             where id = %(request)s returning id),
        adding as (
            update audience_listing l set status = 'sent', sent_at = %(now)s, maybe = true
              from sent where l.add_request = sent.id and l.status = 'adding')
        update audience_listing l set off_sent_at = %(now)s
          from sent where l.off_request = sent.id and l.status = 'removing'
        """,
        {
            "request": request,
            "reference": reference,
            "detail": detail,
            "wire": wire_ms,
            "now": now,
            "look_at": look_at,
        },
    )
    if not reference:
        settle(connection, request, now, {}, (), now, detail)


class Looked(NamedTuple):
    """A request that the platform is working on."""

    id: str
    action: str
    reference: str
    looks: int


def to_look_at(connection: Connection, audience: str, now: datetime, limit: int) -> list[Looked]:
    """Those whose progress is to be asked for now; removals first."""
    rows = connection.execute(
        """
        select id::text, action, reference, looks from audience_request
         where audience = %s and status = 'sent' and look_at <= %s
         order by action desc, look_at limit %s
        """,
        [audience, now, limit],
    )
    return [Looked(*row) for row in rows]


def calls_due(connection: Connection, audiences: Iterable[str], now: datetime) -> bool:
    """Whether a platform is to be asked for its progress now or told of a removal, and may be."""
    row = connection.execute(
        """
        select exists (
            select from unnest(%(audiences)s::text[]) as a(audience)
             where (exists (select from audience_request r where r.audience = a.audience
                              and r.status = 'sent' and r.look_at <= %(now)s)
                    or exists (select from audience_listing l where l.audience = a.audience
                              and l.off_at is not null and l.status in ('sent', 'confirmed')
                              and l.try_at <= %(now)s and not l.again))
               and not exists (select from audience_hold h where h.until > %(now)s
                           and h.subject in (a.audience, split_part(a.audience, '/', 1))))
        """,
        {"audiences": texts(audiences), "now": now},
    ).fetchone()
    return row is not None and bool(row[0])


def look_later(connection: Connection, request: str, at: datetime) -> None:
    connection.execute(
        "update audience_request set looks = looks + 1, look_at = %s where id = %s", [at, request]
    )


def settle(
    connection: Connection,
    request: str,
    now: datetime,
    refused: Mapping[int, str],
    again: Iterable[int],
    try_at: datetime,
    detail: str,
    *,
    failed: bool = False,
) -> None:
    """The platform is done with a request. By place: ``refused`` (reason) it will never take,
    those of ``again`` failed for the moment and are retried alone at ``try_at``; all others are
    confirmed. ``failed``: none is, and whom it does not name is retried.

    A removal that may have overtaken its own addition is not believed: it is made once more when
    the addition is over.
    """
    rows = {
        "request": request,
        "now": now,
        "status": "failed" if failed else "done",
        "detail": detail,
        "again": ids(again),
        "places": ids(refused),
        "reasons": texts(refused.values()),
        "try_at": try_at,
        "tries": TRIES,
        "failed": failed,
    }
    connection.execute(
        """
        update audience_request set status = %(status)s, settled_at = %(now)s, detail = %(detail)s
         where id = %(request)s
        """,
        rows,
    )
    connection.execute(
        """
        with wrong as (
            select * from unnest(%(places)s::int[], %(reasons)s::text[]) as t(place, reason))
        update audience_listing l set
               status = case
                   when exists (select from wrong where place = l.add_place) then 'refused'
                   when not (%(failed)s or l.add_place = any(%(again)s::int[])) then 'confirmed'
                   when l.tries >= %(tries)s then 'refused'
                   else 'ready' end,
               maybe = not (%(failed)s or l.add_place = any(%(again)s::int[])
                            or exists (select from wrong where place = l.add_place)),
               confirmed_at = case when %(failed)s or l.add_place = any(%(again)s::int[])
                            or exists (select from wrong where place = l.add_place)
                            then l.confirmed_at else %(now)s end,
               problem = coalesce((select reason from wrong where place = l.add_place),
                            case when %(failed)s or l.add_place = any(%(again)s::int[])
                                 then 'failed at the platform' else '' end),
               try_at = case when %(failed)s or l.add_place = any(%(again)s::int[])
                             then %(try_at)s else %(now)s end
         where l.add_request = %(request)s and l.status = 'sent'
        """,
        rows,
    )
    connection.execute(
        """
        update audience_listing l set
               status = case when l.again then 'sent' else 'removed' end,
               removed_at = case when l.again then null else %(now)s end,
               try_at = %(now)s
         where l.off_request = %(request)s and l.status = 'removing'
           and not %(failed)s and not l.off_place = any(%(again)s::int[]);
        """,
        rows,
    )
    connection.execute(
        f"""
        update audience_listing set {_FORGET}
         where off_request = %(request)s and status = 'removed' and member is not null
        """,
        rows,
    )
    connection.execute(
        """
        update audience_listing l set status = 'sent', try_at = %(try_at)s,
               problem = 'not removed: failed at the platform'
         where l.off_request = %(request)s and l.status = 'removing'
        """,
        rows,
    )


def nothing_to_say(connection: Connection, rows: Sequence[tuple[int, int]], now: datetime) -> None:
    """Rows claimed for a removal of which others share all that the platform knows: the shopper
    is off, the hashes stay on the others' account."""
    connection.execute(
        f"""
        update audience_listing l set status = 'removed', removed_at = %s, {_FORGET}
          from unnest(%s::bigint[], %s::bigint[]) as t(profile_id, id)
         where l.profile_id = t.profile_id and l.id = t.id and l.status = 'removing'
        """,
        [now, ids(p for p, _ in rows), ids(i for _, i in rows)],
    )


def place(connection: Connection, rows: Sequence[tuple[int, int]]) -> None:
    """Number the rows (profile, id) of a removal by where they stand in its request."""
    connection.execute(
        """
        update audience_listing l set off_place = t.place - 1
          from unnest(%s::bigint[], %s::bigint[]) with ordinality as t(profile_id, id, place)
         where l.profile_id = t.profile_id and l.id = t.id and l.status = 'removing'
        """,
        [ids(p for p, _ in rows), ids(i for _, i in rows)],
    )


def drop_request(connection: Connection, request: str) -> None:
    """Forget a request that was claimed and has nobody in it."""
    connection.execute("delete from audience_request where id = %s", [request])


def made_since(connection: Connection, platform: str, since: datetime) -> int:
    """Calls that changed a list of the platform since then, whatever came of them."""
    row = connection.execute(
        """
        select count(*) from audience_request
         where platform = %s and claimed_at > %s and action <> 'file'
        """,
        [platform, since],
    ).fetchone()
    return int(row[0]) if row else 0


def called_since(connection: Connection, audience: str, since: datetime) -> bool:
    """Whether a call has changed this list since then."""
    row = connection.execute(
        "select exists (select from audience_request where platform = %s and audience = %s"
        " and claimed_at > %s)",
        [audience.partition("/")[0], audience, since],
    ).fetchone()
    return row is not None and bool(row[0])


def hold(connection: Connection, subject: str, until: datetime, reason: str) -> None:
    """Leave a platform ("google") or an audience ("google/left-behind") alone for a while."""
    connection.execute(
        """
        insert into audience_hold (subject, until, reason) values (%s, %s, %s)
        on conflict (subject) do update set until = excluded.until, reason = excluded.reason
        """,
        [subject, until, reason],
    )


def held(connection: Connection, audience: str, now: datetime) -> str:
    """Why the audience or its platform is left alone now; "" when it is not."""
    row = connection.execute(
        "select reason from audience_hold where subject in (%s, %s) and until > %s limit 1",
        [audience, audience.partition("/")[0], now],
    ).fetchone()
    return str(row[0]) if row else ""


def release(connection: Connection, audience: str) -> None:
    """A call went well: nothing is held against the audience or its platform any more."""
    connection.execute(
        "delete from audience_hold where subject in (%s, %s)",
        [audience, audience.partition("/")[0]],
    )
