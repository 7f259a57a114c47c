"""The shop's own past, read as a recording: every event that was worked, in order of its time."""

from __future__ import annotations

from collections.abc import Iterator

from engine.model.event import Event
from engine.store.database import Database

#: Rows that travel at once.
_ROWS = 2000


def count(database: Database) -> int:
    """How many events ``stream`` gives."""
    with database.connection() as connection:
        row = connection.execute(
            "select count(*) from event where context ->> 'made_by' is distinct from 'winback'"
        ).fetchone()
    return int(row[0]) if row else 0


def stream(database: Database) -> Iterator[Event]:
    """All events by (time, id), as one moment saw them, a few thousand at a time.

    Events that Winback made itself (``emit`` steps, calendars) are left out: a simulation makes
    its own. Events of before identifiers were kept are named by the profile they are with now.
    """
    with database.connection() as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("set local timezone = 'UTC'")
        with connection.cursor(name="backtest") as cursor:
            cursor.itersize = _ROWS
            cursor.execute(
                """
                select id, kind, name, time, received_at, identifiers, properties, context,
                       profile_id
                  from event
                 where context ->> 'made_by' is distinct from 'winback'
                 order by time, id collate "C"
                """
            )
            for row in cursor:
                who = tuple(row[5]) or (f"profile:{row[8]}",)
                yield Event(row[0], row[1], row[2], row[3], row[4], who, row[6], row[7])


def latest_journeys(database: Database) -> list[tuple[str, str, str]]:
    """(journey, version, source) of the version of each journey that runs entered last, or that
    was seen first after that: what is live where the journeys follow the files."""
    with database.connection() as connection:
        rows = connection.execute(
            """
            select distinct on (v.journey) v.journey, v.version, v.source
              from journey_version v
              left join (select journey, version, max(entered_at) as entered_at
                           from enrollment group by journey, version) e using (journey, version)
             order by v.journey, greatest(v.first_used, e.entered_at) desc, v.version
            """
        ).fetchall()
    return [(str(row[0]), str(row[1]), str(row[2])) for row in rows]
