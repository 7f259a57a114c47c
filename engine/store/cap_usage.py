"""How many shoppers a frequency cap holds back. It only reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from engine.model.policy import Cap
from engine.store.database import Connection, texts


class Usage(NamedTuple):
    """``held_back``: shoppers of whom a message was put off or given up over a cap of this kind
    (of caps on the same channel and topic nobody can tell which it was); ``full``: those for whom
    nothing more that it covers may go at this moment."""

    cap: Cap
    held_back: int
    full: int


def usage(
    connection: Connection,
    caps: Sequence[tuple[Cap, str]],
    uncapped: Sequence[str],
    since: datetime,
    now: datetime,
) -> list[Usage]:
    """Of each cap, given with the code of its refusals: whom it has held back ``since``, and who
    is at it ``now``. Messages of ``uncapped`` topics do not use one up. One pass over the messages,
    however many caps."""
    rows = connection.execute(
        """
        with cap as (
            select * from unnest(%(channels)s::text[], %(topics)s::text[], %(codes)s::text[],
                                 %(most)s::int[], %(starts)s::timestamptz[])
              with ordinality as c(channel, topic, code, most, start, place)),
        held as (
            select c.place, count(distinct r.profile_id) as shoppers
              from cap c
              join refusal r on r.at >= %(since)s and r.code = c.code
               and c.channel in ('*', r.channel) and c.topic in ('*', r.topic)
             group by c.place),
        at_it as (
            select c.place, m.profile_id
              from cap c
              join message m on m.claimed_at > c.start
               and c.channel in ('*', m.channel) and c.topic in ('*', m.topic)
             where m.claimed_at > %(earliest)s
               and m.status in ('claimed', 'sent', 'unknown', 'unresolved')
               and m.topic <> all(%(uncapped)s::text[])
             group by c.place, c.most, m.profile_id having count(*) >= c.most)
        select coalesce(h.shoppers, 0)::int,
               (select count(*) from at_it a where a.place = c.place)::int
          from cap c left join held h using (place) order by c.place
        """,
        {
            "channels": texts(cap.channel for cap, _ in caps),
            "topics": texts(cap.topic for cap, _ in caps),
            "codes": texts(code for _, code in caps),
            "most": [cap.messages for cap, _ in caps],
            "starts": [now - cap.within for cap, _ in caps],
            "earliest": min((now - cap.within for cap, _ in caps), default=now),
            "since": since,
            "uncapped": texts(uncapped),
        },
    ).fetchall()
    return [Usage(cap, *row) for (cap, _), row in zip(caps, rows, strict=True)]
