"""Enrollments, and what the core needs loaded to move them on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.model.enrollment import Enrollment
from engine.store.database import Connection, ids, texts, to_json

_COLUMNS = (
    "id::text, journey, version, profile_id, key, bucket, event_id, entered_at, status, at,"
    " wake_at, waiting_for, visits, live, on_audience, held_out, goal, reason, stopped_by,"
    " ended_at, offer, failing_since"
)


def live(connection: Connection, profiles: list[int]) -> list[Enrollment]:
    """The runs of ``profiles`` that a stop can still reach."""
    rows = connection.execute(
        f"select {_COLUMNS} from enrollment where live and profile_id = any(%s::bigint[])",
        [ids(profiles)],
    )
    return [Enrollment(*row) for row in rows]


def of_journeys(
    connection: Connection, profiles: Iterable[int], journeys: Iterable[str]
) -> list[Enrollment]:
    """All runs of ``profiles`` in ``journeys``, whatever became of them."""
    rows = connection.execute(
        f"select {_COLUMNS} from enrollment"
        " where profile_id = any(%s::bigint[]) and journey = any(%s::text[])",
        [ids(profiles), texts(journeys)],
    )
    return [Enrollment(*row) for row in rows]


def last_runs(
    connection: Connection, places: Iterable[tuple[int, str, str]]
) -> list[tuple[int, str, str, datetime, bool]]:
    """For each (profile, journey, key): when its last run began and whether one is active. That
    need not be the last: a late trigger begins a run in the past."""
    wanted = list(places)
    return connection.execute(
        """
        select t.profile, t.journey, t.key, e.began, e.active
          from unnest(%s::bigint[], %s::text[], %s::text[]) as t(profile, journey, key)
         cross join lateral (
            select max(entered_at) as began, bool_or(status = 'active') as active
              from enrollment e
             where e.profile_id = t.profile and e.journey = t.journey and e.key = t.key) e
         where e.began is not null
        """,
        [ids(w[0] for w in wanted), texts(w[1] for w in wanted), texts(w[2] for w in wanted)],
    ).fetchall()


def history(
    connection: Connection,
    profiles: list[int],
    needs: Mapping[str, timedelta | None],
    now: datetime,
) -> Iterable[tuple[int, str, datetime, str, dict[str, Any]]]:
    """(profile, name, time, id, properties) of the past events named in ``needs``, each as far
    back as its window (None: all)."""
    names = list(needs)
    since = [None if (within := needs[n]) is None else now - within for n in names]
    return connection.execute(
        """
        select e.profile_id, e.name, e.time, e.id, e.properties
          from event e
          join unnest(%s::text[], %s::timestamptz[]) as t(name, since) on t.name = e.name
         where e.profile_id = any(%s::bigint[]) and (t.since is null or e.time >= t.since)
        """,
        [names, since, ids(profiles)],
    )


def triggers(
    connection: Connection, places: Iterable[tuple[int, str]]
) -> Iterable[tuple[int, str, dict[str, Any]]]:
    """(profile, event id, properties and ``event_name``) of the trigger events of runs."""
    wanted = list(places)
    return connection.execute(
        """
        select e.profile_id, e.id, jsonb_build_object('event_name', e.name) || e.properties
          from event e where e.id = any(%s::text[])
        """,
        [texts(event for _, event in wanted)],
    )


def due(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Profiles with a timer that has run out, longest overdue first; at most ``limit`` timers."""
    rows = connection.execute(
        """
        select profile_id from enrollment
         where status = 'active' and wake_at <= %s order by wake_at limit %s
        """,
        [now, limit],
    ).fetchall()
    return list(dict.fromkeys(int(row[0]) for row in rows))


def next_due(connection: Connection, profiles: list[int]) -> datetime | None:
    """When the next timer of ``profiles`` runs out."""
    row = connection.execute(
        """
        select min(wake_at) from enrollment
         where live and status = 'active' and profile_id = any(%s::bigint[])
        """,
        [ids(profiles)],
    ).fetchone()
    return row[0] if row else None


def due_by(connection: Connection, until: Mapping[int, datetime] | datetime) -> list[int]:
    """Profiles with a timer that has run out by ``until``, each by its own where there is one
    for each."""
    if isinstance(until, datetime):
        rows = connection.execute(
            "select distinct profile_id from enrollment where status = 'active' and wake_at <= %s",
            [until],
        )
    else:
        rows = connection.execute(
            """
            select distinct t.id from unnest(%s::bigint[], %s::timestamptz[]) as t(id, until)
              join enrollment e on e.profile_id = t.id
             where e.live and e.status = 'active' and e.wake_at <= t.until
            """,
            [ids(until), list(until.values())],
        )
    return [int(row[0]) for row in rows]


def first_timers(
    connection: Connection, until: Mapping[int, datetime] | datetime
) -> dict[int, datetime]:
    """Profile -> its first timer, where that runs out by ``until``, each by its own where there
    is one for each."""
    if isinstance(until, datetime):
        rows = connection.execute(
            "select profile_id, min(wake_at) from enrollment"
            " where status = 'active' and wake_at <= %s group by 1",
            [until],
        )
    else:
        rows = connection.execute(
            """
            select t.id, min(e.wake_at) from unnest(%s::bigint[], %s::timestamptz[]) as t(id, until)
              join enrollment e on e.profile_id = t.id
             where e.live and e.status = 'active' and e.wake_at <= t.until group by 1
            """,
            [ids(until), list(until.values())],
        )
    return {int(profile): at for profile, at in rows}


def insert(connection: Connection, runs: list[Enrollment], traces: Mapping[str, Any]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            """
            copy enrollment (id, journey, version, profile_id, key, bucket, event_id, entered_at,
                status, at, wake_at, waiting_for, visits, live, on_audience, held_out, goal,
                reason, stopped_by, ended_at, offer, failing_since, trace) from stdin
            """
        ) as copy,
    ):
        for run in runs:
            copy.write_row(
                (
                    run.id,
                    run.journey,
                    run.version,
                    run.profile_id,
                    run.key,
                    run.bucket,
                    run.event_id,
                    run.entered_at,
                    run.status,
                    run.at,
                    run.wake_at,
                    run.waiting_for,
                    run.visits,
                    run.live,
                    run.on_audience,
                    run.held_out,
                    run.goal,
                    run.reason,
                    run.stopped_by,
                    run.ended_at,
                    to_json(run.offer) if run.offer else "{}",
                    run.failing_since,
                    to_json(traces.get(run.id, [])),
                )
            )


def update(connection: Connection, runs: list[Enrollment], traces: Mapping[str, Any]) -> None:
    connection.execute(
        """
        update enrollment e set
            status = t.status, at = t.at, wake_at = t.wake_at, waiting_for = t.waiting_for,
            visits = t.visits, live = t.live, on_audience = t.on_audience, goal = t.goal,
            reason = t.reason, stopped_by = t.stopped_by, ended_at = t.ended_at, offer = t.offer,
            failing_since = t.failing_since, trace = e.trace || coalesce(n.trace, '[]')
          from json_to_recordset(%s::json) as t(profile_id bigint, id uuid, status text, at text,
                   wake_at timestamptz, waiting_for text, visits int, live bool,
                   on_audience bool, goal bool, reason text, stopped_by text,
                   ended_at timestamptz, offer jsonb, failing_since timestamptz)
          left join (select key::uuid as id, value as trace from jsonb_each(%s::jsonb)) n
                 using (id)
         where e.profile_id = t.profile_id and e.id = t.id
        """,
        [to_json(runs), to_json({r.id: traces[r.id] for r in runs if r.id in traces})],
    )


def release(connection: Connection, profiles: list[int], runs: list[str]) -> None:
    """Let go of finished runs that have nothing left for a stop to reach. A message that is still
    looked up may turn out never to have gone, and be due again."""
    connection.execute(
        """
        update enrollment e set live = false
         where e.profile_id = any(%s::bigint[]) and e.id = any(%s::uuid[])
           and e.live and e.status = 'finished' and not e.on_audience
           and not exists (
                select 1 from message m
                 where m.profile_id = e.profile_id and m.enrollment_id = e.id
                   and (m.status in ('due', 'claimed')
                        or (m.status = 'unknown' and m.look_at is not null)))
        """,
        [ids(profiles), ids(runs)],
    )


def stand_still(connection: Connection, profiles: list[tuple[int, str]], now: datetime) -> None:
    """Stop the timers of (profile, reason) that failed, so that they hold up nobody else; the
    reason is on the run, where it can be seen and the run be woken again."""
    connection.execute(
        """
        update enrollment e set wake_at = null, reason = t.reason
          from unnest(%s::bigint[], %s::text[]) as t(profile_id, reason)
         where e.profile_id = t.profile_id and e.status = 'active' and e.wake_at <= %s
        """,
        [ids(id for id, _ in profiles), texts(why for _, why in profiles), now],
    )
