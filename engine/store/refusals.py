"""What might not go, written down and counted: see engine/core/refusals.py for the codes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from engine.store.database import Connection, texts
from engine.store.database import ids as array
from engine.store.lanes import FENCE


class Refusal(NamedTuple):
    """That a message may not go, or not now. ``due_at`` and ``expires_at``: when it is due again
    and good until; None leaves them as they are. ``code`` is what it is counted under."""

    profile_id: int
    id: str
    status: str
    reason: str
    due_at: datetime | None = None
    expires_at: datetime | None = None
    code: str = ""
    at: datetime | None = None


def refuse(connection: Connection, refusals: Iterable[Refusal], now: datetime) -> None:
    """Write down what may not go, each at its own time where it has one, else ``now``. What the
    fence holds stays as it is: the consent or the address that is missing may be what waits in
    the inbox.

    The code of a message that is given up, and that no provider may have, goes back to its pool.
    Only a code that the send itself took: its claim is the message's id. One that an offer gave to
    the run may stand in other messages too."""
    rows = list(refusals)
    connection.execute(
        f"""
        with held as ({FENCE}),
        t as (
            select * from unnest(%(profiles)s::bigint[], %(ids)s::uuid[], %(statuses)s::text[],
                                 %(reasons)s::text[], %(dues)s::timestamptz[],
                                 %(ends)s::timestamptz[], %(codes)s::text[],
                                 %(times)s::timestamptz[])
                as t(profile_id, id, status, reason, due_at, expires_at, code, at)),
        refused as (
            update message m set status = t.status, reason = t.reason,
                   due_at = coalesce(t.due_at, m.due_at),
                   expires_at = coalesce(t.expires_at, m.expires_at),
                   settled_at = case when t.status = 'due' then null else %(now)s::timestamptz end
              from t
             where m.profile_id = t.profile_id and m.id = t.id and m.status = 'due'
               and not exists (select 1 from held where held.profile_id = m.profile_id)
            returning m.profile_id, m.id, m.journey, m.step, m.channel, m.topic, t.code, t.at,
                      m.status = 'due' as waits, m.enrollment_id),
        returned as (
            update coupon c set claim = null, enrollment_id = null, claimed_at = null
              from refused r
             where c.claim = r.id and not r.waits and not exists (
                   select from delivery d
                    where d.profile_id = r.profile_id and d.message_id = r.id
                      and (d.outcome is null or d.outcome <> 'refused'))
            returning r.id, c.pool, c.code, r.enrollment_id),
        remembered as (
            insert into coupon_returned (claim, pool, code, enrollment_id, at)
            select id, pool, code, enrollment_id, %(now)s from returned)
        insert into refusal (profile_id, message_id, at, journey, step, channel, topic, code, waits)
        select profile_id, id, coalesce(at, %(now)s), journey, step, channel, topic, code, waits
          from refused where code <> ''
        """,
        {
            "now": now,
            "profiles": array(r.profile_id for r in rows),
            "ids": array(r.id for r in rows),
            "statuses": texts(r.status for r in rows),
            "reasons": texts(r.reason for r in rows),
            "dues": [r.due_at for r in rows],
            "ends": [r.expires_at for r in rows],
            "codes": texts(r.code for r in rows),
            "times": [r.at for r in rows],
        },
    )


Noted = tuple[str, int, datetime, str, str, str, str, str, bool]


def note(connection: Connection, refusals: Iterable[Noted]) -> None:
    """Count what never came to the gate, as (message id, profile, at, journey, step, channel,
    topic, code, waits)."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into refusal
                (message_id, profile_id, at, journey, step, channel, topic, code, waits)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            list(refusals),
        )


class Count(NamedTuple):
    """How often something was refused on one day of the shop's, and of how many messages.
    ``waits``: it was put off; else it was given up."""

    day: date
    journey: str
    step: str
    channel: str
    code: str
    waits: bool
    refusals: int
    messages: int


def counts(
    connection: Connection, since: datetime, timezone: str, journey: str | None = None
) -> list[Count]:
    """The refusals since then, the newest day first, of a day the most frequent first. Days are
    those of the ``timezone`` (IANA)."""
    rows = connection.execute(
        """
        select (at at time zone %(zone)s)::date, journey, step, channel, code, waits,
               count(*), count(distinct message_id)
          from refusal
         where at >= %(since)s and (%(journey)s::text is null or journey = %(journey)s)
         group by 1, 2, 3, 4, 5, 6
         order by 1 desc, 7 desc, 2, 3, 5
        """,
        {"zone": timezone, "since": since, "journey": journey},
    )
    return [Count(*row) for row in rows]


class Refused(NamedTuple):
    """One refusal of a message."""

    message_id: str
    at: datetime
    code: str
    waits: bool


def of_profile(connection: Connection, profile: int) -> list[Refused]:
    """All refusals of a shopper's messages, oldest first."""
    rows = connection.execute(
        """
        select message_id::text, at, code, waits from refusal
         where profile_id = %s order by at, message_id
        """,
        [profile],
    )
    return [Refused(*row) for row in rows]
