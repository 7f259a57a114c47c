"""Which journey versions are live, and the runs that a change of them meets.

A set of live versions is written whole and never changed: the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from engine.model.enrollment import Enrollment
from engine.model.profile import Profile
from engine.store.database import Connection, ids, texts, to_json
from engine.store.profiles import PROFILE_COLUMNS, profile_of

#: Taken by whoever applies, so that two of them come one after the other. Any fixed number does.
_LOCK = 0x77696E62
#: Runs fetched at a time: some MB at most.
FETCH = 2000


class LiveSet(NamedTuple):
    """``versions`` by journey, unless the newest set says to follow the files. ``origin`` is the
    set whose content this is: itself, or the one that a rollback went back to."""

    id: int
    applied_at: datetime
    applied_by: str
    origin: int
    follows_files: bool
    versions: dict[str, str]
    since: dict[str, tuple[datetime, str]]


def stamp(connection: Connection) -> int | None:
    """The newest set; None where the journeys are the files. Asked every second."""
    row = connection.execute(
        "select id, follows_files from live_set order by id desc limit 1"
    ).fetchone()
    return None if row is None or row[1] else int(row[0])


def newest(connection: Connection) -> LiveSet | None:
    """The newest set, None before the first."""
    return _read(connection, "select * from live_set order by id desc limit 1", [])


def of(connection: Connection, id: int) -> LiveSet | None:
    """The set ``id``."""
    return _read(connection, "select * from live_set where id = %s", [id])


def before(connection: Connection, current: LiveSet) -> LiveSet | None:
    """What a rollback of ``current`` goes back to: the set before the one that it has its
    content from, so that a second rollback goes one further back."""
    query = "select * from live_set where id < %s and not follows_files order by id desc limit 1"
    return _read(connection, query, [current.origin])


def _read(connection: Connection, query: Any, parameters: list[Any]) -> LiveSet | None:
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        return None
    rows = connection.execute(
        "select journey, version, since, by from live_version where live_set = %s", [row[0]]
    ).fetchall()
    versions = {str(r[0]): str(r[1]) for r in rows}
    since = {str(r[0]): (r[2], str(r[3])) for r in rows}
    return LiveSet(int(row[0]), row[1], str(row[2]), int(row[3]), bool(row[4]), versions, since)


def lock(connection: Connection) -> None:
    """Until the transaction ends nobody else applies."""
    connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])


def write(
    connection: Connection,
    versions: Mapping[str, str],
    now: datetime,
    by: str,
    *,
    origin: int | None = None,
    follows_files: bool = False,
) -> int:
    """Make ``versions`` the live set; gives its id. A version that was live stays so since then."""
    last = newest(connection)
    row = connection.execute(
        """
        insert into live_set (applied_at, applied_by, origin, follows_files)
        values (%s, %s, 0, %s) returning id
        """,
        [now, by, follows_files],
    ).fetchone()
    assert row is not None
    id = int(row[0])
    connection.execute("update live_set set origin = %s where id = %s", [origin or id, id])
    kept = last.since if last and not last.follows_files else {}
    old = last.versions if last else {}
    since = [kept[n] if n in kept and old[n] == v else (now, by) for n, v in versions.items()]
    connection.execute(
        """
        insert into live_version (live_set, journey, version, since, by)
        select %s, * from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[])
        """,
        [id, list(versions), list(versions.values()), [s[0] for s in since], [s[1] for s in since]],
    )
    return id


def in_flight(connection: Connection, journeys: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many runs are active on each version of ``journeys``."""
    found: dict[str, dict[str, int]] = {}
    for journey, version, count in connection.execute(
        """
        select journey, version, count(*) from enrollment
         where status = 'active' and journey = any(%s::text[]) group by 1, 2 order by 3 desc, 2
        """,
        [texts(journeys)],
    ):
        found.setdefault(str(journey), {})[str(version)] = int(count)
    return found


class Waiting(NamedTuple):
    """An active run; ``since``, when it began to wait where it waits, None where its trace does
    not say; ``touched``: an event named in ``stops`` lies after its start."""

    run: Enrollment
    since: datetime | None
    touched: bool


_RUNS = (
    "r.id::text, r.journey, r.version, r.profile_id, r.key, r.bucket, r.event_id, r.entered_at,"
    " r.status, r.at, r.wake_at, r.waiting_for, r.visits, r.live, r.on_audience, r.held_out,"
    " r.goal, r.reason, r.stopped_by, r.ended_at"
)


def places(connection: Connection, journeys: Sequence[str]) -> list[tuple[str, str, str, int]]:
    """(journey, version, where they wait, how many) of the runs under way that get something."""
    return connection.execute(
        """
        select journey, version, at, count(*) from enrollment
         where status = 'active' and wake_at is not null and not held_out
           and journey = any(%s::text[])
         group by journey, version, at order by journey, version, at
        """,
        [texts(journeys)],
    ).fetchall()


def waiting(
    connection: Connection,
    versions: Iterable[tuple[str, str]],
    stops: Iterable[tuple[str, str, str]],
    *,
    locked: Sequence[str] | None = None,
) -> Iterator[list[Waiting]]:
    """The active runs of these (journey, version)s, some thousand at a time, as they are when the
    first are asked for; of the journeys ``locked`` only those whose shoppers ``lock_shoppers``
    holds. ``stops``: (journey, version, event name)."""
    held = ""
    if locked is not None:
        held = """and (r.journey <> all(%(locked)s::text[])
                    or r.profile_id in (select id from locked_shopper))"""
    chosen, named = list(versions), list(stops)
    with connection.cursor(name="in_flight") as cursor:
        cursor.execute(
            f"""
            select {_RUNS},
                   (jsonb_path_query_array(r.trace, 'strict $[*] ? (@[1] == "waits")')
                    -> -1 ->> 3)::timestamptz,
                   exists (select 1
                             from unnest(%(stop_journeys)s::text[], %(stop_versions)s::text[],
                                         %(stop_names)s::text[]) as s(journey, version, name)
                             join event e on e.profile_id = r.profile_id and e.name = s.name
                              and (e.time, e.id collate "C") > (r.entered_at, r.event_id)
                            where s.journey = r.journey and s.version = r.version)
              from enrollment r
              join unnest(%(journeys)s::text[], %(versions)s::text[]) as v(journey, version)
                on v.journey = r.journey and v.version = r.version
             where r.status = 'active' {held} order by r.profile_id, r.id
            """.encode(),
            {
                "locked": list(locked or ()),
                "journeys": [journey for journey, _ in chosen],
                "versions": [version for _, version in chosen],
                "stop_journeys": [journey for journey, _, _ in named],
                "stop_versions": [version for _, version, _ in named],
                "stop_names": [name for _, _, name in named],
            },
        )
        while rows := cursor.fetchmany(FETCH):
            yield [Waiting(Enrollment(*row[:-2]), row[-2], bool(row[-1])) for row in rows]


def lock_shoppers(connection: Connection, versions: Iterable[tuple[str, str]]) -> int:
    """Lock the shoppers who have active runs of these (journey, version)s, in the order in which
    workers lock them, until the transaction ends; gives how many. Nobody else moves their runs
    then. Their ids are in the temporary table ``locked_shopper``: a run that begins after this
    look belongs to none of them."""
    chosen = list(versions)
    connection.execute("create temporary table locked_shopper (id bigint) on commit drop")
    return connection.execute(
        """
        insert into locked_shopper
        select p.id from profile p
         where p.id in (
               select r.profile_id from enrollment r
                 join unnest(%s::text[], %s::text[]) as v(journey, version)
                   on v.journey = r.journey and v.version = r.version
                where r.status = 'active')
         order by p.id for update
        """,
        [texts(journey for journey, _ in chosen), texts(version for _, version in chosen)],
    ).rowcount


def profiles(connection: Connection, wanted: Iterable[int]) -> dict[int, Profile]:
    """The profiles, not locked."""
    rows = connection.execute(
        f"select {PROFILE_COLUMNS} from profile p where p.id = any(%s::bigint[])".encode(),
        [ids(wanted)],
    )
    return {int(row[0]): profile_of(row) for row in rows}


class Move(NamedTuple):
    """Where a run stands from now on, and the ``mark`` that its trace gets."""

    profile_id: int
    id: str
    version: str
    at: str | None
    wake_at: datetime | None
    waiting_for: str
    mark: Any


def move(connection: Connection, moves: list[Move]) -> None:
    """Put runs onto another version."""
    rows = [{**m._asdict(), "mark": [m.mark]} for m in moves]
    connection.execute(
        """
        update enrollment e set version = t.version, at = t.at, wake_at = t.wake_at,
               waiting_for = t.waiting_for, trace = e.trace || t.mark
          from json_to_recordset(%s::json) as t(profile_id bigint, id uuid, version text, at text,
                   wake_at timestamptz, waiting_for text, mark jsonb)
         where e.profile_id = t.profile_id and e.id = t.id and e.status = 'active'
        """,
        [to_json(rows)],
    )


class Leave(NamedTuple):
    """A run that ends because its journey was edited."""

    profile_id: int
    id: str
    reason: str
    mark: Any


def leave(connection: Connection, leaves: list[Leave], now: datetime) -> None:
    """End runs: what they still meant to send is cancelled, their audience places given back."""
    rows = [{**one._asdict(), "mark": [one.mark]} for one in leaves]
    connection.execute(
        """
        with gone as (
            update enrollment e set status = 'finished', wake_at = null, waiting_for = '',
                   live = false, reason = t.reason, ended_at = %(now)s, trace = e.trace || t.mark
              from json_to_recordset(%(rows)s::json)
                       as t(profile_id bigint, id uuid, reason text, mark jsonb)
             where e.profile_id = t.profile_id and e.id = t.id and e.status = 'active'
            returning e.profile_id, e.id, e.reason),
        off as (
            update audience_member m set wanted = false, changed_at = %(now)s
              from gone where m.profile_id = gone.profile_id and m.enrollment_id = gone.id
               and m.wanted)
        update message m set status = 'cancelled', reason = gone.reason, settled_at = %(now)s
          from gone where m.profile_id = gone.profile_id and m.enrollment_id = gone.id
           and m.status = 'due'
        """,
        {"now": now, "rows": to_json(rows)},
    )


def busiest_day(
    connection: Connection, names: Sequence[str], now: datetime, within: timedelta
) -> dict[str, tuple[int, int]]:
    """For each event name the most (events, shoppers) in any of the days, counted back from
    ``now``, of the time ``within``."""
    rows = connection.execute(
        """
        select name, max(events), max(shoppers)
          from (select name, floor(extract(epoch from %(now)s - time) / 86400) as day,
                       count(*) as events, count(distinct profile_id) as shoppers
                  from event where name = any(%(names)s::text[]) and time > %(since)s
                 group by 1, 2) days
         group by 1
        """,
        {"now": now, "names": texts(names), "since": now - within},
    )
    return {str(name): (int(events), int(shoppers)) for name, events, shoppers in rows}


def shoppers(connection: Connection) -> int:
    """How many profiles there are."""
    row = connection.execute("select count(*) from profile").fetchone()
    return int(row[0]) if row else 0


def ever(connection: Connection) -> list[tuple[str, str, str]]:
    """(journey, version, YAML) of every version that was ever in force here."""
    rows = connection.execute("select journey, version, source from journey_version").fetchall()
    return [(str(r[0]), str(r[1]), str(r[2])) for r in rows]


def unknown(connection: Connection, known: Sequence[tuple[str, str]]) -> int:
    """Runs of journey versions other than the ``known``."""
    row = connection.execute(
        """
        select count(*) from enrollment e where not exists (
            select from unnest(%s::text[], %s::text[]) as k(journey, version)
             where k.journey = e.journey and k.version = e.version)
        """,
        [[journey for journey, _ in known], [version for _, version in known]],
    ).fetchone()
    return int(row[0]) if row else 0
