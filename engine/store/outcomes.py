"""How attempts at messages went, and what is done when nobody can say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from engine.store.database import Connection, texts
from engine.store.database import ids as array


class Result(NamedTuple):
    """How one attempt went. ``status`` is the message's new one; ``outcome`` the delivery's."""

    profile_id: int
    id: str
    attempt: int
    status: str
    outcome: str
    reason: str
    due_at: datetime | None
    handed_at: datetime
    settled_at: datetime
    provider: str
    reference: str


def settle(connection: Connection, results: list[Result]) -> dict[str, int]:
    """Record how attempts went; gives message id -> profile.

    Where the shopper was merged while the provider was called, the message has moved to another
    profile. It is looked for there, by the few that are claimed: else a message that was sent
    would end as unknown, or be sent again where the step says ``on_unknown: retry`` (P4).
    """
    settled = _settle(connection, results)
    moved = [result for result in results if result.id not in settled]
    if moved:
        rows = connection.execute(
            "select id::text, profile_id from message where status = 'claimed'"
            " and id = any(%s::uuid[])",
            [array(result.id for result in moved)],
        )
        now_at = {str(id): int(profile) for id, profile in rows}
        found = [r._replace(profile_id=now_at[r.id]) for r in moved if r.id in now_at]
        if found:
            settled |= _settle(connection, found)
    return settled


def _settle(connection: Connection, results: list[Result]) -> dict[str, int]:
    arrays: list[list[Any]] = [list(column) for column in zip(*results, strict=True)]
    rows = connection.execute(
        """
        with t as (
            select * from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::text[], %s::text[],
                %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[],
                %s::text[])
                as t(profile_id, id, attempt, status, outcome, reason, due_at, handed_at,
                     settled_at, provider, reference)),
        noted as (
            update delivery d set outcome = t.outcome, detail = t.reason,
                   handed_at = t.handed_at, settled_at = t.settled_at
              from t where d.profile_id = t.profile_id and d.message_id = t.id
               and d.attempt = t.attempt)
        update message m set status = t.status, reason = t.reason, handed_at = t.handed_at,
               due_at = coalesce(t.due_at, m.due_at), provider = t.provider,
               reference = t.reference,
               settled_at = case when t.status = 'due' then null else t.settled_at end
          from t where m.profile_id = t.profile_id and m.id = t.id and m.attempts = t.attempt
        returning m.id::text, m.profile_id
        """,
        arrays,
    )
    return {str(id): int(profile) for id, profile in rows}


def abandoned(connection: Connection, before: datetime, now: datetime, limit: int = 1000) -> int:
    """Messages whose worker died after the claim: whether the provider has them nobody knows, so
    they become ``unknown``, or due again where the step says ``on_unknown: retry`` (P4)."""
    return connection.execute(
        """
        with lost as (
            select profile_id, id, attempts from message
             where status = 'claimed' and claimed_at < %(before)s
             limit %(limit)s for update skip locked),
        noted as (
            update delivery d set outcome = 'unknown', settled_at = %(now)s,
                   detail = 'the worker died before the answer'
              from lost where d.profile_id = lost.profile_id and d.message_id = lost.id
               and d.attempt = lost.attempts and d.outcome is null)
        update message m set
               status = case when on_unknown = 'retry' then 'due' else 'unknown' end,
               reason = 'the worker died before the answer', settled_at = %(now)s
          from lost where m.profile_id = lost.profile_id and m.id = lost.id
        """,
        {"before": before, "now": now, "limit": limit},
    ).rowcount


def settle_unknown(connection: Connection, reports: list[tuple[str, str]], now: datetime) -> None:
    """Settle unknown outcomes by what the provider reported: (message id, status)."""
    connection.execute(
        """
        update message m set status = t.status, reason = 'by the provider''s report',
               settled_at = %s
          from unnest(%s::text[], %s::text[]) as t(id, status)
         where m.id::text = t.id and m.status = 'unknown'
        """,
        [now, texts(r[0] for r in reports), texts(r[1] for r in reports)],
    )


def suppress(connection: Connection, addresses: list[tuple[str, str, str]], at: datetime) -> None:
    """Block (address, channel, reason) for good."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into suppression (address, channel, reason, at) values (%s, %s, %s, %s)
            on conflict do nothing
            """,
            [(*entry, at) for entry in addresses],
        )
