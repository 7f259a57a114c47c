"""Journey versions: every one that a run ever entered is kept, so that the run can end on it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.store.database import Connection, texts


def keep(connection: Connection, versions: Iterable[tuple[str, str, str]], now: datetime) -> None:
    """Keep (journey, version, YAML source)."""
    rows = list(versions)
    connection.execute(
        """
        insert into journey_version (journey, version, source, first_used)
        select t.*, %s from unnest(%s::text[], %s::text[], %s::text[]) as t
        on conflict do nothing
        """,
        [now, texts(r[0] for r in rows), texts(r[1] for r in rows), texts(r[2] for r in rows)],
    )


def sources(
    connection: Connection, versions: Iterable[tuple[str, str]]
) -> list[tuple[str, str, str]]:
    """(journey, version, source) of these (journey, version)s, as far as they are kept."""
    wanted = list(versions)
    rows = connection.execute(
        """
        select v.journey, v.version, v.source from journey_version v
          join unnest(%s::text[], %s::text[]) as t(journey, version) using (journey, version)
        """,
        [texts(w[0] for w in wanted), texts(w[1] for w in wanted)],
    ).fetchall()
    return [(str(r[0]), str(r[1]), str(r[2])) for r in rows]


def in_flight(connection: Connection) -> list[tuple[str, str, str]]:
    """(journey, version, source) of the versions that still have live runs."""
    rows = connection.execute(
        """
        select v.journey, v.version, v.source from journey_version v
         where exists (select 1 from enrollment e
                        where e.live and e.journey = v.journey and e.version = v.version)
        """
    ).fetchall()
    return [(str(r[0]), str(r[1]), str(r[2])) for r in rows]
