"""What the journeys did, counted from the rows that they left."""

from __future__ import annotations

from engine.model.journey import WITHOUT
from engine.store.database import Connection


def empty(connection: Connection) -> bool:
    """Whether no event has ever been accepted here."""
    row = connection.execute(
        "select exists (select from inbox) or exists (select from event)"
        " or exists (select from profile)"
    ).fetchone()
    return row is not None and not row[0]


def tallies(connection: Connection) -> dict[str, tuple[int, int, int, int, int]]:
    """(runs, runs held out, messages handed over, runs stopped, goals reached) by journey, as a
    simulation counts: who did what the trigger's ``without`` waits not to see was not in it."""
    rows = connection.execute(
        """
        select e.journey, count(*), count(*) filter (where held_out),
               (select count(*) from message m
                 where m.journey = e.journey and m.status = 'sent' and m.channel <> 'webhook'),
               count(*) filter (where status = 'stopped'), count(*) filter (where goal)
          from enrollment e
         where not starts_with(coalesce(at, ''), %s) group by e.journey
        """,
        [WITHOUT],
    )
    return {str(row[0]): (row[1], row[2], row[3], row[4], row[5]) for row in rows}
