"""Lists at ad platforms that are rebuilt, and how far that is.

``asked`` → ``adding`` (all who are wanted are sent anew) → ``ending`` (the call on the wire that
takes the others off) → ``done``. Only the process that holds the audience moves it on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import uuid4

from engine.store.database import Connection
from engine.store.listing_views import send_again

#: How often it begins again before it is left to a person.
TRIES = 5

_OPEN: LiteralString = "status in ('asked', 'adding', 'ending')"


class Replacing(NamedTuple):
    """A list that is being rebuilt. ``called``: what has become of its last call, "" for none."""

    id: str
    status: str
    since: datetime | None
    session: str
    part: int
    request: str | None
    members: int
    called: str


def ask(connection: Connection, audience: str, reason: str, now: datetime) -> bool:
    """Have the list rebuilt; False when it already is being."""
    return (
        connection.execute(
            """
            insert into audience_replace (id, audience, reason, asked_at, status, session)
            values (%s, %s, %s, %s, 'asked', %s) on conflict do nothing
            """,
            [str(uuid4()), audience, reason, now, str(uuid4())],
        ).rowcount
        > 0
    )


def under_way(connection: Connection, audience: str) -> Replacing | None:
    row = connection.execute(
        f"""
        select r.id::text, r.status, r.since, r.session::text, r.part, r.request::text, r.members,
               coalesce(q.status, '')
          from audience_replace r left join audience_request q on q.id = r.request
         where r.audience = %s and r.{_OPEN}
        """,
        [audience],
    ).fetchone()
    return None if row is None else Replacing(*row)


def session_open(connection: Connection, audience: str) -> bool:
    """Whether a part of a session was sent that is not over: what is taken off meanwhile would be
    back on when it ends."""
    row = connection.execute(
        """
        select exists (select from audience_replace r
          join audience_request q on q.id = r.request and q.action = 'replace'
         where r.audience = %s and r.status = 'adding' and q.status not in ('lost', 'failed'))
        """,
        [audience],
    ).fetchone()
    return row is not None and bool(row[0])


def begin(connection: Connection, one: Replacing, audience: str, now: datetime) -> bool:
    """Have all who are on the list sent anew; False while additions are on their way still."""
    busy = connection.execute(
        """
        select exists (select from audience_listing
         where audience = %s and off_at is null and status in ('adding', 'sent'))
        """,
        [audience],
    ).fetchone()
    if busy is None or busy[0]:
        return False
    send_again(connection, audience, now)
    connection.execute(
        """
        update audience_replace set status = 'adding', since = %(now)s, session = %(session)s,
               part = 0, request = null, tries = tries + 1, members = (
                   select count(*) from audience_listing where audience = %(audience)s
                      and off_at is null and status = 'ready')
         where id = %(id)s
        """,
        {"now": now, "session": str(uuid4()), "audience": audience, "id": one.id},
    )
    return True


def unsent(connection: Connection, audience: str, until: datetime | None = None) -> int:
    """Members who are to be on the list and of whom the platform has not said so anew; those only
    who were made ready ``until`` then."""
    row = connection.execute(
        """
        select count(*) from audience_listing where audience = %(audience)s and off_at is null
           and status in ('ready', 'adding', 'sent')
           and (%(until)s::timestamptz is null or made_at <= %(until)s)
        """,
        {"audience": audience, "until": until},
    ).fetchone()
    return int(row[0]) if row else 0


def send_one_again(connection: Connection, audience: str, now: datetime) -> None:
    """Make one who is on the list ready once more: a session ends with somebody or not at all."""
    connection.execute(
        """
        update audience_listing l set status = 'ready', maybe = true, try_at = %(now)s, tries = 0
          from (select profile_id, id from audience_listing where audience = %(audience)s
                   and status = 'confirmed' and off_at is null order by random() limit 1) one
         where l.profile_id = one.profile_id and l.id = one.id
        """,
        {"audience": audience, "now": now},
    )


def part(connection: Connection, one: Replacing, request: str, *, last: bool) -> None:
    """The claimed ``request`` is the next part of its session."""
    connection.execute("update audience_request set action = 'replace' where id = %s", [request])
    connection.execute(
        "update audience_replace set part = part + 1, request = %s, status = %s where id = %s",
        [request, "ending" if last else "adding", one.id],
    )


def clear(
    connection: Connection, one: Replacing, audience: str, request: str, now: datetime
) -> None:
    """Claim the call that takes off who was added before it began and not since."""
    connection.execute(
        """
        insert into audience_request (id, audience, platform, action, members, status, claimed_at,
               gate_snapshot)
        values (%s, %s, %s, 'clear', 0, 'claimed', %s, pg_current_snapshot())
        """,
        [request, audience, audience.partition("/")[0], now],
    )
    connection.execute(
        "update audience_replace set status = 'ending', request = %s where id = %s",
        [request, one.id],
    )


def again(connection: Connection, one: Replacing, status: str, now: datetime) -> None:
    """Its last call came to nothing: go back to ``status``, unless it was tried too often."""
    connection.execute(
        """
        update audience_replace set request = null, tries = tries + (%(status)s = 'adding')::int,
               status = case when tries >= %(tries)s then 'failed' else %(status)s end,
               ended_at = case when tries >= %(tries)s then %(now)s end,
               detail = case when tries >= %(tries)s then 'given up: its calls fail' else '' end
         where id = %(id)s
        """,
        {"status": status, "tries": TRIES, "now": now, "id": one.id},
    )


def end(
    connection: Connection, one: Replacing, now: datetime, detail: str, *, failed: bool = False
) -> None:
    connection.execute(
        "update audience_replace set status = %s, ended_at = %s, detail = %s where id = %s",
        ["failed" if failed else "done", now, detail, one.id],
    )


def last(connection: Connection, audience: str) -> dict[str, Any] | None:
    """The latest of the list: what it was asked for, when, and how far it is."""
    row = connection.execute(
        """
        select reason, asked_at, status, members, ended_at, detail from audience_replace
         where audience = %s order by asked_at desc limit 1
        """,
        [audience],
    ).fetchone()
    names = ("reason", "asked_at", "status", "members", "ended_at", "detail")
    return None if row is None else dict(zip(names, row, strict=True))
