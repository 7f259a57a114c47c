"""What the audit asks about permission (P5): handed messages that the rules of today speak
against, each to be looked at with what the gate could know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple

from engine.model.policy import Cap
from engine.model.profile import PAUSED, STOPPED
from engine.store.audit import FETCH
from engine.store.database import Connection


class Handed(NamedTuple):
    """A message that was handed to a provider, with its shopper as they are today."""

    message: str
    profile: int
    channel: str
    topic: str
    trigger_id: str
    claimed_at: datetime
    snapshot: str
    traits: dict[str, Any]


_HANDED: LiteralString = """
    select m.id::text, m.profile_id, m.channel, m.topic, m.event_id, m.claimed_at,
           m.gate_snapshot::text, p.traits
      from message m join profile p on p.id = m.profile_id"""
_WHERE: LiteralString = """
     where m.gate_snapshot is not null
       and (%(since)s::timestamptz is null or m.claimed_at >= %(since)s)
       and exists (select from delivery d where d.profile_id = m.profile_id and d.message_id = m.id)
"""


def without_consent(
    connection: Connection,
    none: Sequence[str],
    opt_out: Sequence[str],
    double: Sequence[str],
    since: datetime | None,
) -> Iterator[Handed]:
    """Messages for which no yes is on record that was given before their claim, or a later no, a
    STOP or a pause. ``none``: topics that need no consent; ``opt_out``: topics that only a no
    forbids; ``double``: topics whose yes must have been confirmed."""
    query = f"""{_HANDED}
      left join lateral (
           select granted from consent c
            where c.profile_id = m.profile_id and c.channel = m.channel
              and c.topic in ('*', m.topic) and c.at <= m.claimed_at
            order by c.at desc, c.granted, c.topic = '*' limit 1) c on true
           {_WHERE}
       and m.topic <> all(%(none)s)
       and (not coalesce(c.granted, m.topic = any(%(opt_out)s))
            or exists (select from consent h
                where h.profile_id = m.profile_id and h.channel = m.channel and not h.granted
                  and h.topic in (%(stopped)s, %(paused)s) and h.at <= m.claimed_at
                  and coalesce(h.until, 'infinity') > m.claimed_at)
            or (m.topic = any(%(double)s) and not exists (select from consent_log l
                where l.profile_id = m.profile_id and l.channel = m.channel
                  and l.topic in ('*', m.topic) and l.word = 'confirmed'
                  and l.recorded_at <= m.claimed_at)))"""
    places = {"stopped": STOPPED, "paused": PAUSED}
    topics = {"none": none, "opt_out": opt_out, "double": double}
    yield from _handed(connection, query, **topics, **places, since=since)


def suppressed(connection: Connection, since: datetime | None) -> Iterator[Handed]:
    """Messages to an address that was blocked before their claim. When a block became visible
    is told by the transaction that wrote its row (xmin, with the epoch that it lacks)."""
    query = f"""{_HANDED}
      join suppression s on s.channel = m.channel
       and s.address = case when m.channel = 'email' then 'email:' || (p.traits ->> 'email')
                            else 'phone:' || (p.traits ->> 'phone') end
      cross join (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) x
      cross join lateral (select x.next - (x.next & 4294967295) + s.xmin::text::bigint as id) w
           {_WHERE}
       and s.at < m.claimed_at
       and pg_visible_in_snapshot(
           (case when w.id >= x.next then w.id - 4294967296 else w.id end)::text::xid8,
           m.gate_snapshot)"""
    yield from _handed(connection, query, since=since)


def on_channels(
    connection: Connection, channels: Sequence[str], none: Sequence[str], since: datetime | None
) -> Iterator[Handed]:
    """All messages on ``channels``; those whose topic is one of ``none`` left out."""
    query = f"""{_HANDED} {_WHERE}
       and m.channel = any(%(channels)s) and m.topic <> all(%(none)s)"""
    yield from _handed(connection, query, channels=channels, none=none, since=since)


class OverCap(NamedTuple):
    """A message with more before it, in the window that ends at its claim, than a cap allows.
    ``others``: the trigger events of all messages in the window, its own among them."""

    message: str
    profile: int
    trigger_id: str
    snapshot: str
    others: list[str]


def over_cap(
    connection: Connection,
    cap: Cap,
    none: Sequence[str],
    since: datetime | None,
) -> Iterator[OverCap]:
    """Messages beyond ``cap``."""
    query: LiteralString = """
        select m.id::text, m.profile_id, m.event_id, m.snapshot, m.others from (
            select m.id, m.profile_id, m.event_id, m.gate_snapshot::text as snapshot, m.claimed_at,
                   array_agg(m.event_id) over (
                       partition by m.profile_id order by m.claimed_at
                       range between %(within)s preceding and current row) as others
              from message m
             where m.claimed_at is not null
               and m.status in ('claimed', 'sent', 'unknown', 'unresolved')
               and m.topic <> all(%(none)s) and (%(channel)s = '*' or m.channel = %(channel)s)
               and (%(topic)s = '*' or m.topic = %(topic)s)) m
         where cardinality(m.others) > %(most)s
           and (%(since)s::timestamptz is null or m.claimed_at >= %(since)s)"""
    parameters = {
        "channel": cap.channel,
        "topic": cap.topic,
        "most": cap.messages,
        # What went exactly one window ago has left it.
        "within": cap.within - timedelta(microseconds=1),
        "none": list(none),
        "since": since,
    }
    with connection.cursor(name="permissions") as cursor:
        cursor.itersize = FETCH
        cursor.execute(query, parameters)
        for row in cursor:
            yield OverCap(*row)


class Said(NamedTuple):
    """An event of a shopper that may hold a decision about consent."""

    id: str
    kind: Any
    name: str
    time: datetime
    received_at: datetime
    identifiers: list[str]
    properties: dict[str, Any]
    context: dict[str, Any]


def said(connection: Connection, profile: int, snapshot: str) -> list[Said]:
    """What ``snapshot`` could see of the profile's decisions about consent."""
    rows = connection.execute(
        """
        select id, kind, name, time, received_at, identifiers, properties, context from event
         where profile_id = %s and pg_visible_in_snapshot(accept_xid, %s::pg_snapshot)
           and (name like 'Consent %%' or properties ? 'consent'
                or context -> 'traits' ? 'consent')
        """,
        [profile, snapshot],
    )
    return [Said(*row) for row in rows]


#: Traits by which a shopper is reached, and which tell by whose clocks and laws.
_TEACHING = ("email", "phone", "timezone", "address", "location", "country", "country_code")


def taught(connection: Connection, profile: int) -> list[str]:
    """Events that may have told us the shopper's address, country or time zone."""
    rows = connection.execute(
        """
        select id from event
         where profile_id = %(profile)s
           and (context ?| array['timezone', 'location'] or context -> 'traits' ?| %(traits)s
                or properties ?| %(traits)s)
        """,
        {"profile": profile, "traits": list(_TEACHING)},
    )
    return [str(row[0]) for row in rows]


def _handed(connection: Connection, query: LiteralString, **parameters: Any) -> Iterator[Handed]:
    with connection.cursor(name="permissions") as cursor:
        cursor.itersize = FETCH
        cursor.execute(
            query, {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
        )
        for row in cursor:
            yield Handed(*row)
