"""What runs say about audiences: who is wanted on, and who no longer."""

from __future__ import annotations

from datetime import datetime

from engine.store.database import Connection, ids


def change(
    connection: Connection, changes: list[tuple[int, str, str, bool]], now: datetime
) -> None:
    """Record (profile, audience, run, wanted); the last word of a run about an audience stands."""
    latest = {(p, audience, run): wanted for p, audience, run, wanted in changes}
    connection.execute(
        """
        insert into audience_member as m (profile_id, audience, enrollment_id, wanted, changed_at)
        select t.*, %s from unnest(%s::bigint[], %s::text[], %s::uuid[], %s::bool[]) as t
        on conflict (profile_id, audience, enrollment_id) do update set
            wanted = excluded.wanted, changed_at = excluded.changed_at
         where m.wanted <> excluded.wanted
        """,
        [
            now,
            [place[0] for place in latest],
            [place[1] for place in latest],
            [place[2] for place in latest],
            list(latest.values()),
        ],
    )


def take_off(connection: Connection, profiles: list[int], runs: list[str], now: datetime) -> int:
    """Give back the places that stopped runs held; gives how many (P3)."""
    return connection.execute(
        """
        update audience_member set wanted = false, changed_at = %s
         where profile_id = any(%s::bigint[]) and enrollment_id = any(%s::uuid[]) and wanted
        """,
        [now, ids(profiles), ids(runs)],
    ).rowcount
