"""What is reported of messages after they were handed over, and the links in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.model.links import ShortLink
from engine.store.database import Connection, texts
from engine.store.database import ids as array

#: Providers hand back what they were given, and in old or foreign reports that is anything.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Progress(NamedTuple):
    """One report. ``message_id`` as a provider says it: it may be nobody's."""

    profile_id: int
    message_id: str
    reached: int
    trouble: int


def handed(connection: Connection, named: Iterable[tuple[int, str]]) -> dict[str, datetime]:
    """When the messages (profile, id) were given to their providers; those that were not, or
    are not this profile's, are left out."""
    pairs = [pair for pair in named if _UUID.fullmatch(pair[1])]
    rows = connection.execute(
        """
        select m.id::text, m.handed_at from message m
          join unnest(%s::bigint[], %s::uuid[]) as t(profile_id, id) using (profile_id, id)
         where m.handed_at is not null
        """,
        [array(profile for profile, _ in pairs), array(message for _, message in pairs)],
    )
    return dict(rows)


def move_on(connection: Connection, reports: Sequence[Progress]) -> None:
    """Move messages on. A report that comes late or twice moves nothing back."""
    known = [report for report in reports if _UUID.fullmatch(report.message_id)]
    connection.execute(
        """
        update message m
           set reached = greatest(m.reached, t.reached),
               trouble = greatest(m.trouble, t.trouble)
          from (select profile_id, id, max(reached) as reached, max(trouble) as trouble
                  from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::int[])
                    as u(profile_id, id, reached, trouble)
                 group by 1, 2) t
         where m.profile_id = t.profile_id and m.id = t.id
           and (t.reached > m.reached or t.trouble > m.trouble)
        """,
        [
            array(r.profile_id for r in known),
            array(r.message_id for r in known),
            array(r.reached for r in known),
            array(r.trouble for r in known),
        ],
    )


def standing(
    connection: Connection, messages: Iterable[tuple[int, str]]
) -> list[tuple[str, int, int]]:
    """(id, how far it has come, what went wrong) of those of the messages (profile, id) of which
    anything was reported."""
    pairs = list(messages)
    return connection.execute(
        """
        select m.id::text, m.reached, m.trouble from message m
          join unnest(%s::bigint[], %s::uuid[]) as t(profile_id, id) using (profile_id, id)
         where m.reached > 0 or m.trouble > 0
        """,
        [array(profile for profile, _ in pairs), array(id for _, id in pairs)],
    ).fetchall()


def remember(
    connection: Connection, links: Iterable[tuple[int, str, ShortLink]], now: datetime
) -> None:
    """Keep short links (profile, message id, link). A message that is tried again has the same."""
    rows = list(links)
    connection.execute(
        """
        insert into short_link (code, url, profile_id, message_id, made_at)
        select code, url, profile_id, message_id, %s
          from unnest(%s::text[], %s::text[], %s::bigint[], %s::uuid[])
            as t(code, url, profile_id, message_id)
        on conflict (code) do nothing
        """,
        [
            now,
            texts(link.code for _, _, link in rows),
            texts(link.url for _, _, link in rows),
            array(profile for profile, _, _ in rows),
            array(message for _, message, _ in rows),
        ],
    )


class Target(NamedTuple):
    """Where a short link leads, and whose it is."""

    url: str
    profile_id: int
    message_id: str


def target(connection: Connection, code: str) -> Target | None:
    """What ``code`` stands for; None if nobody made it."""
    row = connection.execute(
        "select url, profile_id, message_id::text from short_link where code = %s", [code]
    ).fetchone()
    return Target(*row) if row else None
