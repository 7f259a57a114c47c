"""Claiming messages for their provider, and putting aside those whose journey is paused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array
from engine.store.lanes import FENCE


class Carrier(NamedTuple):
    """Who is to carry a message, and by what its list tells it again (engine.ports.LooksUp)."""

    provider: str
    trace: str = ""


NOBODY = Carrier("")


def claim(
    connection: Connection,
    claims: Sequence[tuple[int, str, Carrier]],
    now: datetime | None,
    bases: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Claim messages (profile, id, carrier) for one attempt each, unless the fence holds their
    shopper or their journey or provider has been paused; gives id -> attempt number. ``now`` None
    (event-time replay): each is claimed at the time it is due. ``bases``: by topic, why the law
    lets it go, which is kept with the message.

    Fence and claim are one statement, so one snapshot, and that snapshot is kept with the
    message: the audit holds it against the transactions that accepted stop events, which no
    clock could settle (P3).
    """
    rows = connection.execute(
        f"""
        with held as ({FENCE}),
        claimed as (
            update message m set status = 'claimed', attempts = attempts + 1, reason = '',
                   claimed_at = coalesce(%(now)s::timestamptz, due_at),
                   gate_snapshot = pg_current_snapshot(), provider = t.provider,
                   basis = coalesce(%(bases)s::jsonb ->> m.topic, '')
              from unnest(%(profiles)s::bigint[], %(ids)s::uuid[], %(providers)s::text[],
                          %(traces)s::text[]) as t(profile_id, id, provider, trace)
             where m.profile_id = t.profile_id and m.id = t.id and m.status = 'due'
               and not exists (select 1 from held where held.profile_id = m.profile_id)
               and not exists (
                    select 1 from pause p where p.resumed_at is null
                       and p.subject in ('journey:' || m.journey, 'provider:' || t.provider))
            returning m.profile_id, m.id, m.attempts, m.claimed_at, t.provider, t.trace),
        noted as (
            insert into delivery (profile_id, message_id, attempt, handed_at, provider, trace)
            select profile_id, id, attempts, claimed_at, provider, trace from claimed)
        select id::text, attempts from claimed
        """,
        {
            "now": now,
            "bases": to_json(bases or {}),
            "profiles": array(profile for profile, _, _ in claims),
            "ids": array(id for _, id, _ in claims),
            "providers": texts(carrier.provider for _, _, carrier in claims),
            "traces": texts(carrier.trace for _, _, carrier in claims),
        },
    )
    return {str(row[0]): int(row[1]) for row in rows}


def hold(connection: Connection, messages: Iterable[tuple[int, str]], journey: str) -> None:
    """Put aside messages (profile, id) whose journey is paused, until it is resumed. The pause is
    locked meanwhile: whoever resumes it lets go of these too."""
    rows = list(messages)
    connection.execute(
        """
        with paused as (
            select reason from pause
             where subject = 'journey:' || %(journey)s and resumed_at is null for share)
        update message m set held = %(journey)s, reason = 'journey paused: ' || paused.reason
          from unnest(%(profiles)s::bigint[], %(ids)s::uuid[]) as t(profile_id, id), paused
         where m.profile_id = t.profile_id and m.id = t.id and m.status = 'due'
        """,
        {
            "journey": journey,
            "profiles": array(profile for profile, _ in rows),
            "ids": array(id for _, id in rows),
        },
    )
