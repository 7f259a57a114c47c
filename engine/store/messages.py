"""Messages and their deliveries: written with the decision, claimed before the call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from engine.model.message import Message, Sent
from engine.model.profile import Profile
from engine.store import coupons
from engine.store.database import Connection, texts, to_json
from engine.store.database import ids as array
from engine.store.profiles import PROFILE_COLUMNS, profile_of

_COLUMNS: LiteralString = (
    "m.id::text, m.enrollment_id::text, m.profile_id, m.journey, m.version, m.step, m.channel,"
    " m.template, m.topic, m.event_id, m.created_at, m.due_at, m.expires_at, m.on_unknown,"
    " m.offer, m.status, m.attempts, m.reason, m.priority, m.when_quiet, m.when_capped, m.grace,"
    " m.provider"
)


def insert(connection: Connection, messages: list[Message]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            """
            copy message (id, enrollment_id, profile_id, journey, version, step, channel, template,
                topic, event_id, created_at, due_at, expires_at, on_unknown, offer, status, reason,
                priority, when_quiet, when_capped, grace)
            from stdin
            """
        ) as copy,
    ):
        for m in messages:
            copy.write_row(
                (
                    m.id,
                    m.enrollment_id,
                    m.profile_id,
                    m.journey,
                    m.version,
                    m.step,
                    m.channel,
                    m.template,
                    m.topic,
                    m.event_id,
                    m.created_at,
                    m.due_at,
                    m.expires_at,
                    m.on_unknown,
                    to_json(m.offer),
                    m.status,
                    m.reason,
                    m.priority,
                    m.when_quiet,
                    m.when_capped,
                    m.grace,
                )
            )


def cancel(connection: Connection, profiles: list[int], runs: list[str], now: datetime) -> int:
    """Cancel what stopped runs still meant to send; gives how many messages that were."""
    return connection.execute(
        """
        update message set status = 'cancelled', reason = 'stopped', settled_at = %s
         where profile_id = any(%s::bigint[]) and enrollment_id = any(%s::uuid[]) and status = 'due'
        """,
        [now, array(profiles), array(runs)],
    ).rowcount


#: The kinds of message that are due, by channel and topic: a step through the index for each, so
#: that what waits in one is not read to find the other.
_KINDS: LiteralString = """
    recursive kind as (
        (select channel, topic from message where status = 'due' and held = ''
          order by channel, topic limit 1)
        union all
        select next.channel, next.topic from kind k cross join lateral (
            select channel, topic from message
             where status = 'due' and held = '' and (channel, topic) > (k.channel, k.topic)
             order by channel, topic limit 1) next)"""


def due_shards(connection: Connection, now: datetime, shards: int) -> list[int]:
    """Which shards (profile id modulo ``shards``) have messages due."""
    rows = connection.execute(
        f"""
        with {_KINDS}
        select s from generate_series(0, %(shards)s - 1) s where exists (
            select 1 from kind k cross join lateral (
                select 1 from message m
                 where m.status = 'due' and m.held = '' and m.channel = k.channel
                   and m.topic = k.topic and m.due_at <= %(now)s
                   and m.profile_id %% %(shards)s = s limit 1) due)
        """,
        {"shards": shards, "now": now},
    )
    return [int(row[0]) for row in rows]


class Candidate(NamedTuple):
    """A message that is due, with what its template will say it about."""

    message: Message
    profile: Profile
    properties: dict[str, Any]
    key: str


_CANDIDATES: LiteralString = f"""
        select {_COLUMNS}, e.properties, r.key, {PROFILE_COLUMNS}
          from message m
          join profile p on p.id = m.profile_id
          join enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id
          left join event e on e.id = m.event_id"""


class Look(NamedTuple):
    """What to look for. ``topics`` are those that the shop's rules name: what is said of the topic
    "" holds for all others. ``urgent`` ones come first. Nothing is looked at of the (channel,
    topic)s that are ``closed``, and of those in ``at_most`` no more than so many."""

    topics: Sequence[str] = ()
    urgent: Sequence[str] = ()
    closed: Collection[tuple[str, str]] = ()
    at_most: Mapping[tuple[str, str], int] = {}

    def open_to(self, message: Message) -> bool:
        topic = message.topic if message.topic in self.topics else ""
        return (message.channel, topic) not in self.closed


EVERYTHING = Look()

#: No row where ``m`` would overtake an older message of its run on its channel, one that is due as
#: well. Who stands aside is not waited for: what a pause holds, what was put off, what is of a
#: kind that cannot go just now, what was tried and waits for its own provider. Nor does a receipt
#: wait for promotion. It is found by the shopper, who has few: ``|| ''`` keeps it from the index
#: over all that is due.
_IN_TURN: LiteralString = """
    (select true from message o
      where o.profile_id = m.profile_id and o.enrollment_id = m.enrollment_id
        and o.channel = m.channel and o.created_at < m.created_at
        and o.status = 'due' and o.held || '' = '' and o.due_at <= %(now)s
        and not (o.attempts > 0 and o.on_unknown = 'retry')
        and not (m.topic = any(%(urgent)s::text[]) and o.topic <> all(%(urgent)s::text[]))
        and not (o.channel, case when o.topic = any(%(topics)s::text[]) then o.topic else '' end)
                in (select * from unnest(%(closed)s::text[], %(closed_topics)s::text[]))
      limit 1) is null"""


def _of(look: Look, now: datetime | None) -> dict[str, Any]:
    return {
        "now": now,
        "urgent": texts(look.urgent),
        "topics": texts(look.topics),
        "closed": texts(channel for channel, _ in look.closed),
        "closed_topics": texts(topic for _, topic in look.closed),
    }


def candidates(
    connection: Connection,
    now: datetime,
    limit: int,
    shard: int = 0,
    shards: int = 1,
    look: Look = EVERYTHING,
) -> list[Candidate]:
    """Messages that are due, the urgent first, then the oldest; nothing is claimed yet."""
    rows = connection.execute(
        f"""
        with {_KINDS},
        found as (
            select d.profile_id, d.id, d.due_at, k.topic = any(%(urgent)s::text[]) as urgent
              from kind k
              cross join lateral (
                select case when k.topic = any(%(topics)s::text[]) then k.topic else '' end
                ) n(topic)
              left join unnest(%(limited)s::text[], %(limited_topics)s::text[], %(most)s::int[])
                as l(channel, topic, most) on l.channel = k.channel and l.topic = n.topic
              cross join lateral (
                select m.profile_id, m.id, m.due_at from message m
                 where m.status = 'due' and m.held = '' and m.channel = k.channel
                   and m.topic = k.topic and m.due_at <= %(now)s
                   and m.profile_id %% %(shards)s = %(shard)s and {_IN_TURN}
                 order by m.due_at limit least(coalesce(l.most, %(limit)s), %(limit)s)) d
             where not (k.channel, n.topic) in (
                    select * from unnest(%(closed)s::text[], %(closed_topics)s::text[]))
             order by urgent desc, d.due_at limit %(limit)s)
        {_CANDIDATES}
          join found f on f.profile_id = m.profile_id and f.id = m.id
         order by f.urgent desc, f.due_at
        """,
        {
            **_of(look, now),
            "limit": limit,
            "shard": shard,
            "shards": shards,
            "limited": texts(channel for channel, _ in look.at_most),
            "limited_topics": texts(topic for _, topic in look.at_most),
            "most": list(look.at_most.values()),
        },
    )
    return list(map(_candidate, rows))


def rivals(
    connection: Connection, profiles: list[int], now: datetime, look: Look = EVERYTHING
) -> list[Candidate]:
    """All that is due to these shoppers: what ``candidates`` found may have to stand back behind
    something that has been due for less long."""
    rows = connection.execute(
        f"""
        {_CANDIDATES}
         where m.status = 'due' and m.held = '' and m.due_at <= %(now)s
           and m.profile_id = any(%(profiles)s::bigint[]) and {_IN_TURN}
         order by m.due_at
        """,
        {**_of(look, now), "profiles": array(profiles)},
    )
    return list(map(_candidate, rows))


def fresh_candidates(
    connection: Connection,
    messages: Iterable[tuple[int, str]],
    now: datetime,
    look: Look = EVERYTHING,
) -> list[Candidate]:
    """Those of ``messages`` (profile, id) that are due."""
    wanted = list(messages)
    rows = connection.execute(
        f"""
        {_CANDIDATES}
         where m.profile_id = any(%(profiles)s::bigint[]) and m.id = any(%(ids)s::uuid[])
           and m.status = 'due' and m.held = '' and m.due_at <= %(now)s and {_IN_TURN}
         order by m.due_at
        """,
        {
            **_of(look, now),
            "profiles": array(profile for profile, _ in wanted),
            "ids": array(id for _, id in wanted),
        },
    )
    return list(map(_candidate, rows))


def first_due(connection: Connection, until: Mapping[int, datetime] | datetime) -> list[Candidate]:
    """For event-time replay: of each shopper what is due first by ``until`` (each by their own
    where there is one for each), and all that is due at that very moment."""
    if isinstance(until, datetime):
        due: LiteralString = "select profile_id, due_at, id from message where status = 'due'"
        due += " and due_at <= %(until)s"
        parameters: dict[str, Any] = {"until": until}
    else:
        due = """
            select d.profile_id, d.due_at, d.id
              from unnest(%(profiles)s::bigint[], %(until)s::timestamptz[]) as t(profile_id, until)
              join message d using (profile_id)
             where d.status = 'due' and d.due_at <= t.until"""
        parameters = {"profiles": array(until), "until": list(until.values())}
    rows = connection.execute(
        f"""
        {_CANDIDATES}
          join (select *, rank() over (partition by profile_id order by due_at) as place
                  from ({due}) due) f on f.profile_id = m.profile_id and f.id = m.id
         where f.place = 1 order by m.due_at, m.priority desc, m.id
        """,
        parameters,
    )
    return list(map(_candidate, rows))


def _candidate(row: tuple[Any, ...]) -> Candidate:
    message, rest = row[: len(Message.__struct_fields__)], row[len(Message.__struct_fields__) :]
    return Candidate(Message(*message), profile_of(rest[2:]), rest[0] or {}, rest[1])


def lock_due(
    connection: Connection, profiles: list[int], ids: list[str], now: datetime | None, look: Look
) -> set[str]:
    """Lock the messages; gives those that are still due, whose run no stop has ended, and (with
    ``now``; event-time replay keeps their order itself) that overtake none of it."""
    rows = connection.execute(
        f"""
        select m.id::text from message m
          join enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id
         where m.profile_id = any(%(profiles)s::bigint[]) and m.id = any(%(ids)s::uuid[])
           and m.status = 'due' and r.status not in ('stopped', 'merged')
           and (%(now)s::timestamptz is null or {_IN_TURN})
         order by m.id for update of m
        """,
        {**_of(look, now), "profiles": array(profiles), "ids": array(ids)},
    )
    return {str(row[0]) for row in rows}


def sent_since(
    connection: Connection, profiles: list[int], since: datetime, uncapped: list[str]
) -> dict[int, list[Sent]]:
    """What was handed to providers, by profile: what caps count. Messages of ``uncapped`` topics
    (transactional) do not use up a cap."""
    found: dict[int, list[Sent]] = {}
    for profile, channel, topic, at in connection.execute(
        """
        select profile_id, channel, topic, claimed_at from message
         where profile_id = any(%s::bigint[]) and claimed_at > %s
           and status in ('claimed', 'sent', 'unknown', 'unresolved') and topic <> all(%s)
        """,
        [array(profiles), since, uncapped],
    ):
        found.setdefault(profile, []).append(Sent(channel, topic, at))
    return found


def suppressed(connection: Connection, addresses: list[str]) -> dict[tuple[str, str], str]:
    """(address, channel) -> reason, for those of ``addresses`` that are blocked."""
    rows = connection.execute(
        "select address, channel, reason from suppression where address = any(%s::text[])",
        [texts(addresses)],
    )
    return {(address, channel): reason for address, channel, reason in rows}


def cancel_stopped(
    connection: Connection, profiles: list[int], ids: list[str], now: datetime
) -> None:
    """Cancel those of the messages that are due although a stop has ended their run: it came
    while the provider was called, and the provider put the message off."""
    rows = connection.execute(
        """
        update message m set status = 'cancelled', reason = r.status, settled_at = %s
          from enrollment r
         where m.profile_id = any(%s::bigint[]) and m.id = any(%s::uuid[]) and m.status = 'due'
           and r.profile_id = m.profile_id and r.id = m.enrollment_id
           and r.status in ('stopped', 'merged')
        returning m.profile_id, m.enrollment_id::text
        """,
        [now, array(profiles), array(ids)],
    ).fetchall()
    if rows:
        coupons.return_of_stopped(connection, [r[0] for r in rows], [r[1] for r in rows], now)
