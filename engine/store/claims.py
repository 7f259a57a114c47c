"""Claiming messages for their provider, and putting aside those whose journey or sender
is paused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.model.message import Message
from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array
from engine.store.lanes import FENCE


class Carrier(NamedTuple):
    """Who is to carry a message, by what its list tells it again (engine.ports.LooksUp), and the
    address or number that it comes from."""

    provider: str
    trace: str = ""
    sender: str = ""


NOBODY = Carrier("")


def claim(
    connection: Connection,
    claims: Sequence[tuple[int, str, Carrier]],
    now: datetime | None,
    bases: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Claim messages (profile, id, carrier) for one attempt each, unless the fence holds their
    shopper or their journey, provider or sender has been paused; gives id -> attempt number.
    ``now`` None (event-time replay): each is claimed at the time it is due. ``bases``: by topic,
    why the law lets it go, which is kept with the message.

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
                   sender = t.sender,
                   basis = coalesce(%(bases)s::jsonb ->> m.topic, '')
              from unnest(%(profiles)s::bigint[], %(ids)s::uuid[], %(providers)s::text[],
                          %(traces)s::text[], %(senders)s::text[])
                as t(profile_id, id, provider, trace, sender)
             where m.profile_id = t.profile_id and m.id = t.id and m.status = 'due'
               and not exists (select 1 from held where held.profile_id = m.profile_id)
               and not exists (
                    select 1 from pause p where p.resumed_at is null
                       and p.subject in ('journey:' || m.journey, 'provider:' || t.provider,
                                         'sender:' || t.sender))
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
            "senders": texts(carrier.sender for _, _, carrier in claims),
        },
    )
    return {str(row[0]): int(row[1]) for row in rows}


def hold(connection: Connection, messages: Iterable[Message], subject: str) -> None:
    """Put aside ``messages`` of a paused journey or sender (``subject`` as of a pause),
    until it is resumed. The pause is locked meanwhile: whoever resumes it lets go of these too."""
    rows = list(messages)
    connection.execute(
        """
        with paused as (
            select reason from pause where subject = %(subject)s and resumed_at is null for share)
        update message m set held = %(held)s, reason = %(kind)s || ' paused: ' || paused.reason
          from unnest(%(profiles)s::bigint[], %(ids)s::uuid[]) as t(profile_id, id), paused
         where m.profile_id = t.profile_id and m.id = t.id and m.status = 'due'
        """,
        {
            "subject": subject,
            "held": held_by(subject),
            "kind": subject.partition(":")[0],
            "profiles": array(message.profile_id for message in rows),
            "ids": array(message.id for message in rows),
        },
    )


def held_by(subject: str) -> str:
    """What a message says that a pause holds: a journey's name, or ``sender:NAME``."""
    return subject.removeprefix("journey:")
