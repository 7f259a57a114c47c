"""Profiles, their consent and the merge of two."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString

from engine.model.profile import Consent, Profile
from engine.store import listing_feed
from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array

PROFILE_COLUMNS = (
    "p.id, p.traits, p.orders, p.lifetime_value, p.first_seen, p.last_seen, p.last_order_at"
)


#: The tables that go along when a profile is merged into another.
_MOVED: tuple[LiteralString, ...] = (
    *("identity", "event", "enrollment", "message", "delivery", "audience_member", "consent_log"),
    *("refusal", "audience_listing"),
)


def profile_of(row: tuple[Any, ...]) -> Profile:
    """The profile in a row of ``PROFILE_COLUMNS``."""
    value = {currency: Decimal(amount) for currency, amount in row[3].items()} if row[3] else {}
    return Profile(row[0], row[1], row[2], value, *row[4:])


def lock(connection: Connection, ids: Iterable[int]) -> tuple[dict[int, Profile], dict[int, str]]:
    """Lock the profiles (in order of id, so that two workers never wait for each other in a
    circle) and give them, and what each was born of."""
    rows = connection.execute(
        f"""
        select {PROFILE_COLUMNS}, p.born_of from profile p
         where p.id = any(%s::bigint[]) order by p.id for update
        """,
        [array(ids)],
    ).fetchall()
    return {r[0]: profile_of(r[:-1]) for r in rows}, {r[0]: r[-1] for r in rows}


def lock_free(connection: Connection, ids: Iterable[int]) -> dict[int, Profile]:
    """Lock those of the profiles that no other worker holds right now."""
    rows = connection.execute(
        f"""
        select {PROFILE_COLUMNS} from profile p
         where p.id = any(%s::bigint[]) order by p.id for update skip locked
        """,
        [array(ids)],
    ).fetchall()
    return {r[0]: profile_of(r) for r in rows}


def write(connection: Connection, profiles: list[Profile], born_of: dict[int, str]) -> None:
    """Insert or update; ``born_of`` names the identifier of those that may be new."""
    connection.execute(
        """
        insert into profile
            (id, born_of, traits, orders, lifetime_value, first_seen, last_seen, last_order_at)
        select t.id, coalesce(b.born_of, ''), t.traits, t.orders, t.lifetime_value, t.first_seen,
               t.last_seen, t.last_order_at
          from json_to_recordset(%s::json) as t(id bigint, traits jsonb, orders int,
                   lifetime_value jsonb, first_seen timestamptz, last_seen timestamptz,
                   last_order_at timestamptz)
          left join unnest(%s::bigint[], %s::text[]) as b(id, born_of) using (id)
        on conflict (id) do update set
            traits = excluded.traits, orders = excluded.orders,
            lifetime_value = excluded.lifetime_value, first_seen = excluded.first_seen,
            last_seen = excluded.last_seen, last_order_at = excluded.last_order_at
        """,
        [to_json(profiles), array(born_of), texts(born_of.values())],
    )


_CONSENT: LiteralString = (
    "channel, topic, granted, at, source, confirmed_at, case when granted then denied_at end, until"
)


def consents(connection: Connection, ids: list[int]) -> dict[int, list[Consent]]:
    """What each shopper's decisions about consent come to, by profile."""
    found: dict[int, list[Consent]] = {}
    for row in connection.execute(
        f"select profile_id, {_CONSENT} from consent where profile_id = any(%s::bigint[])",
        [array(ids)],
    ):
        found.setdefault(row[0], []).append(Consent(*row[1:]))
    return found


def write_consents(connection: Connection, decisions: list[tuple[int, Consent]]) -> None:
    """Take decisions in (at most one per profile, channel and topic), as
    ``engine.core.consent.stricter`` does: the later stands, at the same time the no. ``denied_at``
    is kept for a no as well, so that two rows compare by it."""
    connection.execute(
        """
        insert into consent as c (profile_id, channel, topic, granted, at, source, confirmed_at,
                                  denied_at, until)
        select profile_id, channel, topic, granted, at, source, confirmed_at,
               case when granted then denied_at else at end, until
          from unnest(%s::bigint[], %s::text[], %s::text[], %s::bool[], %s::timestamptz[],
                      %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
            as t(profile_id, channel, topic, granted, at, source, confirmed_at, denied_at, until)
        on conflict (profile_id, channel, topic) do update set
            (granted, at, source, until, denied_at, confirmed_at) = (
                select w.granted, w.at, w.source, w.until, d.denied,
                       case when w.granted then d.confirmed end
                  from (select excluded.granted, excluded.at, excluded.source, excluded.until
                         where (excluded.at, not excluded.granted,
                                coalesce(excluded.until, '-infinity'))
                             > (c.at, not c.granted, coalesce(c.until, '-infinity'))
                         union all select c.granted, c.at, c.source, c.until limit 1) w,
                       (select greatest(c.denied_at, excluded.denied_at) as denied,
                               greatest(c.confirmed_at, excluded.confirmed_at) as confirmed) d)
         where excluded.at >= c.at or excluded.denied_at > coalesce(c.denied_at, '-infinity')
            or excluded.confirmed_at > coalesce(c.confirmed_at, '-infinity')
        """,
        [
            array(profile for profile, _ in decisions),
            texts(c.channel for _, c in decisions),
            texts(c.topic for _, c in decisions),
            [c.granted for _, c in decisions],
            [c.at for _, c in decisions],
            texts(c.source for _, c in decisions),
            [c.confirmed_at for _, c in decisions],
            [c.denied_at for _, c in decisions],
            [c.until for _, c in decisions],
        ],
    )


def merge(
    connection: Connection, gone: int, into: int, consents: list[Consent], now: datetime
) -> None:
    """Make two profiles one, with their runs, messages, audiences and history; ``consents`` are
    what stands for both together.

    Both must be locked. Where both have an active run of the same journey and key, the one
    that began later ends as merged and its waiting messages are cancelled.
    """
    pair = {"gone": gone, "into": into, "now": now}
    connection.execute(
        """
        with doubled as (
            select case when (a.entered_at, a.event_id) <= (b.entered_at, b.event_id)
                        then b.id else a.id end as id
              from enrollment a
              join enrollment b on a.journey = b.journey and a.key = b.key
             where a.profile_id = %(gone)s and b.profile_id = %(into)s
               and a.status = 'active' and b.status = 'active'),
        ended as (
            update enrollment e
               set status = 'merged', live = false, wake_at = null, waiting_for = '',
                   reason = 'same run under another identity', ended_at = %(now)s
              from doubled
             where e.id = doubled.id and e.profile_id in (%(gone)s, %(into)s)
            returning e.id),
        off as (
            update audience_member m set wanted = false, changed_at = %(now)s
              from ended where m.enrollment_id = ended.id and m.wanted
               and m.profile_id in (%(gone)s, %(into)s))
        update message m set status = 'cancelled', reason = 'merged', settled_at = %(now)s
          from ended
         where m.enrollment_id = ended.id and m.status = 'due'
           and m.profile_id in (%(gone)s, %(into)s)
        """,
        pair,
    )
    listing_feed.merge(connection, gone, into)
    for table in _MOVED:
        connection.execute(
            f"update {table} set profile_id = %(into)s where profile_id = %(gone)s", pair
        )
    connection.execute("delete from consent where profile_id in (%(gone)s, %(into)s)", pair)
    if consents:
        write_consents(connection, [(into, consent) for consent in consents])
    connection.execute(
        "update former_profile set profile_id = %(into)s where profile_id = %(gone)s", pair
    )
    connection.execute(
        """
        insert into former_profile (id, profile_id) values (%(gone)s, %(into)s)
        on conflict (id) do update set profile_id = excluded.profile_id
        """,
        pair,
    )
    connection.execute("delete from profile where id = %(gone)s", pair)
