"""What of each limit and of each day's warm-up is used. It only reads."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from engine.store.database import Connection


class Used(NamedTuple):
    """Of a provider or sender ``name``: for how many seconds more its slots are given away, to
    anybody and to promotion, and how many messages its ``day`` has had."""

    name: str
    ahead: float
    ahead_promotion: float
    day: date
    taken: int


def used(connection: Connection) -> dict[str, Used]:
    rows = connection.execute(
        """
        select name,
               greatest(0, next_all - extract(epoch from clock_timestamp()))::double precision,
               greatest(0, next_promotion - extract(epoch from clock_timestamp()))
                   ::double precision,
               day, taken
          from sender_rate
        """
    )
    return {row[0]: Used(*row) for row in rows}
