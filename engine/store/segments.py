"""Where shoppers stand in the segments: the rows of a batch, and who is next by time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from engine.store.database import Connection, ids, texts


class InForce(NamedTuple):
    """A segment as all workers decide it; ``place``: see the table."""

    name: str
    version: str
    source: str
    scored: bool
    scale: dict[str, Any] | None
    place: int | None
    quiet: bool


class Row(NamedTuple):
    """Where a shopper stands; see the table."""

    profile_id: int
    segment: str
    member: bool
    since: datetime | None
    look_at: datetime | None


class Day(NamedTuple):
    """Who came and went on one day of the shop; ``other`` by a new definition, merge or repair."""

    segment: str
    day: date
    entered: int
    left: int
    other: int


def in_force(connection: Connection) -> list[InForce]:
    """Every segment that is kept up to date. Read it after the shoppers are locked: a search that
    was past one of them has then been written."""
    rows = connection.execute(
        "select name, version, source, scored, scale, place, quiet from segment where version <> ''"
    )
    return [InForce(*row) for row in rows]


def standings(
    connection: Connection,
    profiles: Iterable[int],
    segments: Iterable[str],
    before: datetime | None,
) -> list[Row]:
    """The rows of ``profiles`` in ``segments``, and those to be looked at by ``before``."""
    rows = connection.execute(
        """
        select profile_id, segment, member, since, look_at from segment_member
         where profile_id = any(%s::bigint[]) and (segment = any(%s::text[]) or look_at <= %s)
        """,
        [ids(profiles), texts(segments), before],
    )
    return [Row(*row) for row in rows]


def write(connection: Connection, rows: list[Row]) -> None:
    """Write rows, at most one for each shopper and segment."""
    connection.execute(
        """
        insert into segment_member (profile_id, segment, member, since, look_at)
        select * from unnest(%s::bigint[], %s::text[], %s::bool[], %s::timestamptz[],
                             %s::timestamptz[])
        on conflict (profile_id, segment) do update set
            member = excluded.member, since = excluded.since, look_at = excluded.look_at
        """,
        [
            ids(row.profile_id for row in rows),
            texts(row.segment for row in rows),
            [row.member for row in rows],
            [row.since for row in rows],
            [row.look_at for row in rows],
        ],
    )


def look_at(connection: Connection, places: Iterable[tuple[int, str]], moment: datetime) -> None:
    """Have each (profile, segment) looked at by that moment."""
    some = sorted(set(places))
    if some:
        connection.execute(
            """
            insert into segment_member as m (profile_id, segment, member, look_at)
            select t.profile, t.segment, false, %s
              from unnest(%s::bigint[], %s::text[]) as t(profile, segment)
            on conflict (profile_id, segment) do update set
                look_at = least(m.look_at, excluded.look_at)
            """,
            [moment, ids(profile for profile, _ in some), texts(name for _, name in some)],
        )


def count(connection: Connection, writer: str, days: Iterable[Day]) -> None:
    """Add to the days. No other transaction may be counting for ``writer``."""
    some = sorted(days)
    connection.execute(
        """
        insert into segment_day as d (segment, day, writer, entered, "left", other)
        select segment, day, %s, entered, gone, other
          from unnest(%s::text[], %s::date[], %s::int[], %s::int[], %s::int[])
            as t(segment, day, entered, gone, other)
        on conflict (segment, day, writer) do update set
            entered = d.entered + excluded.entered, "left" = d."left" + excluded."left",
            other = d.other + excluded.other
        """,
        [
            writer,
            texts(one.segment for one in some),
            [one.day for one in some],
            [one.entered for one in some],
            [one.left for one in some],
            [one.other for one in some],
        ],
    )


def due(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Profiles to be looked at by ``now``, longest due first; at most ``limit`` looks."""
    rows = connection.execute(
        """
        select profile_id from segment_member where look_at <= %s order by look_at limit %s
        """,
        [now, limit],
    ).fetchall()
    return list(dict.fromkeys(int(row[0]) for row in rows))


def first_looks(
    connection: Connection, until: Mapping[int, datetime] | datetime
) -> dict[int, datetime]:
    """Profile -> when it is to be looked at first, where that is by ``until``, each by its own
    where there is one for each."""
    if isinstance(until, datetime):
        rows = connection.execute(
            "select profile_id, min(look_at) from segment_member where look_at <= %s group by 1",
            [until],
        )
    else:
        rows = connection.execute(
            """
            select t.id, min(m.look_at) from unnest(%s::bigint[], %s::timestamptz[]) as t(id, until)
              join segment_member m on m.profile_id = t.id
             where m.look_at <= t.until group by 1
            """,
            [ids(until), list(until.values())],
        )
    return {int(profile): at for profile, at in rows}


def looks_due(connection: Connection, now: datetime) -> bool:
    """Whether anybody is to be looked at."""
    query = "select 1 from segment_member where look_at <= %s limit 1"
    return connection.execute(query, [now]).fetchone() is not None


def lists_of(
    connection: Connection, profiles: Iterable[int], lists: Iterable[str]
) -> list[tuple[int, str]]:
    """(profile, list) for each of ``lists`` that one of the shopper's identifiers is on."""
    return connection.execute(
        """
        select distinct i.profile_id, l.list
          from identity i join segment_list l on l.identifier = i.identifier
         where i.profile_id = any(%s::bigint[]) and l.list = any(%s::text[])
        """,
        [ids(profiles), texts(lists)],
    ).fetchall()


def history(
    connection: Connection,
    profiles: Iterable[int],
    needs: Iterable[tuple[str, datetime | None, bool]],
) -> Iterable[tuple[int, str, datetime, str, dict[str, Any]]]:
    """(profile, name, time, id, properties) of past events: of each name from a time on (None:
    all), with its properties only where they are asked for."""
    wanted = list(needs)
    return connection.execute(
        """
        select e.profile_id, e.name, e.time, e.id,
               case when t.whole then e.properties else '{}'::jsonb end
          from event e
          join unnest(%s::text[], %s::timestamptz[], %s::bool[]) as t(name, since, whole)
            on t.name = e.name
         where e.profile_id = any(%s::bigint[]) and (t.since is null or e.time >= t.since)
        """,
        [
            texts(name for name, _, _ in wanted),
            [since for _, since, _ in wanted],
            [whole for _, _, whole in wanted],
            ids(profiles),
        ],
    )


def merge(connection: Connection, gone: int, into: int) -> list[str]:
    """Make the rows of two shoppers one's: in where either was in, and to be looked at when the
    first of them was. The drain that merges them decides anew. Gives the segments that both were
    in, which are one member fewer."""
    both = connection.execute(
        """
        select one.segment from segment_member one
          join segment_member other on other.segment = one.segment and other.member
         where one.profile_id = %s and one.member and other.profile_id = %s
        """,
        [gone, into],
    ).fetchall()
    connection.execute(
        """
        with other as (delete from segment_member where profile_id = %(gone)s returning *)
        insert into segment_member as m (profile_id, segment, member, since, look_at)
        select %(into)s, segment, member, since, look_at from other
        on conflict (profile_id, segment) do update set
            member = m.member or excluded.member,
            since = case when m.member = excluded.member then least(m.since, excluded.since)
                         when m.member then m.since else excluded.since end,
            look_at = least(m.look_at, excluded.look_at)
        """,
        {"gone": gone, "into": into},
    )
    return [str(row[0]) for row in both]
