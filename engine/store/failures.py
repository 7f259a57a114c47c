"""Faults of journeys: how often, and who stands still because of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from engine.store.database import Connection, to_json


class Fault(NamedTuple):
    """Faults of one kind at one place of a journey: ``n`` times since ``first_at``, last at
    ``last_at``, by the shop's clock; ``text``, ``raised_at`` (the line of code) and ``profile_id``
    (for `winback explain`) are the last one's. ``standing`` runs of the version wait to be tried
    again at that place now."""

    journey: str
    version: str
    path: str
    error: str
    n: int
    first_at: datetime
    last_at: datetime
    text: str
    raised_at: str
    profile_id: int
    standing: int


class Counted(NamedTuple):
    """One kind of fault within one transaction; see ``Fault``."""

    journey: str
    version: str
    path: str
    error: str
    n: int
    text: str
    raised_at: str
    profile_id: int


def add(connection: Connection, writer: str, faults: Iterable[Counted], now: datetime) -> None:
    """Count ``faults`` under ``writer``; no other transaction may be counting for it, or they wait
    for each other."""
    rows = sorted(faults)
    connection.execute(
        """
        insert into journey_failure as f
               (journey, version, path, error, writer, n, first_at, last_at, text, raised_at,
                profile_id)
        select journey, version, path, error, %(writer)s, n, %(now)s, %(now)s, text, raised_at,
               profile_id
          from json_to_recordset(%(rows)s::json) as t(journey text, version text, path text,
               error text, n bigint, text text, raised_at text, profile_id bigint)
        on conflict (journey, version, path, error, writer) do update
           set n = f.n + excluded.n, last_at = excluded.last_at, text = excluded.text,
               raised_at = excluded.raised_at, profile_id = excluded.profile_id
        """,
        {"writer": writer, "now": now, "rows": to_json([row._asdict() for row in rows])},
    )


def found(connection: Connection, *, standing_only: bool = False) -> list[Fault]:
    """All faults ever counted, the latest first; ``standing_only``: those for which a run still
    waits."""
    rows = connection.execute(
        """
        select journey, version, path, error, sum(n)::bigint, min(first_at), max(last_at),
               (array_agg(text order by last_at desc))[1],
               (array_agg(raised_at order by last_at desc))[1],
               (array_agg(profile_id order by last_at desc))[1],
               (select count(*) from enrollment e
                 where e.failing_since is not null and e.status = 'active'
                   and e.journey = f.journey and e.version = f.version
                   and e.reason = 'fails at ' || f.path || ': ' || f.error) as standing
          from journey_failure f
         group by journey, version, path, error
         order by max(last_at) desc, journey, path
        """
    )
    faults = [Fault(*row) for row in rows]
    return [fault for fault in faults if fault.standing] if standing_only else faults
