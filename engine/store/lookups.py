"""Messages of unknown outcome that a provider can be asked about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array


class Unknown(NamedTuple):
    """One of them. ``to``: the shopper's address of today, "" without one; ``looks``: how many
    there were, this one included; ``others``: references of the shopper's other messages."""

    profile_id: int
    id: str
    run: str
    provider: str
    to: str
    trace: str
    handed_at: datetime
    looks: int
    others: list[str]


def take(
    connection: Connection,
    providers: list[str],
    now: datetime,
    pauses: Sequence[timedelta],
    limit: int,
) -> list[Unknown]:
    """Up to ``limit`` messages whose look-up is due. Each is put off at once: by ``pauses[n]``
    after so many looks, and for good after the last."""
    rows = connection.execute(
        """
        with due as (
            select profile_id, id, attempts from message
             where status = 'unknown' and provider = any(%(providers)s::text[])
               and look_at is not null and look_at <= %(now)s
             order by look_at limit %(limit)s for update skip locked),
        asked as (
            update message m set looks = m.looks + 1,
                   look_at = case when m.looks + 1 < %(most)s
                                  then %(now)s + (%(pauses)s::interval[])[m.looks + 2] end
              from due where m.profile_id = due.profile_id and m.id = due.id
            returning m.profile_id, m.id, m.enrollment_id, m.provider, m.channel, m.attempts,
                      m.looks, m.handed_at, m.claimed_at)
        select a.profile_id, a.id::text, a.enrollment_id::text, a.provider,
               coalesce(p.traits ->> case a.channel when 'email' then 'email' else 'phone' end, ''),
               coalesce(d.trace, ''), coalesce(d.handed_at, a.handed_at, a.claimed_at), a.looks,
               array(select o.reference from message o
                      where o.profile_id = a.profile_id and o.id <> a.id and o.reference <> '')
          from asked a join profile p on p.id = a.profile_id
          left join delivery d on d.profile_id = a.profile_id and d.message_id = a.id
                              and d.attempt = a.attempts
        """,
        {
            "providers": texts(providers),
            "now": now,
            "limit": limit,
            "most": len(pauses),
            "pauses": list(pauses),
        },
    )
    return [Unknown(*row) for row in rows]


class Fate(NamedTuple):
    """What a look-up proved: ``sent``, ``failed``, or ``due``, for it was never taken."""

    profile_id: int
    id: str
    status: str
    reference: str
    reason: str


def settle(connection: Connection, fates: list[Fate], now: datetime) -> set[str]:
    """Write down what was proven of messages that are still unknown; gives their ids."""
    rows = connection.execute(
        """
        with t as (
            select * from unnest(%(profiles)s::bigint[], %(ids)s::uuid[], %(statuses)s::text[],
                                 %(references)s::text[], %(reasons)s::text[])
                as t(profile_id, id, status, reference, reason)),
        settled as (
            update message m set status = t.status, look_at = null,
                   reference = case when t.reference = '' then m.reference else t.reference end,
                   reason = case when t.status = 'due' then 'the provider never had it'
                                 when t.reason = '' then 'found at the provider'
                                 else t.reason end,
                   settled_at = case when t.status = 'due' then null
                                     else %(now)s::timestamptz end
              from t where m.profile_id = t.profile_id and m.id = t.id and m.status = 'unknown'
            returning m.profile_id, m.id, m.attempts, m.status),
        noted as (
            update delivery d set settled_by = 'look-up',
                   outcome = case when s.status = 'sent' then 'accepted' else 'refused' end
              from settled s where d.profile_id = s.profile_id and d.message_id = s.id
               and d.attempt = s.attempts and d.outcome = 'unknown')
        select id::text from settled
        """,
        {
            "now": now,
            "profiles": array(f.profile_id for f in fates),
            "ids": array(f.id for f in fates),
            "statuses": texts(f.status for f in fates),
            "references": texts(f.reference for f in fates),
            "reasons": texts(f.reason for f in fates),
        },
    )
    return {str(row[0]) for row in rows}


def is_due(connection: Connection, provider: str, now: datetime) -> bool:
    """Whether there is anything to ask ``provider`` about."""
    return (
        connection.execute(
            "select from message where status = 'unknown' and provider = %s and look_at <= %s"
            " limit 1",
            [provider, now],
        ).fetchone()
        is not None
    )


def note_taken(
    connection: Connection, provider: str, at: datetime, profile: int, message: str
) -> None:
    """Remember a message that the provider is known to have."""
    connection.execute(
        "insert into known_taken values (%s, %s, %s, %s) on conflict do nothing",
        [provider, at, profile, message],
    )


def taken_after(
    connection: Connection, provider: str, moment: datetime, but: Collection[str]
) -> tuple[str, str] | None:
    """(message id, address) of the first known mail that the provider took after ``moment``, and
    that went to none of the addresses ``but``."""
    row = connection.execute(
        """
        select k.message_id::text, p.traits ->> 'email'
          from known_taken k left join former_profile f on f.id = k.profile_id
          join profile p on p.id = coalesce(f.profile_id, k.profile_id)
         where k.provider = %s and k.at > %s and p.traits ->> 'email' <> ''
           and lower(p.traits ->> 'email') <> all(%s::text[])
         order by k.at limit 1
        """,
        [provider, moment, texts(address.lower() for address in but)],
    ).fetchone()
    return (str(row[0]), str(row[1])) if row else None


def close(
    connection: Connection, handed_before: datetime, now: datetime, words: Mapping[str, str]
) -> list[tuple[int, str]]:
    """Close the messages that were handed over before then and of which nobody knows yet; gives
    their (profile, run). ``words``: by provider the reason, with ``{id}`` for the message's id;
    that under "" holds for all others."""
    rows = connection.execute(
        """
        update message set status = 'unresolved', look_at = null, settled_at = %(now)s,
               reason = replace(coalesce(%(words)s::jsonb ->> provider, %(words)s::jsonb ->> ''),
                                '{id}', id::text)
         where status = 'unknown' and claimed_at < %(before)s
        returning profile_id, enrollment_id::text
        """,
        {"now": now, "before": handed_before, "words": to_json(dict(words))},
    ).fetchall()
    # A mail of so long ago proves nothing of any that is still looked for.
    connection.execute("delete from known_taken where at < %s", [handed_before])
    return [(int(profile), run) for profile, run in rows]


class Counts(NamedTuple):
    """Of unknown outcomes: messages that are still so, those of them that are still looked up,
    those that were closed without an answer, and attempts that a report or a look-up resolved."""

    open: int
    to_look_up: int
    unresolved: int
    resolved: int


def counts(connection: Connection) -> Counts:
    """Reads the whole of the deliveries: for a person, not for a hot path."""
    row = connection.execute(
        """
        select count(*) filter (where status = 'unknown')::int,
               count(*) filter (where status = 'unknown' and look_at is not null)::int,
               count(*) filter (where status = 'unresolved')::int,
               (select count(*) from delivery where settled_by <> '')::int
          from message where status in ('unknown', 'unresolved')
        """
    ).fetchone()
    assert row is not None
    return Counts(*row)
