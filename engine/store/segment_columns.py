"""What segments look at, as columns: whole ranges of shoppers in arrays that numpy reads where
PostgreSQL put them. A row for each event costs libpq and Python ten times as much.

Moments are microseconds since 2000, as PostgreSQL keeps them; ``NEVER`` is its infinity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from engine.model.journey import WITHOUT
from engine.store.database import Connection, from_json, ids, texts

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NEVER = int(np.iinfo(np.int64).max)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EMPTY = np.zeros(0, np.int64)
_HEADER = 20  # of an array of one dimension: dimensions, nulls, type, length, lower bound
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])


class Grouped(NamedTuple):
    """Rows that have ``keys`` in common, ``codes`` saying which: the JSON values of the keys, None
    where there is none, and the columns."""

    keys: Sequence[tuple[Any, ...]]
    codes: Ints
    columns: Sequence[Ints]


class Range(NamedTuple):
    """Shoppers behind ``behind``, up to ``until``."""

    behind: int
    until: int


def lock_next(connection: Connection, behind: int, until: int | None, limit: int) -> Ints:
    """The ids of the next profiles behind that one, rising, locked as a drain locks them."""
    found = _rows(
        connection,
        "select array_agg(id) from (select id from profile where id > %s and id <= %s"
        " order by id limit %s for update) p",
        [behind, 2**63 - 1 if until is None else until, limit],
    )
    return _ints(found[0][0])


def plain_events(
    connection: Connection, some: Range, names: Iterable[tuple[str, datetime | None]]
) -> dict[str, tuple[Ints, Ints]]:
    """(profile, time) of all events of these names, each from a time on. Read from the index."""
    found: dict[str, tuple[Ints, Ints]] = {}
    since: dict[datetime | None, list[str]] = {}
    for name, begin in names:
        since.setdefault(begin, []).append(name)
    for begin, those in since.items():
        rows = _rows(
            connection,
            "select name, array_agg(profile_id), array_agg(time) from event"
            " where profile_id > %s and profile_id <= %s and name = any(%s::text[])"
            " and time >= coalesce(%s::timestamptz, '-infinity') group by name",
            [*some, texts(those), begin],
        )
        found |= dict.fromkeys(those, (_EMPTY, _EMPTY))
        found |= {_text(name): (_ints(who), _ints(times)) for name, who, times in rows}
    return found


def events(
    connection: Connection,
    some: Range,
    name: str,
    since: datetime | None,
    properties: Sequence[str],
) -> Grouped:
    """Profile and time of events of one name, by the values of these properties."""
    keys = [sql.SQL("(properties -> {})::text").format(name) for name in properties]
    query = sql.SQL(
        "select array_agg(profile_id), array_agg(time), {keys} from event"
        " where profile_id > %s and profile_id <= %s and name = %s"
        " and time >= coalesce(%s::timestamptz, '-infinity') group by {places}"
    ).format(keys=sql.SQL(", ").join(keys), places=_places(3, len(keys)))
    return _grouped(_rows(connection, query, [*some, name, since]), 2)


def people(connection: Connection, some: Range, fields: Sequence[tuple[str, bool]]) -> Grouped:
    """Profiles by (field, whether it is a column, else a trait)."""
    keys = [
        sql.SQL("to_jsonb({})::text").format(sql.Identifier(name))
        if counted
        else sql.SQL("(traits -> {})::text").format(name)
        for name, counted in fields
    ]
    query = sql.SQL(
        "select array_agg(id){keys} from profile where id > %s and id <= %s {group}"
    ).format(
        keys=sql.SQL("").join(sql.SQL(", ") + key for key in keys),
        group=sql.SQL("group by {}").format(_places(2, len(keys))) if keys else sql.SQL(""),
    )
    return _grouped(_rows(connection, query, [*some]), 1)


def consents(connection: Connection, some: Range, channel: str, topics: Collection[str]) -> Grouped:
    """Profiles by what was said about ``topics`` of a channel: a list of (topic, yes, at, confirmed
    at, denied at), moments in microseconds since the first of them."""
    rows = _rows(
        connection,
        """
        select array_agg(profile_id), said::text from (
            select profile_id, jsonb_agg(jsonb_build_array(topic, granted,
                       extract(epoch from at - first) * 1000000,
                       extract(epoch from confirmed_at - first) * 1000000,
                       case when granted then extract(epoch from denied_at - first) * 1000000 end)
                   order by topic) as said
              from (select *, min(at) over (partition by profile_id) as first from consent
                     where profile_id > %s and profile_id <= %s and channel = %s
                       and topic = any(%s::text[])) c
             group by profile_id) s
         group by said
        """,
        [*some, channel, texts(topics)],
    )
    return _grouped(rows, 1)


def stays(connection: Connection, some: Range, journey: str) -> tuple[Ints, Ints, Ints, Ints]:
    """(profile, entered, ended or ``NEVER``, whether it reached the goal) of runs that count."""
    [row] = _rows(
        connection,
        "select array_agg(profile_id), array_agg(entered_at),"
        " array_agg(coalesce(ended_at, 'infinity')), array_agg(goal::int::bigint)"
        " from enrollment where profile_id > %s and profile_id <= %s and journey = %s"
        " and (at is null or not starts_with(at, %s)) and status <> 'merged'",
        [*some, journey, WITHOUT],
    )
    who, entered, ended, goal = (_ints(cell) for cell in row)
    return who, entered, ended, goal


def on_list(connection: Connection, some: Range, name: str) -> Ints:
    """Profiles one of whose identifiers is on a static list."""
    [row] = _rows(
        connection,
        "select array_agg(distinct i.profile_id) from segment_list l"
        " join identity i on i.identifier = l.identifier"
        " where l.list = %s and i.profile_id > %s and i.profile_id <= %s",
        [name, *some],
    )
    return _ints(row[0])


class Stood(NamedTuple):
    """Rows of one segment and one answer: by profile, when to look next or ``NEVER``; ``ahead``
    are profiles whose last change is later than now."""

    segment: str
    member: bool
    profiles: Ints
    look_at: Ints
    ahead: Ints


def standings(
    connection: Connection, some: Range, segments: Iterable[str], now: datetime
) -> list[Stood]:
    """Where they stand."""
    rows = _rows(
        connection,
        "select segment, member, array_agg(profile_id), array_agg(coalesce(look_at, 'infinity')),"
        " array_agg(profile_id) filter (where since > %s) from segment_member"
        " where profile_id > %s and profile_id <= %s and segment = any(%s::text[]) group by 1, 2",
        [now, *some, texts(segments)],
    )
    return [
        Stood(_text(name), member == b"\x01", _ints(who), _ints(looks), _ints(ahead))
        for name, member, who, looks, ahead in rows
    ]


class Fresh(NamedTuple):
    """Rows of one segment."""

    segment: str
    profiles: Ints
    member: Bools
    look_at: Ints


def add(connection: Connection, rows: Sequence[Fresh], now: datetime) -> None:
    """Write rows that are not there yet; members are so since ``now``."""
    since = (now - _EPOCH) // _MICROSECOND
    packed = [_packed(row, since) for row in rows if len(row.profiles)]
    if not packed:
        return
    who = np.concatenate([row.profiles for row in rows if len(row.profiles)])
    width = max(block.shape[1] for block, _ in packed)
    block = np.concatenate([_wide(block, width) for block, _ in packed])
    used = np.concatenate([_wide(mask, width) for _, mask in packed])
    order = np.argsort(who, kind="stable")  # those of a shopper lie together
    with connection.cursor().copy(
        "copy segment_member (profile_id, segment, member, since, look_at)"
        " from stdin (format binary)"
    ) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
        for start in range(0, len(order), 20_000):
            part = order[start : start + 20_000]
            copy.write(block[part][used[part]].tobytes())
        copy.write(b"\xff\xff")


def change(connection: Connection, rows: Fresh, now: datetime) -> None:
    """Write rows that are there and otherwise."""
    if not len(rows.profiles):
        return
    look_at = np.where(rows.look_at == NEVER, -1, rows.look_at)
    connection.execute(
        """
        update segment_member m
           set since = case when m.member = t.member then m.since else %s end,
               member = t.member,
               look_at = case when t.look_at >= 0 then timestamptz '2000-01-01 00:00:00+00'
                   + interval '1 hour' * (t.look_at / 3600000000)
                   + interval '1 microsecond' * (t.look_at %% 3600000000) end
          from unnest(%s::bigint[], %s::bool[], %s::bigint[]) as t(id, member, look_at)
         where m.profile_id = t.id and m.segment = %s
        """,
        [
            now,
            ids(rows.profiles.tolist()),
            "{" + ",".join("ft"[one] for one in rows.member.tolist()) + "}",
            ids(look_at.tolist()),
            rows.segment,
        ],
    )


def _packed(row: Fresh, since: int) -> tuple[NDArray[np.uint8], Bools]:
    """Rows of COPY's binary format, all as long as the longest, and which bytes of them count."""
    name = row.segment.encode()
    kind = np.dtype(
        [
            *(("fields", ">i2"), ("l1", ">i4"), ("profile", ">i8"), ("l2", ">i4")),
            *(("segment", f"S{len(name)}"), ("l3", ">i4"), ("member", "u1")),
            *(("l4", ">i4"), ("since", ">i8"), ("l5", ">i4"), ("look_at", ">i8")),
        ]
    )
    rows = np.zeros(len(row.profiles), kind)
    looked = row.look_at != NEVER
    rows["fields"], rows["l1"], rows["l2"], rows["l3"] = 5, 8, len(name), 1
    rows["profile"], rows["segment"], rows["member"] = row.profiles, name, row.member
    rows["l4"], rows["since"] = np.where(row.member, 8, -1), since
    rows["l5"], rows["look_at"] = np.where(looked, 8, -1), row.look_at
    block = rows.view(np.uint8).reshape(len(rows), kind.itemsize)
    used = np.ones(block.shape, np.bool_)
    used[:, -20:-12] = row.member[:, None]
    used[:, -8:] = looked[:, None]
    return block, used


def _wide(block: NDArray[Any], width: int) -> NDArray[Any]:
    missing = width - block.shape[1]
    return np.pad(block, ((0, 0), (0, missing))) if missing else block


def _rows(
    connection: Connection, query: LiteralString | sql.Composed, parameters: Sequence[Any]
) -> list[list[bytes | None]]:
    """What PostgreSQL answered, as it is on the wire. Planned anew each time: how many rows there
    are behind a shopper differs by the whole table."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(query, parameters, prepare=False)
        result = cursor.pgresult
        assert result is not None
        return [
            [result.get_value(row, column) for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]


def _grouped(rows: list[list[bytes | None]], columns: int) -> Grouped:
    """Rows of ``columns`` arrays and then keys."""
    keys = [tuple(map(_json, row[columns:])) for row in rows]
    sizes = np.array([_size(row[0]) for row in rows], np.int64)
    codes = np.repeat(np.arange(len(rows)), sizes)
    joined = [
        b"".join([cell[_HEADER:] for row in rows if (cell := row[place]) is not None])
        for place in range(columns)
    ]
    return Grouped(keys, codes, [_elements(cells) for cells in joined])


def _places(first: int, count: int) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(str(first + n)) for n in range(count))


class Absent:
    """A property or trait that is not there, not even as null."""


def _json(cell: bytes | None) -> Any:
    return Absent if cell is None else from_json(cell)


def _text(cell: bytes | None) -> str:
    return (cell or b"").decode()


def _size(cell: bytes | None) -> int:
    return 0 if cell is None else (len(cell) - _HEADER) // _ELEMENT.itemsize


def _ints(cell: bytes | None) -> Ints:
    return _EMPTY if cell is None or len(cell) < _HEADER else _elements(cell[_HEADER:])


def _elements(cells: bytes) -> Ints:
    return np.frombuffer(cells, _ELEMENT)["value"].astype(np.int64)
