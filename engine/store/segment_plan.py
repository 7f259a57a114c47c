"""What a plan asks about segments: everybody in turn, nobody locked, and how many came and went."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from engine.model.profile import Profile
from engine.store.database import Connection, texts
from engine.store.profiles import PROFILE_COLUMNS, profile_of


def profiles_behind(connection: Connection, behind: int, limit: int) -> list[Profile]:
    """The next profiles behind that id."""
    rows = connection.execute(
        f"select {PROFILE_COLUMNS} from profile p where p.id > %s order by p.id limit %s".encode(),
        [behind, limit],
    )
    return [profile_of(row) for row in rows]


def on_lists(
    connection: Connection, lists: Mapping[str, Collection[str]]
) -> dict[int, frozenset[str]]:
    """The names of the lists that each shopper would be on, if these were in force."""
    found: dict[int, frozenset[str]] = {}
    for name, identifiers in lists.items():
        rows = connection.execute(
            "select distinct profile_id from identity where identifier = any(%s::text[])",
            [texts(sorted(identifiers))],
        )
        for (profile,) in rows:
            found[profile] = found.get(profile, frozenset()) | {name}
    return found


def busiest_day(
    connection: Connection, names: Collection[str], now: datetime, within: timedelta
) -> dict[tuple[str, str], tuple[int, int]]:
    """For each (event, segment), of the events that tell of a segment, the most (events, shoppers)
    in any of the days, counted back from ``now``, of the time ``within``."""
    rows = connection.execute(
        """
        select name, segment, max(events), max(shoppers)
          from (select name, properties ->> 'segment' as segment,
                       floor(extract(epoch from %(now)s - time) / 86400) as day,
                       count(*) as events, count(distinct profile_id) as shoppers
                  from event where name = any(%(names)s::text[]) and time > %(since)s
                 group by 1, 2, 3) days
         where segment is not null group by 1, 2
        """,
        {"now": now, "names": texts(sorted(names)), "since": now - within},
    )
    return {(str(n), str(s)): (int(events), int(people)) for n, s, events, people in rows}
