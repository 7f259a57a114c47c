"""What providers reported, counted by the hour for each journey, provider and sender."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.store.database import Connection

#: Counts older than this say nothing about today.
_KEPT = timedelta(days=31)


def add(connection: Connection, reports: Sequence[tuple[int, str, str]]) -> None:
    """Add (profile, message id, kind) to what is to be counted."""
    with (
        connection.cursor() as cursor,
        cursor.copy("copy report (profile_id, message_id, kind) from stdin") as copy,
    ):
        for report in reports:
            copy.write_row(report)


def fold(connection: Connection, now: datetime) -> int:
    """Count what was added since the last time, into the hour of ``now``; gives how many reports
    that were. One pass over these alone, so it costs what came in, not what there is. Reports of
    messages that are not ours are nobody's."""
    row = connection.execute(
        """
        with fresh as (delete from report returning profile_id, message_id, kind),
        known as (
            select m.journey, m.provider, m.sender, r.kind
              from fresh r
              left join former_profile f on f.id = r.profile_id
              join message m on m.profile_id = coalesce(f.profile_id, r.profile_id)
                            and m.id = r.message_id),
        subject as (
            select 'journey:' || journey as subject, kind from known
            union all
            select 'carried:' || provider || ':' || sender, kind from known
             where provider <> ''),
        counted as (
            insert into report_hour as h (subject, hour, delivered, bounced, complained)
            select subject, date_trunc('hour', %s::timestamptz),
                   count(*) filter (where kind = 'delivered'),
                   count(*) filter (where kind = 'bounced'),
                   count(*) filter (where kind = 'complained')
              from subject group by 1
            on conflict (subject, hour) do update
               set delivered = h.delivered + excluded.delivered,
                   bounced = h.bounced + excluded.bounced,
                   complained = h.complained + excluded.complained)
        select count(*) from fresh
        """,
        [now],
    ).fetchone()
    assert row is not None
    if row[0]:
        connection.execute("delete from report_hour where hour < %s", [now - _KEPT])
    return int(row[0])


class Count(NamedTuple):
    """Of one ``journey``; or (where that is "") of what ``provider`` carried for ``sender``."""

    journey: str
    provider: str
    sender: str
    delivered: int
    bounced: int
    complained: int


def since(connection: Connection, start: datetime) -> list[Count]:
    """The counts since ``start``, to the hour."""
    rows = connection.execute(
        """
        select subject, sum(delivered)::int, sum(bounced)::int, sum(complained)::int
          from report_hour where hour > %s - interval '1 hour' group by 1 order by 1
        """,
        [start],
    )
    found = []
    for subject, *figures in rows:
        kind, _, name = subject.partition(":")
        provider, _, sender = name.partition(":")
        found.append(
            Count(name, "", "", *figures)
            if kind == "journey"
            else Count("", provider, sender, *figures)
        )
    return found


def senders(connection: Connection) -> set[str]:
    """The senders of which anything was reported of late."""
    rows = connection.execute(
        "select distinct split_part(subject, ':', 3) from report_hour"
        " where subject like 'carried:%'"
    )
    return {str(row[0]) for row in rows} - {""}


def forget(connection: Connection, subject: str) -> None:
    """Forget what was counted against the subject of a pause."""
    kind, _, name = subject.partition(":")
    place = {"provider": 2, "sender": 3}.get(kind)
    if place is None:
        connection.execute("delete from report_hour where subject = %s", [subject])
        return
    connection.execute(
        """
        delete from report_hour
         where subject like 'carried:%%' and split_part(subject, ':', %s) = %s
        """,
        [place, name],
    )
