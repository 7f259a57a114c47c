"""Providers and senders: in trouble, paused, and how much of their limits is leased."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from engine.store import report_counts
from engine.store.claims import held_by
from engine.store.database import Connection


class State(NamedTuple):
    """A row of ``sender_state``: see engine.core.sending.Trouble."""

    provider: str
    kind: str
    reason: str
    since: datetime
    until: datetime
    probes: int


def known(connection: Connection) -> bool:
    """Whether the database has been brought so far that it holds any of this."""
    row = connection.execute("select to_regclass('sender_state') is not null").fetchone()
    return row is not None and bool(row[0])


def states(connection: Connection) -> list[State]:
    rows = connection.execute(
        "select provider, kind, reason, since, until, probes from sender_state order by provider"
    )
    return [State(*row) for row in rows]


def set_state(connection: Connection, state: State) -> bool:
    """Note that a provider is in trouble; False where that was known. What one worker after the
    other finds out does not push the next probe away."""
    row = connection.execute(
        """
        insert into sender_state as s (provider, kind, reason, since, until, probes)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (provider) do update set
               kind = excluded.kind, reason = excluded.reason,
               since = case when s.kind = 'busy' and excluded.kind = 'busy'
                                 and s.until > excluded.since
                            then s.since else excluded.since end,
               until = case when s.kind = 'busy' then greatest(s.until, excluded.until)
                            else s.until end
         where s.kind = 'busy' or (s.kind = 'away' and excluded.kind = 'account')
        returning s.since
        """,
        [*state],
    ).fetchone()
    return row is not None and bool(row[0] == state.since)


def take_probe(connection: Connection, provider: str, now: datetime, until: datetime) -> bool:
    """Be the one who tries a provider in trouble again; False where another is. If nothing is
    heard of it, the next try is at ``until``."""
    return bool(
        connection.execute(
            """
            update sender_state set until = %s, probes = probes + 1
             where provider = %s and kind <> 'busy' and until <= %s
            """,
            [until, provider, now],
        ).rowcount
    )


def give_probe_back(connection: Connection, provider: str, now: datetime) -> None:
    """No message was there to try it with."""
    connection.execute(
        """
        update sender_state set until = %s, probes = probes - 1
         where provider = %s and kind <> 'busy' and probes > 0
        """,
        [now, provider],
    )


def clear_state(connection: Connection, provider: str) -> bool:
    """The provider works again; False where that was known."""
    found = connection.execute("delete from sender_state where provider = %s", [provider])
    return bool(found.rowcount)


class Leased(NamedTuple):
    """A row of ``sender_rate``, locked: see engine.core.rates.Book. ``now`` in seconds of
    PostgreSQL's clock."""

    next_all: float
    next_promotion: float
    day: date
    taken: int
    now: float


def lock_rate(connection: Connection, name: str) -> Leased:
    """The leases of a provider or sender, locked until the transaction ends."""
    query = """
        select next_all, next_promotion, day, taken,
               extract(epoch from clock_timestamp())::double precision
          from sender_rate where name = %s for update
    """
    row = connection.execute(query, [name]).fetchone()
    if row is None:
        connection.execute(
            "insert into sender_rate values (%s, 0, 0, '0001-01-01', 0) on conflict do nothing",
            [name],
        )
        row = connection.execute(query, [name]).fetchone()
    assert row is not None
    return Leased(*row)


def save_rate(connection: Connection, name: str, book: Leased) -> None:
    connection.execute(
        """
        update sender_rate set next_all = %s, next_promotion = %s, day = %s, taken = %s
         where name = %s
        """,
        [*book[:4], name],
    )


def give_day_back(connection: Connection, name: str, day: date, unused: int) -> None:
    """So many of the day's messages were leased and did not go."""
    connection.execute(
        "update sender_rate set taken = greatest(0, taken - %s) where name = %s and day = %s",
        [unused, name, day],
    )


class Pause(NamedTuple):
    """``subject`` is ``journey:NAME``, ``provider:NAME`` or ``sender:NAME`` (an address or a
    number); ``by`` a person, or WINBACK."""

    subject: str
    since: datetime
    by: str
    reason: str
    figures: dict[str, Any]
    resumed_at: datetime | None = None
    resumed_by: str = ""


#: Who has paused what paused itself.
WINBACK = "winback"

_PAUSE: LiteralString = "subject, since, by, reason, figures, resumed_at, resumed_by"


def journeys(connection: Connection) -> set[str]:
    """The journeys that anybody ever entered."""
    return {row[0] for row in connection.execute("select distinct journey from journey_version")}


def pauses(connection: Connection) -> list[Pause]:
    """What is paused now, oldest first."""
    rows = connection.execute(f"select {_PAUSE} from pause where resumed_at is null order by since")
    return [Pause(*row) for row in rows]


def pauses_ended(connection: Connection, limit: int = 20) -> list[Pause]:
    """What was paused and resumed, the latest first."""
    rows = connection.execute(
        f"select {_PAUSE} from pause where resumed_at is not null"
        " order by resumed_at desc limit %s",
        [limit],
    )
    return [Pause(*row) for row in rows]


def pause(connection: Connection, pause: Pause) -> bool:
    """Pause; False where it is paused already. What a journey has due is put aside, so that
    nobody looks through it again and again; a sender's, which no row tells before it is rendered,
    as it is come across (``claims.hold``)."""
    row = connection.execute(
        """
        insert into pause (subject, since, by, reason, figures) values (%s, %s, %s, %s, %s)
        on conflict (subject) where resumed_at is null do nothing returning 1
        """,
        [pause.subject, pause.since, pause.by, pause.reason, Jsonb(pause.figures)],
    ).fetchone()
    kind, _, journey = pause.subject.partition(":")
    if row is not None and kind == "journey":
        connection.execute(
            "update message set held = journey, reason = %s"
            " where status = 'due' and held = '' and journey = %s",
            [f"journey paused: {pause.reason}", journey],
        )
    return row is not None


def resume(connection: Connection, subject: str, now: datetime, by: str) -> bool:
    """Resume; False where it is not paused. What was counted against it is forgotten, so that it
    does not pause again for the same."""
    row = connection.execute(
        """
        update pause set resumed_at = %s, resumed_by = %s
         where subject = %s and resumed_at is null returning 1
        """,
        [now, by, subject],
    ).fetchone()
    if row is None:
        return False
    report_counts.forget(connection, subject)
    if not subject.startswith("provider:"):
        connection.execute(
            "update message set held = '', reason = '' where status = 'due' and held = %s",
            [held_by(subject)],
        )
    return True
