"""What might not go, counted: see engine/core/refusals.py for the codes."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from engine.store.database import Connection


class Count(NamedTuple):
    """How often something was refused on one day of the shop's, and of how many messages.
    ``waits``: it was put off; else it was given up."""

    day: date
    journey: str
    step: str
    channel: str
    code: str
    waits: bool
    refusals: int
    messages: int


def counts(
    connection: Connection, since: datetime, timezone: str, journey: str | None = None
) -> list[Count]:
    """The refusals since then, the newest day first, of a day the most frequent first. Days are
    those of the ``timezone`` (IANA)."""
    rows = connection.execute(
        """
        select (at at time zone %(zone)s)::date, journey, step, channel, code, waits,
               count(*), count(distinct message_id)
          from refusal
         where at >= %(since)s and (%(journey)s::text is null or journey = %(journey)s)
         group by 1, 2, 3, 4, 5, 6
         order by 1 desc, 7 desc, 2, 3, 5
        """,
        {"zone": timezone, "since": since, "journey": journey},
    )
    return [Count(*row) for row in rows]


class Refused(NamedTuple):
    """One refusal of a message."""

    message_id: str
    at: datetime
    code: str
    waits: bool


def of_profile(connection: Connection, profile: int) -> list[Refused]:
    """All refusals of a shopper's messages, oldest first."""
    rows = connection.execute(
        """
        select message_id::text, at, code, waits from refusal
         where profile_id = %s order by at, message_id
        """,
        [profile],
    )
    return [Refused(*row) for row in rows]
