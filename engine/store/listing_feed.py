"""The places that segments hold on the lists of ad platforms.

Who came into a segment or left it is written down by a trigger (``audience_moved``) in the
transaction that moved them, and taken over here by delete: a turn costs what has changed, however
many members there are. Once a day, and when a list is fed by another segment, all are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, LiteralString

from engine.store.database import Connection, ids, texts

#: How long the difference alone is believed.
CHECKED = timedelta(days=1)
#: Who has moved, at most in a turn: leavers come first, so none waits for more than this.
MOVED = 20_000

_STAYS: LiteralString = """(m.segment = %(segment)s and exists (
    select from segment_member s where s.profile_id = m.profile_id
       and s.segment = m.segment and s.member))"""

#: When they left: when the event that led to it was accepted, or when time did.
_LEFT_AT: LiteralString = """(
    select coalesce((select min(e.received_at) from event e
                      where e.profile_id = s.profile_id and e.time = s.since), s.since)
      from segment_member s
     where s.profile_id = m.profile_id and s.segment = m.segment and not s.member)"""


def bought(place: LiteralString) -> LiteralString:
    """That the segment of this row of ``audience_member`` was left with an order."""
    return f"""exists (select from segment_member s
        join event o on o.profile_id = s.profile_id and o.name = 'Order Completed'
         and o.time = s.since
        where s.profile_id = {place}.profile_id and s.segment = {place}.segment
          and not s.member)"""


#: Rows (audience, profile) of who has bought, has left the segment by that and is still listed,
#: not looked at yet by a turn.
BOUGHT: LiteralString = f"""select distinct m.audience, m.profile_id
    from audience_moved q
    join audience_member m on m.profile_id = q.profile_id and m.audience = q.audience
   where not q.member and m.segment <> '' and m.wanted and m.listed and {bought("m")}"""


def feed(
    connection: Connection, audience: str, segment: str, place: str, now: datetime
) -> tuple[int, int]:
    """Want the members of ``segment`` ("": of none) on the audience, and nobody else on account
    of a segment; gives how many came and went. ``place`` is the UUID that stands for the segment
    where a run would stand. Only one process may feed an audience at a time.
    """
    parameters = {"audience": audience, "segment": segment, "place": place, "now": now}
    if _all_must_be_looked_at(connection, audience, segment, now):
        return _look_at_all(connection, parameters)
    moved = [
        int(row[0])
        for row in connection.execute(
            """
            delete from audience_moved where ctid = any(array(
                   select ctid from audience_moved where audience = %s
                    order by audience, member limit %s))
            returning profile_id
            """,
            [audience, MOVED],
        )
    ]
    if not moved:
        return 0, 0
    some = {**parameters, "profiles": ids(set(moved))}
    return _compare(
        connection,
        some,
        "and m.profile_id = any(%(profiles)s::bigint[])",
        "and s.profile_id = any(%(profiles)s::bigint[])",
    )


def fed(connection: Connection) -> set[str]:
    """Audiences for which it is written down who comes and goes."""
    return {str(row[0]) for row in connection.execute("select audience from audience_feed")}


def stop_feeding(connection: Connection, audiences: Iterable[str], now: datetime) -> int:
    """Write down for these no longer who comes and goes, and give up the places that segments
    hold there; gives how many. A row that a drain holds is waited for."""
    names = texts(audiences)
    connection.execute("delete from audience_feed where audience = any(%s::text[])", [names])
    connection.execute("delete from audience_moved where audience = any(%s::text[])", [names])
    return connection.execute(
        """
        update audience_member set wanted = false, changed_at = %s
         where audience = any(%s::text[]) and segment <> '' and wanted
        """,
        [now, names],
    ).rowcount


def leavers(connection: Connection, audiences: Iterable[str], now: datetime) -> bool:
    """Whether somebody has left a segment that feeds one of ``audiences``, and their platform may
    be told. A few index probes."""
    row = connection.execute(
        """
        select exists (
            select from unnest(%s::text[]) as a(audience)
             where exists (select from audience_moved m
                            where m.audience = a.audience and not m.member)
               and not exists (select from audience_hold h where h.until > %s
                           and h.subject in (a.audience, split_part(a.audience, '/', 1))))
        """,
        [texts(audiences), now],
    ).fetchone()
    return row is not None and bool(row[0])


def merge(connection: Connection, gone: int, into: int) -> None:
    """Make the places that segments hold for two shoppers one's. The next turn looks whether it
    stays: who they are together is decided in this transaction, maybe after this."""
    pair = {"gone": gone, "into": into}
    moved = connection.execute(
        """
        with other as (
            delete from audience_member where profile_id = %(gone)s and segment <> '' returning *)
        insert into audience_member as m
               (profile_id, audience, enrollment_id, wanted, listed, changed_at, synced_at, segment)
        select %(into)s, audience, enrollment_id, wanted, listed, changed_at, synced_at, segment
          from other
        on conflict (profile_id, audience, enrollment_id) do update set
               wanted = m.wanted or excluded.wanted, listed = m.listed or excluded.listed,
               changed_at = greatest(m.changed_at, excluded.changed_at), synced_at = null
        """,
        pair,
    ).rowcount
    if moved:
        connection.execute(
            """
            insert into audience_moved (audience, profile_id, member)
            select distinct m.audience, m.profile_id, false
              from audience_member m join audience_feed f on f.audience = m.audience
             where m.profile_id = %(into)s and m.segment <> ''
            """,
            pair,
        )


def _all_must_be_looked_at(
    connection: Connection, audience: str, segment: str, now: datetime
) -> bool:
    """Whether the difference is not to be believed: it is a day since all were looked at, or some
    transaction may not have known that the audience is fed by this segment."""
    row = connection.execute(
        """
        select segment, after is null, checked_at,
               pg_snapshot_xmin(pg_current_snapshot())
                   >= coalesce(after, pg_snapshot_xmax(pg_current_snapshot()))
          from audience_feed where audience = %s
        """,
        [audience],
    ).fetchone()
    if row is None or row[0] != segment:
        connection.execute("delete from audience_feed where audience = %s", [audience])
        if segment:
            connection.execute(
                "insert into audience_feed (audience, segment) values (%s, %s)",
                [audience, segment],
            )
        return True
    _, unseen, checked_at, all_know = row
    if checked_at is not None and now - checked_at < CHECKED:
        return False
    if unseen:
        # The row is committed: whoever begins from now on knows of it.
        connection.execute(
            "update audience_feed set after = pg_snapshot_xmax(pg_current_snapshot())"
            " where audience = %s",
            [audience],
        )
    if all_know:
        connection.execute(
            "update audience_feed set checked_at = %s where audience = %s", [now, audience]
        )
    return True


def _look_at_all(connection: Connection, parameters: dict[str, Any]) -> tuple[int, int]:
    """Some 0.5 us a member. What moved until now is in it."""
    connection.execute("delete from audience_moved where audience = %(audience)s", parameters)
    return _compare(connection, parameters, "", "")


def _compare(
    connection: Connection,
    parameters: dict[str, Any],
    places: LiteralString,
    members: LiteralString,
) -> tuple[int, int]:
    gone = _take_off(connection, parameters, places)
    come = _put_on(connection, parameters, members) if parameters["segment"] else 0
    if parameters["segment"]:
        # Whose place a drain holds was passed over, so that neither waits for the other.
        connection.execute(
            f"""
            insert into audience_moved (audience, profile_id, member)
            select m.audience, m.profile_id, false from audience_member m
             where m.audience = %(audience)s and m.segment <> '' and m.wanted {places}
               and not {_STAYS}
            """,
            parameters,
        )
    return come, gone


def _take_off(connection: Connection, parameters: dict[str, Any], only: LiteralString) -> int:
    return connection.execute(
        f"""
        with free as (
            select m.ctid from audience_member m
             where m.audience = %(audience)s and m.segment <> '' and m.wanted {only}
               and not {_STAYS}
               for update skip locked)
        update audience_member m set wanted = false, 
               changed_at = coalesce({_LEFT_AT}, %(now)s)
          from free where m.ctid = free.ctid
        """,
        parameters,
    ).rowcount


def _put_on(connection: Connection, parameters: dict[str, Any], only: LiteralString) -> int:
    return connection.execute(
        f"""
        insert into audience_member as m
               (profile_id, audience, enrollment_id, wanted, changed_at, segment)
        select s.profile_id, %(audience)s, %(place)s, true, %(now)s, s.segment
          from segment_member s
         where s.segment = %(segment)s and s.member {only}
           and not exists (select from audience_member o where o.profile_id = s.profile_id
                  and o.audience = %(audience)s and o.enrollment_id = %(place)s and o.wanted)
        on conflict (profile_id, audience, enrollment_id) do update set
               wanted = true, changed_at = excluded.changed_at
         where not m.wanted
        """,
        parameters,
    ).rowcount
