"""What the audit asks of PostgreSQL: the rows themselves, not what we meant to write.

All of it runs in one read-only transaction that sees one moment, so it may run beside the
workers. Large answers are streamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple

from engine.model.enrollment import IN_DOUBT
from engine.store.audit_checks import OF, RUN_OF, Check
from engine.store.database import Connection

#: Rows fetched at a time from a streamed answer: some MB at most.
FETCH = 2000
#: Examples kept of each kind of violation.
EXAMPLES = 5


def begin(connection: Connection) -> None:
    """Make the transaction that begins here see one moment, and write nothing."""
    connection.execute("set transaction isolation level repeatable read, read only")


def violations(connection: Connection, check: Check) -> tuple[int, list[str]]:
    """How many there are, and the first few."""
    row = connection.execute(
        f"select count(*), (array_agg(name))[1:{EXAMPLES}] from ({check.query}) as t(name)"
    ).fetchone()
    assert row is not None
    return int(row[0]), row[1] or []


class Ledger(NamedTuple):
    """The counters beside the rows that they must agree with. ``taken`` is what drains took out
    of the inbox, ``events`` the rows of history, and those that were erased."""

    accepted: int
    taken: int
    duplicates: int
    refused: int
    forgotten: int
    inbox: int
    events: int


def ledger(connection: Connection) -> Ledger:
    row = connection.execute(
        """
        select coalesce(sum(n) filter (where fact = 'accepted'), 0)::bigint,
               coalesce(sum(n) filter (where fact = 'taken'), 0)::bigint,
               coalesce(sum(n) filter (where fact = 'duplicate'), 0)::bigint,
               coalesce(sum(n) filter (where fact = 'refused'), 0)::bigint,
               coalesce(sum(n) filter (where fact = 'forgotten'), 0)::bigint,
               (select count(*) from inbox),
               (select count(*) from event)
                   + coalesce(sum(n) filter (where fact = 'erased'), 0)::bigint
          from ledger
        """
    ).fetchone()
    assert row is not None
    return Ledger(*row)


def facts(connection: Connection) -> dict[str, int]:
    """What there is: no violations, only figures."""
    row = connection.execute(
        """
        select (select count(*) from rejected where source = 'collector'),
               (select count(*) from enrollment),
               (select count(*) from enrollment where status = 'active'),
               (select count(*) from enrollment where status = 'stopped'),
               (select count(*) from enrollment where status = 'active' and wake_at is null),
               (select count(*) from delivery where settled_by <> ''),
               (select count(*) from coupon where claim is not null),
               (select count(*) from coupon_missed),
               count(*),
               count(*) filter (where status = 'sent'),
               count(*) filter (where status = 'due'),
               count(*) filter (where status = 'claimed'),
               count(*) filter (where status = 'unknown'),
               count(*) filter (where status = 'unresolved'),
               count(*) filter (where status = 'failed'),
               count(*) filter (where status = 'skipped'),
               count(*) filter (where status = 'cancelled')
          from message
        """
    ).fetchone()
    assert row is not None
    names = ("refused_at_the_door", "runs", "active", "stopped", "standing_still", "resolved")
    coupons = ("coupons_claimed", "coupons_missed")
    statuses = ("sent", "due", "claimed", "unknown", "unresolved", "failed", "skipped", "cancelled")
    return dict(zip((*names, *coupons, "messages", *statuses), row, strict=True))


def wire(connection: Connection) -> timedelta:
    """The widest time, on the shop's clock, from a message's claim to the provider's call."""
    row = connection.execute(
        "select max(handed_at - claimed_at) from message where handed_at is not null"
    ).fetchone()
    return row[0] if row and row[0] else timedelta(0)


class Stopper(NamedTuple):
    """A handed message, and an event after its run's start whose name stops that journey.

    ``visible``  the transaction that accepted the event was visible to the one that claimed.
    ``tied``     event and trigger name an identifier in common.
    """

    message: str
    profile: int
    journey: str
    version: str
    key: str
    trigger_id: str
    trigger: dict[str, Any]
    event: str
    name: str
    time: datetime
    properties: dict[str, Any]
    visible: bool
    tied: bool
    snapshot: str


Names = Sequence[tuple[str, str, str]]

_STOPS: LiteralString = """unnest(%(journeys)s::text[], %(versions)s::text[], %(names)s::text[])
    as s(journey, version, name)"""


def stoppers(connection: Connection, names: Names, since: datetime | None) -> Iterator[Stopper]:
    """Stop events (``names``: journey, version, event name) that lie after the start of a run
    whose message was handed over, and were accepted or at least happened before its claim. The
    version is the message's: an edit may have moved its run to another since."""
    query = f"""
        select m.id::text, m.profile_id, r.journey, m.version, r.key, r.event_id,
               coalesce(t.properties, '{{}}'), e.id, e.name, e.time, e.properties,
               pg_visible_in_snapshot(e.accept_xid, m.gate_snapshot),
               e.identifiers = '{{}}' or t.id is null or e.identifiers && t.identifiers,
               m.gate_snapshot::text
          from message m
          join {RUN_OF}
          join {_STOPS} on s.journey = r.journey and s.version = m.version
          join event e on e.profile_id = m.profile_id and e.name = s.name
           and e.time >= r.entered_at and (e.time, e.id collate "C") > (r.entered_at, r.event_id)
          left join event t on t.id = r.event_id
         where m.gate_snapshot is not null and {_SINCE}
           and (e.time < m.claimed_at or pg_visible_in_snapshot(e.accept_xid, m.gate_snapshot))
           and exists (select from delivery d where {OF})"""
    for row in _stream(connection, query, _parameters(names, since)):
        yield Stopper(*row)


class StoppedRun(NamedTuple):
    """A run beside an event whose name stops its journey: the one that is said to have stopped
    it, or one that lies after the start of a run that goes on."""

    run: str
    profile: int
    journey: str
    version: str
    key: str
    trigger_id: str
    trigger: dict[str, Any]
    event: str
    name: str
    time: datetime
    properties: dict[str, Any]
    #: a rule raised, and nobody could say whether the event stops it
    in_doubt: bool


_RUN_AND_EVENT: LiteralString = """
        select r.id::text, r.profile_id, r.journey, r.version, r.key, r.event_id,
               coalesce(t.properties, '{}'), e.id, e.name, e.time, e.properties,
               starts_with(r.reason, %(doubt)s)
          from enrollment r left join event t on t.id = r.event_id"""


def stopped(connection: Connection) -> Iterator[StoppedRun]:
    """Stopped runs, each with the event that stopped it."""
    query = f"""{_RUN_AND_EVENT}
          join event e on e.id = r.stopped_by
         where r.status = 'stopped'"""
    for row in _stream(connection, query, {"doubt": IN_DOUBT}):
        yield StoppedRun(*row)


def missed(connection: Connection, names: Names) -> Iterator[StoppedRun]:
    """Runs that go on, each with an event worked after its start whose name stops its journey."""
    query = f"""{_RUN_AND_EVENT}
          join {_STOPS} on s.journey = r.journey and s.version = r.version
          join event e on e.profile_id = r.profile_id and e.name = s.name
           and e.time >= r.entered_at and (e.time, e.id collate "C") > (r.entered_at, r.event_id)
         where r.live"""
    for row in _stream(connection, query, _parameters(names, None)):
        yield StoppedRun(*row)


class Twins(NamedTuple):
    """Several messages of one run about one step, and how many steps the run has passed."""

    run: str
    step: str
    visits: int
    messages: list[str]


def twins(connection: Connection) -> Iterator[Twins]:
    query = f"""
        select r.id::text, m.step, max(r.visits), array_agg(m.id::text)
          from message m join {RUN_OF}
         group by r.id, m.step having count(*) > 1"""
    for row in _stream(connection, query, {}):
        yield Twins(*row)


def seen_events(connection: Connection, profile: int, snapshot: str) -> list[tuple[str, list[str]]]:
    """(id, identifiers) of the profile's events whose acceptance ``snapshot`` could see."""
    return connection.execute(
        """
        select id, identifiers from event
         where profile_id = %s and pg_visible_in_snapshot(accept_xid, %s::pg_snapshot)
        """,
        [profile, snapshot],
    ).fetchall()


_SINCE: LiteralString = "(%(since)s::timestamptz is null or m.claimed_at >= %(since)s)"


def _parameters(names: Names, since: datetime | None) -> dict[str, Any]:
    return {
        "journeys": [name[0] for name in names],
        "versions": [name[1] for name in names],
        "names": [name[2] for name in names],
        "since": since,
        "doubt": IN_DOUBT,
    }


def _stream(
    connection: Connection, query: LiteralString, parameters: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name="audit") as cursor:
        cursor.itersize = FETCH
        cursor.execute(query, parameters)
        yield from cursor
