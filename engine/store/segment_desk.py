"""The segments themselves: what is in force, searches through all shoppers, and how many are in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from engine.store.database import Connection, texts, to_json
from engine.store.segments import Day, InForce

#: The lock of whoever searches: a number of our own.
_SEARCHING = 0x5E65_EA2C
#: Rows of a segment that is gone that are cleared away at once.
_CLEARED = 20_000


class Known(NamedTuple):
    """What there is to tell of a segment; ``size`` members."""

    name: str
    title: str
    version: str
    size: int
    place: int | None
    changed_at: datetime
    filled_at: datetime | None


def keep(
    connection: Connection,
    segments: Iterable[tuple[str, str, str, str, bool]],
    now: datetime,
    kept: Collection[str] = (),
) -> list[str]:
    """Put (name, version, title, source, scored) into force, and those out of it that are neither
    among them nor ``kept``. Gives the names of those whose definition is new: everybody is looked
    at anew for them, and who then is in or out did not enter or leave by anything they did."""
    some = list(segments)
    changed = connection.execute(
        """
        insert into segment as s (name, version, title, source, scored, place, quiet, changed_at,
                                  changed_xid)
        select t.*, -1, true, %s, pg_current_xact_id()
          from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bool[])
            as t(name, version, title, source, scored)
        on conflict (name) do update set
            version = excluded.version, title = excluded.title, source = excluded.source,
            scored = excluded.scored, place = excluded.place, quiet = true,
            changed_at = excluded.changed_at, changed_xid = excluded.changed_xid
         where s.version <> excluded.version
        returning s.name
        """,
        [
            now,
            texts(one[0] for one in some),
            texts(one[1] for one in some),
            texts(one[2] for one in some),
            texts(one[3] for one in some),
            [one[4] for one in some],
        ],
    ).fetchall()
    connection.execute(
        """
        update segment s set title = t.title, source = t.source
          from unnest(%s::text[], %s::text[], %s::text[]) as t(name, title, source)
         where s.name = t.name and (s.title, s.source) is distinct from (t.title, t.source)
        """,
        [
            texts(one[0] for one in some),
            texts(one[2] for one in some),
            texts(one[3] for one in some),
        ],
    )
    connection.execute(
        "update segment set version = '', place = null where name <> all(%s::text[])"
        " and version <> ''",
        [texts([*(one[0] for one in some), *kept])],
    )
    return sorted(str(row[0]) for row in changed)


def keep_lists(connection: Connection, lists: Mapping[str, Collection[str]]) -> None:
    """Put these static lists in place of all that were there."""
    connection.execute("delete from segment_list")
    pairs = [(name, identifier) for name, those in lists.items() for identifier in those]
    if pairs:
        connection.execute(
            "insert into segment_list (list, identifier)"
            " select * from unnest(%s::text[], %s::text[])",
            [texts(name for name, _ in pairs), texts(identifier for _, identifier in pairs)],
        )


def lists(connection: Connection) -> dict[str, frozenset[str]]:
    """The static lists, by name."""
    found: dict[str, set[str]] = {}
    for name, identifier in connection.execute("select list, identifier from segment_list"):
        found.setdefault(name, set()).add(identifier)
    return {name: frozenset(those) for name, those in found.items()}


def versions(connection: Connection) -> dict[str, tuple[str, str]]:
    """(version, source) of each segment in force."""
    rows = connection.execute("select name, version, source from segment where version <> ''")
    return {str(name): (str(version), str(source)) for name, version, source in rows}


def to_do(connection: Connection, scaled_before: datetime) -> bool:
    """Whether a search is under way, a segment is to be cleared away, or a scale is too old."""
    return (
        connection.execute(
            """
            select 1 from segment where place is not null or version = ''
                or (scored and coalesce(scaled_at, '-infinity') < %s) limit 1
            """,
            [scaled_before],
        ).fetchone()
        is not None
    )


def clear_away(connection: Connection) -> bool:
    """Clear some rows of segments that are gone; False when nothing is left of them."""
    gone = connection.execute("select name from segment where version = '' limit 1").fetchone()
    if gone is None:
        return False
    cleared = connection.execute(
        """
        delete from segment_member where ctid = any(array(
            select ctid from segment_member where segment = %s limit %s))
        """,
        [gone[0], _CLEARED],
    ).rowcount
    if not cleared:
        connection.execute("delete from segment_day where segment = %s", [gone[0]])
        connection.execute("delete from segment where name = %s and version = ''", [gone[0]])
    return True


class Search(NamedTuple):
    """Some segments, and the place up to which all of them have been searched. ``since`` tells
    whether it is still the same search."""

    segments: list[InForce]
    place: int
    until: int | None
    since: list[str]


def under_way(connection: Connection, only: Collection[str] | None = None) -> bool:
    """Whether there is a search that has not come to its end."""
    return (
        connection.execute(
            "select 1 from segment where place is not null and version <> ''"
            " and (%s or name = any(%s::text[])) limit 1",
            [only is None, texts(only or ())],
        ).fetchone()
        is not None
    )


def take_search(connection: Connection, only: Collection[str] | None = None) -> Search | None:
    """Take the search that is least far for this transaction: all segments at that place, and
    ``until`` where the next one stands. None: there is none, or another worker is at it.

    A search begins when every transaction is over that may have decided by what was in force
    before: until then it could pass by a shopper whom one of them is just writing."""
    row = connection.execute("select pg_try_advisory_xact_lock(%s)", [_SEARCHING]).fetchone()
    if row is None or not row[0]:
        return None
    rows = connection.execute(
        """
        with found as (
            select *, min(place) over () as first from segment
             where place is not null and version <> '' and (%(all)s or name = any(%(only)s::text[]))
        )
        select changed_xid::text, name, version, source, scored, scale, place, quiet from found
         where place = first
           and (place >= 0 or changed_xid < pg_snapshot_xmin(pg_current_snapshot()))
         order by name
        """,
        {"all": only is None, "only": texts(only or ())},
    ).fetchall()
    if not rows:
        return None
    segments = [InForce(*row[1:]) for row in rows]
    place = segments[0].place
    assert place is not None
    further = connection.execute(
        "select min(place) from segment where place > %s and version <> ''", [place]
    ).fetchone()
    until = further[0] if further else None
    return Search(segments, place, until, [row[0] for row in rows])


def searched(
    connection: Connection, search: Search, place: int, reached: int | None, now: datetime
) -> None:
    """The search, which stood at ``place``, has ``reached`` that one; None: it is done. Segments
    whose search was begun anew meanwhile stay where they are."""
    connection.execute(
        """
        update segment s
           set place = %s, filled_at = case when %s then %s else s.filled_at end
          from unnest(%s::text[], %s::text[]) as t(name, since)
         where s.name = t.name and s.changed_xid = t.since::xid8 and s.place = %s
        """,
        [
            *(reached, reached is None, now),
            texts(one.name for one in search.segments),
            texts(search.since),
            place,
        ],
    )


def search_anew(connection: Connection, names: Collection[str], *, quiet: bool) -> None:
    """Look at everybody anew for these segments."""
    connection.execute(
        """
        update segment set place = -1, quiet = quiet and place is not null or %s,
                           changed_xid = pg_current_xact_id()
         where name = any(%s::text[]) and version <> ''
        """,
        [quiet, texts(names)],
    )


def fifths(connection: Connection, currency: str, now: datetime) -> dict[str, list[Any]] | None:
    """Where the fifths of all buyers begin, rising: microseconds since their last order, orders,
    and money. None while nobody has bought."""
    row = connection.execute(
        """
        select percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (
                   order by extract(epoch from %(now)s - last_order_at) * 1000000),
               percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by orders),
               percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (
                   order by coalesce((lifetime_value ->> %(currency)s)::numeric, 0))
          from profile where orders > 0 and last_order_at is not null
        """,
        {"now": now, "currency": currency},
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return {"recency": row[0], "frequency": row[1], "monetary": row[2]}


def scale_due(connection: Connection, before: datetime) -> list[str]:
    """Segments whose scale is older than that."""
    rows = connection.execute(
        "select name from segment where scored and version <> ''"
        " and coalesce(scaled_at, '-infinity') < %s",
        [before],
    )
    return [str(row[0]) for row in rows]


def put_scale(
    connection: Connection, names: list[str], scale: dict[str, Any] | None, now: datetime
) -> None:
    """Measure by this scale from now on. Where it is another than before, everybody is looked at
    anew; whose score it changes enters or leaves by that, unless there was none before."""
    connection.execute(
        """
        update segment set
            scaled_at = %(now)s,
            quiet = case when scale is not distinct from %(scale)s::jsonb then quiet
                         else scale is null or (quiet and place is not null) end,
            place = case when scale is not distinct from %(scale)s::jsonb then place
                         else -1 end,
            scale = %(scale)s::jsonb, changed_xid = pg_current_xact_id()
         where name = any(%(names)s::text[])
        """,
        {"now": now, "names": texts(names), "scale": None if scale is None else to_json(scale)},
    )


def known(connection: Connection) -> list[Known]:
    """Every segment in force with its size."""
    rows = connection.execute(
        """
        select s.name, s.title, s.version, coalesce(m.size, 0), s.place, s.changed_at, s.filled_at
          from segment s
          left join (select segment, count(*) as size from segment_member where member group by 1) m
            on m.segment = s.name
         where s.version <> '' order by s.name
        """
    )
    return [Known(*row) for row in rows]


def days(connection: Connection, segment: str, since: date) -> list[Day]:
    """Who came and went, day by day from then on; days on which nobody did are not there."""
    rows = connection.execute(
        """
        select segment, day, sum(entered)::int, sum("left")::int, sum(other)::int from segment_day
         where segment = %s and day >= %s group by 1, 2 order by 2
        """,
        [segment, since],
    )
    return [Day(*row) for row in rows]


def overlaps(connection: Connection, segment: str) -> list[tuple[str, int]]:
    """How many of its members are in each other segment, those with none left out."""
    return connection.execute(
        """
        select o.segment, count(*) from segment_member m
          join segment_member o on o.profile_id = m.profile_id and o.member
          join segment s on s.name = o.segment and s.version <> ''
         where m.segment = %s and m.member and o.segment <> m.segment
         group by 1 order by 2 desc, 1
        """,
        [segment],
    ).fetchall()


def sample(connection: Connection, segment: str, limit: int) -> list[tuple[int, datetime | None]]:
    """(profile, since) of those who came last."""
    return connection.execute(
        """
        select profile_id, since from segment_member where segment = %s and member
         order by since desc nulls last, profile_id limit %s
        """,
        [segment, limit],
    ).fetchall()


def members(
    connection: Connection, segment: str, behind: int = -1, limit: int = 10_000
) -> list[int]:
    """The next members behind that profile, in order."""
    rows = connection.execute(
        """
        select profile_id from segment_member where segment = %s and member and profile_id > %s
         order by profile_id limit %s
        """,
        [segment, behind, limit],
    )
    return [int(row[0]) for row in rows]
