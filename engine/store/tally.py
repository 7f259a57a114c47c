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
        select journey, sum(runs)::bigint, sum(held_out)::bigint, sum(sent)::bigint,
               sum(stopped)::bigint, sum(goals)::bigint
          from (select e.journey, count(*) as runs, count(*) filter (where held_out) as held_out,
                       (select count(*) from message m where m.journey = e.journey
                           and m.status = 'sent' and m.channel <> 'webhook') as sent,
                       count(*) filter (where status = 'stopped') as stopped,
                       count(*) filter (where goal) as goals
                  from enrollment e
                 where not starts_with(coalesce(at, ''), %s) group by e.journey
                union all
                select journey, runs, held_out, sent, stopped, goals from erased_tally) t
         group by journey
        """,
        [WITHOUT],
    )
    return {str(row[0]): (row[1], row[2], row[3], row[4], row[5]) for row in rows}
