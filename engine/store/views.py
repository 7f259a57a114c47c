"""What the live page shows, read and never written. Each query is small enough to run every
second on a demo; none of them is in the hot path."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from engine.model.journey import WITHOUT
from engine.store.database import Connection

#: How a shopper is called on a page: the best name known of the profile ``p``.
_CALLED = """
    coalesce(nullif(concat_ws(' · ', p.traits->>'first_name', p.traits->>'email'), ''),
             split_part(p.born_of, ':', 1) || ' ' || left(split_part(p.born_of, ':', 2), 12), '?')
"""


class Counts(NamedTuple):
    """The whole of it in numbers.

    ``accepted``            events committed by the collector, a repeated one counted each time.
    ``processed``           different events that took effect.
    ``inbox``               accepted and not yet worked.
    ``stopped_by_purchase`` runs that an Order Completed ended.
    ``sent_after_stop``     messages whose gate could see the accepted stop event and let them
                            through all the same (P3): anything but 0 is a fault.
    """

    accepted: int
    processed: int
    inbox: int
    runs: int
    waiting: int
    sent: int
    refused: int
    cancelled: int
    stopped_by_purchase: int
    on_audiences: int
    sent_after_stop: int


def counts(connection: Connection) -> Counts:
    row = connection.execute(
        f"""
        select (select coalesce(sum(n), 0) from ledger where fact = 'accepted')::bigint,
               (select count(*) from event),
               (select count(*) from inbox),
               r.runs, r.waiting, m.sent, m.refused, m.cancelled, r.bought,
               (select count(distinct profile_id) from audience_member where wanted),
               ({_AFTER_STOP})
          from (select count(*) as runs,
                       count(*) filter (where status = 'active') as waiting,
                       count(*) filter (where status = 'stopped' and exists (
                           select 1 from event s
                            where s.id = e.stopped_by and s.name = 'Order Completed')) as bought
                  from enrollment e) r,
               (select count(*) filter (where status = 'sent') as sent,
                       count(*) filter (where status in ('skipped', 'failed')) as refused,
                       count(*) filter (where status = 'cancelled') as cancelled
                  from message) m
        """
    ).fetchone()
    assert row is not None
    return Counts(*row)


# PostgreSQL itself is the judge: could the transaction that claimed the message see the one
# that accepted the stop? Only stops that named the shopper as the trigger did are counted here;
# chains of names, known or not by then, are for the audit to follow.
_AFTER_STOP = """
    select count(*)
      from enrollment e
      join event s on s.id = e.stopped_by
      join message m on m.profile_id = e.profile_id and m.enrollment_id = e.id
      left join event t on t.id = e.event_id
     where e.status = 'stopped' and m.gate_snapshot is not null
       and pg_visible_in_snapshot(s.accept_xid, m.gate_snapshot)
       and (s.identifiers = '{}' or t.id is null or s.identifiers && t.identifiers)
"""


class JourneyCounts(NamedTuple):
    """One journey: how many shoppers entered, and where those runs are now (they add up). Who is
    still before the end of the trigger's ``without`` has not entered."""

    journey: str
    entered: int
    waiting: int
    bought: int
    left: int
    finished: int
    held_out: int
    sent: int


def journeys(connection: Connection) -> list[JourneyCounts]:
    rows = connection.execute(
        """
        with runs as (
            select e.journey, count(*) as entered,
                   count(*) filter (where not held_out and status = 'active') as waiting,
                   count(*) filter (where not held_out and status = 'stopped' and goal) as bought,
                   count(*) filter (
                       where not held_out and status in ('stopped', 'merged') and not goal) as left,
                   count(*) filter (where not held_out and status = 'finished') as finished,
                   count(*) filter (where held_out) as held_out
              from enrollment e
             where not starts_with(coalesce(at, ''), %s) group by e.journey)
        select r.*, (select count(*) from message m
                      where m.journey = r.journey and m.status = 'sent')
          from runs r order by r.entered desc, r.journey
        """,
        [WITHOUT],
    )
    return [JourneyCounts(*row) for row in rows]


class EventLine(NamedTuple):
    """An event as a line of the live page. ``what`` is the product, order or topic it names."""

    id: str
    name: str
    what: str
    shopper: str
    time: datetime


def latest_events(connection: Connection, limit: int) -> list[EventLine]:
    rows = connection.execute(
        f"""
        select e.id, e.name,
               coalesce(e.properties->>'name', left(e.properties->>'order_id', 14),
                        e.properties->>'topic', e.properties->>'path', ''),
               {_CALLED}, e.time
          from (select * from event order by processed_at desc, time desc limit %s) e
          left join profile p on p.id = e.profile_id
         order by e.processed_at desc, e.time desc
        """,
        [limit],
    )
    return [EventLine(*row) for row in rows]


class RunLine(NamedTuple):
    """A run as a line of the live page; ``moved_at`` is when it began or ended."""

    id: str
    journey: str
    key: str
    shopper: str
    status: str
    goal: bool
    held_out: bool
    reason: str
    wake_at: datetime | None
    moved_at: datetime


def latest_runs(connection: Connection, limit: int) -> list[RunLine]:
    rows = connection.execute(
        f"""
        select e.id::text, e.journey, e.key, {_CALLED}, e.status, e.goal, e.held_out, e.reason,
               e.wake_at, coalesce(e.ended_at, e.entered_at) as moved_at
          from enrollment e left join profile p on p.id = e.profile_id
         order by moved_at desc limit %s
        """,
        [limit],
    )
    return [RunLine(*row) for row in rows]


class MessageLine(NamedTuple):
    """A message as a line of the live page; ``at`` is the last thing that happened to it."""

    id: str
    channel: str
    template: str
    shopper: str
    status: str
    reason: str
    at: datetime


def latest_messages(connection: Connection, limit: int) -> list[MessageLine]:
    rows = connection.execute(
        f"""
        select m.id::text, m.channel, m.template, {_CALLED}, m.status, m.reason,
               coalesce(m.settled_at, m.claimed_at, m.created_at) as at
          from message m left join profile p on p.id = m.profile_id
         order by at desc limit %s
        """,
        [limit],
    )
    return [MessageLine(*row) for row in rows]


class Progress(NamedTuple):
    """What the pipeline still has in hand. All zero: it is dry."""

    inbox: int
    due: int
    on_the_wire: int
    waiting: int
    next_at: datetime | None


def progress(connection: Connection, now: datetime) -> Progress:
    """How far the pipeline is. ``due`` counts timers and messages whose time has come;
    ``waiting`` those whose time is still ahead, ``next_at`` the first of them."""
    row = connection.execute(
        """
        with timers as (
            select wake_at as at from enrollment where status = 'active' and wake_at is not null
            union all
            select due_at from message where status = 'due')
        select (select count(*) from inbox),
               (select count(*) from timers where at <= %(now)s),
               (select count(*) from message where status = 'claimed'),
               (select count(*) from timers where at > %(now)s),
               (select min(at) from timers where at > %(now)s)
        """,
        {"now": now},
    ).fetchone()
    assert row is not None
    return Progress(*row)


def missing(connection: Connection, ids: Collection[str]) -> int:
    """How many of these events are neither worked, nor in the inbox, nor set aside."""
    row = connection.execute(
        """
        select count(*) from unnest(%s::text[]) as t(id)
         where not exists (select 1 from event e where e.id = t.id)
           and not exists (select 1 from inbox i where i.id = t.id)
           and not exists (select 1 from rejected r where position(t.id in r.body) > 0)
        """,
        [list(ids)],
    ).fetchone()
    return int(row[0]) if row else len(ids)


def is_fresh(connection: Connection) -> bool:
    """Whether nobody's events are here: no schema of ours yet, or one without a row in it."""
    row = connection.execute("select to_regclass('profile'), to_regclass('inbox')").fetchone()
    if row is None or None in row:
        return True
    found = connection.execute(
        "select exists (select 1 from profile) or exists (select 1 from inbox)"
    ).fetchone()
    return found is not None and not found[0]
