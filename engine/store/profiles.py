"""Profiles, their consent and the merge of two."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.model.profile import Consent, Profile
from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array

PROFILE_COLUMNS = (
    "p.id, p.traits, p.orders, p.lifetime_value, p.first_seen, p.last_seen, p.last_order_at"
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


def consents(connection: Connection, ids: list[int]) -> dict[int, list[Consent]]:
    """Consent decisions by profile."""
    found: dict[int, list[Consent]] = {}
    for row in connection.execute(
        """
        select profile_id, channel, topic, granted, at, source from consent
         where profile_id = any(%s::bigint[])
        """,
        [array(ids)],
    ):
        found.setdefault(row[0], []).append(Consent(*row[1:]))
    return found


def write_consents(connection: Connection, decisions: list[tuple[int, Consent]]) -> None:
    """Record decisions (at most one per profile, channel and topic). Against what is stored the
    later one stands, at the same time the no."""
    connection.execute(
        """
        insert into consent as c (profile_id, channel, topic, granted, at, source)
        select * from unnest(%s::bigint[], %s::text[], %s::text[], %s::bool[],
                             %s::timestamptz[], %s::text[])
        on conflict (profile_id, channel, topic) do update set
            granted = excluded.granted, at = excluded.at, source = excluded.source
         where excluded.at > c.at or (excluded.at = c.at and not excluded.granted)
        """,
        [
            [profile for profile, _ in decisions],
            [c.channel for _, c in decisions],
            [c.topic for _, c in decisions],
            [c.granted for _, c in decisions],
            [c.at for _, c in decisions],
            [c.source for _, c in decisions],
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
    for table in ("identity", "event", "enrollment", "message", "delivery", "audience_member"):
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
