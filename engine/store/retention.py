"""Deleting what has grown old, a batch a transaction, and remembering that it is gone.

What a batch finds in another's hands it leaves for the next time: nothing here waits for a lock
on anybody's rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from engine.store.database import Connection, ids, texts

#: The kinds that lie in a table by their time, oldest first in an index.
_BY_TIME: dict[str, LiteralString] = {
    "refusals": """
        delete from refusal where ctid = any(array(
            select ctid from refusal where at < %(before)s
             order by at limit %(limit)s for update skip locked))""",
    # What the drain set aside was accepted (P1).
    "rejected events": """
        delete from rejected where ctid = any(array(
            select ctid from rejected where source <> 'drain' and received_at < %(before)s
             order by received_at limit %(limit)s for update skip locked))""",
    # A message that is tried again carries the same link.
    "short links": """
        delete from short_link where ctid = any(array(
            select s.ctid from short_link s
             where s.made_at < %(before)s and not exists (
                   select from message m
                    where m.profile_id = coalesce((select f.profile_id from former_profile f
                                                    where f.id = s.profile_id), s.profile_id)
                      and m.id = s.message_id
                      and (m.status in ('due', 'claimed', 'unknown') or exists (
                           select from enrollment r where r.profile_id = m.profile_id
                              and r.id = m.enrollment_id and r.live)))
             order by s.made_at limit %(limit)s for update of s skip locked))""",
}
BY_TIME = tuple(_BY_TIME)

#: Events that no run and no decision names, of shoppers of whom no run can ask for any more. One
#: that alone tells that two identifiers are one shopper's stays: the audit goes by it (P3, P5).
_OLD_EVENTS: LiteralString = """
      from event e
      join unnest(%(names)s::text[], %(befores)s::timestamptz[]) as t(name, before)
        on t.name = e.name
     where e.profile_id = any(%(profiles)s::bigint[])
       and e.time < t.before and e.received_at < t.before
       and not exists (
           select from enrollment r where r.profile_id = e.profile_id
              and (r.live or r.status = 'active' or e.id in (r.event_id, r.stopped_by)))
       and not exists (
           select from message m where m.profile_id = e.profile_id
              and (m.event_id = e.id or m.status in ('due', 'claimed', 'unknown')))
       and not exists (
           select from consent_log l where l.profile_id = e.profile_id and l.event_id = e.id)
       and not e.properties ? 'consent'
       and not coalesce(e.context -> 'traits' ? 'consent', false)
       and (cardinality(e.identifiers) < 2 or exists (
           select from event k where k.profile_id = e.profile_id
              and k.name in ('Identify', 'Alias', 'Order Completed')
              and k.processed_at <= e.processed_at and k.identifiers @> e.identifiers))"""

_OLD_TRACES: LiteralString = """
      from enrollment r
     where r.profile_id = any(%(profiles)s::bigint[])
       and not r.live and r.status <> 'active' and r.ended_at < %(traces)s::timestamptz
       and jsonb_array_length(r.trace) > 1"""

#: Unresolved ones stay: a report may still settle them.
_OLD_ATTEMPTS: LiteralString = """
      from delivery d
      join message m on m.profile_id = d.profile_id and m.id = d.message_id
     where d.profile_id = any(%(profiles)s::bigint[])
       and m.status in ('sent', 'failed', 'skipped', 'cancelled')
       and m.settled_at < %(attempts)s::timestamptz
       and not exists (
           select from enrollment r where r.profile_id = m.profile_id
              and r.id = m.enrollment_id and r.live)"""


def forget(connection: Connection, kind: str, before: datetime, limit: int, now: datetime) -> int:
    """Delete the oldest rows of a kind of ``BY_TIME``, at most ``limit``; gives how many."""
    found = connection.execute(_BY_TIME[kind], {"before": before, "limit": limit}).rowcount
    if found:
        note(connection, {kind: found}, {kind: before}, now)
    return found


class Walk(NamedTuple):
    """The pass over all shoppers: it has done those up to the profile ``place``."""

    began_at: datetime
    place: int


def walk_due(connection: Connection, again: datetime) -> bool:
    """Whether a pass is under way, or the last one began before ``again``."""
    row = connection.execute(
        "select place is not null or began_at <= %s from retention_walk", [again]
    ).fetchone()
    return row is None or bool(row[0])


def take_walk(connection: Connection, now: datetime, again: datetime) -> Walk | None:
    """Take the pass that is under way, or begin one where the last began before ``again``, for
    this transaction. None: there is nothing to do, or another worker has it."""
    connection.execute(
        "insert into retention_walk (began_at, place) values (%s, -1) on conflict do nothing", [now]
    )
    row = connection.execute(
        "select began_at, place from retention_walk where place is not null or began_at <= %s"
        " for update skip locked",
        [again],
    ).fetchone()
    if row is None:
        return None
    return Walk(now, -1) if row[1] is None else Walk(*row)


def go_on(connection: Connection, walk: Walk, place: int | None) -> None:
    """The pass has come to the profile ``place``; None: to the end."""
    connection.execute(
        "update retention_walk set began_at = %s, place = %s", [walk.began_at, place]
    )


def shoppers_after(connection: Connection, place: int, limit: int) -> list[int]:
    rows = connection.execute(
        "select id from profile where id > %s order by id limit %s", [place, limit]
    )
    return [int(row[0]) for row in rows]


class Old(NamedTuple):
    """What is old: of events by name, each with its kind and the time before which it goes; of
    the traces of runs and of the attempts at messages, when these ended (None: they stay)."""

    events: Mapping[str, tuple[str, datetime]]
    traces: datetime | None
    attempts: datetime | None

    def befores(self) -> dict[str, datetime]:
        """By kind the time before which something may be gone."""
        found = {kind: before for kind, before in self.events.values()}
        for kind, before in self.events.values():
            found[kind] = max(found[kind], before)
        named = {"traces": self.traces, "attempts": self.attempts}
        return found | {kind: before for kind, before in named.items() if before is not None}


def forget_of(
    connection: Connection, profiles: Iterable[int], old: Old, now: datetime
) -> dict[str, int]:
    """Delete what is ``old`` of these shoppers but of those whom another worker has; gives how
    many rows of each kind went."""
    parameters: dict[str, Any] = {
        "profiles": ids(profiles),
        "names": texts(old.events),
        "befores": [before for _, before in old.events.values()],
        "traces": old.traces,
        "attempts": old.attempts,
    }
    # Only they are locked of whom something goes: a lock writes the row.
    rows = connection.execute(
        f"""
        select id from profile where id = any(array(
            select e.profile_id {_OLD_EVENTS} union select r.profile_id {_OLD_TRACES}
            union select d.profile_id {_OLD_ATTEMPTS}))
         order by id for update skip locked
        """,
        parameters,
    ).fetchall()
    if not rows:
        return {}
    parameters["profiles"] = ids(int(row[0]) for row in rows)
    gone: dict[str, int] = {}
    cut: dict[int, datetime] = {}
    for profile, name in connection.execute(
        f"""
        with old as (select e.id {_OLD_EVENTS})
        delete from event e using old where e.id = old.id returning e.profile_id, e.name
        """,
        parameters,
    ):
        kind, before = old.events[name]
        cut[int(profile)] = max(before, cut.get(int(profile), before))
        gone[kind] = gone.get(kind, 0) + 1
    if events := sum(gone.values()):
        _counted(connection, events)
    thinned = connection.execute(
        f"""
        with old as (select r.profile_id, r.id {_OLD_TRACES})
        update enrollment r set trace = jsonb_build_array(r.trace -> 0) from old
         where r.profile_id = old.profile_id and r.id = old.id returning r.profile_id
        """,
        parameters,
    ).fetchall()
    if old.traces is not None:
        for row in thinned:
            cut[int(row[0])] = max(old.traces, cut.get(int(row[0]), old.traces))
    attempts = connection.execute(
        f"""
        with old as (select d.profile_id, d.message_id, d.attempt {_OLD_ATTEMPTS})
        delete from delivery d using old
         where d.profile_id = old.profile_id and d.message_id = old.message_id
           and d.attempt = old.attempt
        """,
        parameters,
    ).rowcount
    gone |= {kind: n for kind, n in (("traces", len(thinned)), ("attempts", attempts)) if n}
    if cut:
        _cut(connection, cut)
    note(connection, gone, old.befores(), now)
    return gone


def note(
    connection: Connection, gone: Mapping[str, int], befores: Mapping[str, datetime], now: datetime
) -> None:
    """Add to what is gone, by kind."""
    kinds = sorted(gone)
    connection.execute(
        """
        insert into retention as r (kind, before, gone, gone_at)
        select kind, before, n, %s
          from unnest(%s::text[], %s::timestamptz[], %s::bigint[]) as t(kind, before, n)
        on conflict (kind) do update set before = greatest(r.before, excluded.before),
               gone = r.gone + excluded.gone, gone_at = excluded.gone_at
        """,
        [now, texts(kinds), [befores[kind] for kind in kinds], [gone[kind] for kind in kinds]],
    )


def _counted(connection: Connection, events: int) -> None:
    """They were taken, and are no longer there (P1)."""
    connection.execute(
        """
        insert into ledger as l (writer, fact, n) values ('retention', 'forgotten', %s)
        on conflict (writer, fact) do update set n = l.n + excluded.n
        """,
        [events],
    )


def _cut(connection: Connection, befores: Mapping[int, datetime]) -> None:
    connection.execute(
        """
        insert into log_gone as g (profile_id, before)
        select * from unnest(%s::bigint[], %s::timestamptz[])
        on conflict (profile_id) do update set before = greatest(g.before, excluded.before)
        """,
        [ids(befores), list(befores.values())],
    )


def whole_since(connection: Connection, profile: int) -> datetime | None:
    """Since when the log of a shopper is whole, where something of it is gone (P8)."""
    row = connection.execute(
        """
        select max(before) from log_gone
         where profile_id = %(profile)s
            or profile_id in (select id from former_profile where profile_id = %(profile)s)
        """,
        {"profile": profile},
    ).fetchone()
    return row[0] if row else None


def oldest_live(connection: Connection) -> datetime | None:
    """When the oldest run began that a stop or an event can still reach."""
    row = connection.execute("select min(entered_at) from enrollment where live").fetchone()
    return row[0] if row else None


class Gone(NamedTuple):
    """``n`` rows of a ``kind`` are gone, the last of them at ``at``."""

    kind: str
    n: int
    at: datetime


def gone(connection: Connection) -> list[Gone]:
    rows = connection.execute(
        "select kind, gone, gone_at from retention where gone_at is not null order by kind"
    )
    return [Gone(*row) for row in rows]


def known(connection: Connection) -> bool:
    """Whether the database has been brought so far that it holds any of this."""
    row = connection.execute("select to_regclass('retention') is not null").fetchone()
    return row is not None and bool(row[0])
