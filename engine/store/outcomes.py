"""How attempts at messages went, and what is done when nobody can say."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from engine.store import runs as runs_store
from engine.store.database import Connection, texts
from engine.store.database import ids as array


class Result(NamedTuple):
    """How one attempt went. ``status`` is the message's new one; ``outcome`` the delivery's.
    ``look_at``: when an unknown one is looked up."""

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
    look_at: datetime | None = None


def settle(connection: Connection, results: list[Result]) -> dict[str, int]:
    """Record how attempts went; gives message id -> profile.

    Where the shopper was merged while the provider was called, the message has moved to another
    profile. It is looked for there, by the few that are claimed: else a message that was sent
    would end as unknown, or be sent again where the step says ``on_unknown: retry`` (P4).
    """
    return _wherever(connection, results, _settle)


def put_back(connection: Connection, results: list[Result]) -> dict[str, int]:
    """Messages whose attempt failed for no fault of theirs: they are due as if it had not been.
    Gives message id -> profile. An attempt that was given up meanwhile is recorded as refused."""
    back = _wherever(connection, results, _put_back)
    rest = [r for r in results if r.id not in back]
    if rest:
        connection.execute(
            """
            update delivery d set outcome = 'refused', detail = t.reason, settled_at = t.settled_at
              from unnest(%s::uuid[], %s::int[], %s::text[], %s::timestamptz[])
                as t(id, attempt, reason, settled_at)
             where d.message_id = t.id and d.attempt = t.attempt
               and d.profile_id = any(%s::bigint[])
            """,
            [
                array(r.id for r in rest),
                [r.attempt for r in rest],
                texts(r.reason for r in rest),
                [r.settled_at for r in rest],
                array(r.profile_id for r in rest),
            ],
        )
    return back


def _wherever(
    connection: Connection,
    results: list[Result],
    write: Callable[[Connection, list[Result]], dict[str, int]],
) -> dict[str, int]:
    written = write(connection, results)
    moved = [result for result in results if result.id not in written]
    if moved:
        rows = connection.execute(
            "select id::text, profile_id from message where status = 'claimed'"
            " and id = any(%s::uuid[])",
            [array(result.id for result in moved)],
        )
        now_at = {str(id): int(profile) for id, profile in rows}
        found = [r._replace(profile_id=now_at[r.id]) for r in moved if r.id in now_at]
        if found:
            written |= write(connection, found)
    return written


def _put_back(connection: Connection, results: list[Result]) -> dict[str, int]:
    rows = connection.execute(
        """
        with t as (
            select * from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::text[], %s::timestamptz[])
                as t(profile_id, id, attempt, reason, due_at)),
        back as (
            update message m set status = 'due', reason = t.reason, attempts = m.attempts - 1,
                   due_at = coalesce(t.due_at, m.due_at), settled_at = null, look_at = null,
                   claimed_at = case when m.attempts = 1 then null else m.claimed_at end
              from t where m.profile_id = t.profile_id and m.id = t.id
               and m.attempts = t.attempt and m.status in ('claimed', 'unknown')
            returning m.id, m.profile_id, t.attempt),
        gone as (
            delete from delivery d using back
             where d.profile_id = back.profile_id and d.message_id = back.id
               and d.attempt = back.attempt)
        select id::text, profile_id from back
        """,
        [
            array(r.profile_id for r in results),
            array(r.id for r in results),
            [r.attempt for r in results],
            texts(r.reason for r in results),
            [r.due_at for r in results],
        ],
    )
    return {str(id): int(profile) for id, profile in rows}


def _settle(connection: Connection, results: list[Result]) -> dict[str, int]:
    arrays: list[list[Any]] = [list(column) for column in zip(*results, strict=True)]
    rows = connection.execute(
        """
        with t as (
            select * from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::text[], %s::text[],
                %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[],
                %s::text[], %s::timestamptz[])
                as t(profile_id, id, attempt, status, outcome, reason, due_at, handed_at,
                     settled_at, provider, reference, look_at)),
        noted as (
            update delivery d set outcome = t.outcome, detail = t.reason,
                   handed_at = t.handed_at, settled_at = t.settled_at
              from t where d.profile_id = t.profile_id and d.message_id = t.id
               and d.attempt = t.attempt)
        update message m set status = t.status, reason = t.reason, handed_at = t.handed_at,
               due_at = coalesce(t.due_at, m.due_at), provider = t.provider,
               reference = t.reference, look_at = t.look_at, looks = 0,
               settled_at = case when t.status = 'due' then null else t.settled_at end
          from t where m.profile_id = t.profile_id and m.id = t.id and m.attempts = t.attempt
        returning m.id::text, m.profile_id
        """,
        arrays,
    )
    return {str(id): int(profile) for id, profile in rows}


def abandoned(
    connection: Connection,
    before: datetime,
    now: datetime,
    *,
    tries: int,
    pause: timedelta,
    listing: Collection[str] = (),
    limit: int = 1000,
) -> list[tuple[int, str]]:
    """Messages whose worker died after the claim, as (profile, id): whether the provider has them
    nobody knows, so they become ``unknown``, and are looked up after ``pause`` at the providers
    that are ``listing`` what they have; or due again where the step says ``on_unknown: retry``
    (P4), up to so many ``tries``, each ``pause`` twice the one before."""
    rows = connection.execute(
        """
        with lost as (
            select profile_id, id, attempts, on_unknown = 'retry' and attempts < %(tries)s as again,
                   %(pause)s * power(2, attempts - 1) as pause
              from message
             where status = 'claimed' and claimed_at < %(before)s
             limit %(limit)s for update skip locked),
        noted as (
            update delivery d set outcome = 'unknown', settled_at = %(now)s,
                   detail = 'the worker died before the answer'
              from lost where d.profile_id = lost.profile_id and d.message_id = lost.id
               and d.attempt = lost.attempts and d.outcome is null)
        update message m set
               status = case when not lost.again then 'unknown'
                             when r.status in ('stopped', 'merged') then 'cancelled'
                             else 'due' end,
               due_at = case when lost.again then %(now)s + lost.pause else m.due_at end,
               settled_at = case when lost.again then null else %(now)s::timestamptz end,
               look_at = case when not lost.again and m.provider = any(%(listing)s::text[])
                              then %(now)s + %(pause)s end, looks = 0,
               reason = case when lost.again and r.status in ('stopped', 'merged') then r.status
                             else 'the worker died before the answer' end
          from lost join enrollment r using (profile_id)
         where m.profile_id = lost.profile_id and m.id = lost.id and r.id = m.enrollment_id
        returning m.profile_id, m.id::text
        """,
        {
            "before": before,
            "now": now,
            "tries": tries,
            "pause": pause,
            "listing": texts(listing),
            "limit": limit,
        },
    ).fetchall()
    return [(int(profile), id) for profile, id in rows]


def settle_unknown(connection: Connection, reports: list[tuple[str, str]], now: datetime) -> None:
    """Settle unknown outcomes by what the provider reported: (message id, status). Also of
    messages that wait to be tried again: what has arrived must not be sent a second time."""
    rows = connection.execute(
        """
        with t as (select * from unnest(%(ids)s::text[], %(statuses)s::text[]) as t(id, status)),
        settled as (
            update message m set status = t.status, reason = 'by the provider''s report',
                   settled_at = %(now)s, look_at = null
              from t where m.id::text = t.id
               and (m.status in ('unknown', 'unresolved')
                    or (m.status = 'due' and m.on_unknown = 'retry' and m.attempts > 0))
               and exists (
                    select from delivery d where d.profile_id = m.profile_id
                       and d.message_id = m.id and d.outcome = 'unknown')
            returning m.profile_id, m.id, m.status, m.enrollment_id),
        noted as (
            update delivery d set settled_by = 'report',
                   outcome = case when s.status = 'sent' then 'accepted' else 'refused' end
              from settled s where d.profile_id = s.profile_id and d.message_id = s.id
               and d.outcome = 'unknown')
        select profile_id, enrollment_id::text from settled
        """,
        {"now": now, "ids": texts(r[0] for r in reports), "statuses": texts(r[1] for r in reports)},
    ).fetchall()
    if rows:
        runs_store.release(connection, [row[0] for row in rows], [row[1] for row in rows])


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
