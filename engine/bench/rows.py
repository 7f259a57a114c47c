"""Rows put straight into the database: shoppers by the million, events that wait in the inbox."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.bench.stage import run_sql
from engine.errors import WinbackError
from engine.intake import segment
from engine.intake.lanes import lane_of
from engine.store import inbox
from engine.store.database import Database

#: The id of shopper n: spread over the whole range, as ids that are hashes are.
ID = "('x' || substr(md5(n::text), 1, 15))::bit(60)::bigint"

_PROFILES = f"""
    insert into profile (id, born_of, traits, first_seen, last_seen)
    select {ID}, 'user:u' || n,
           jsonb_build_object('email', 'shopper' || n || '@bench.example',
                              'first_name', 'Anna' || n, 'locale', 'en-US'),
           now() - interval '90 days', now() - interval '1 day'
      from generate_series(0, {{count}} - 1) n
"""
_IDENTITIES = f"""
    insert into identity
    select kind || n || tail, {ID}
      from generate_series(0, {{count}} - 1) n,
           (values ('user:u', ''), ('email:shopper', '@bench.example'), ('anonymous:a-', ''))
             as t(kind, tail)
"""

_STANDING = """
    select (select count(*) from (select 1 from inbox limit 1) i)
         + (select count(*) from (
                select 1 from message where status = 'due' union all
                select 1 from message where status = 'claimed' limit 1) m)
"""


def add_profiles(database: Database, count: int) -> None:
    """Shoppers 0 to ``count`` - 1 as ``recipe.view`` names them, each known by three names."""
    run_sql(database, [_PROFILES.format(count=count), _IDENTITIES.format(count=count)])


def inbox_lines(events: Iterable[dict[str, Any]]) -> list[bytes]:
    """The events as the collector would write them."""
    now = datetime.now(UTC)
    lines = []
    for event in events:
        parsed = segment.parse_event(msgspec.json.encode(event), event["type"], now, "US").events[0]
        lines.append(inbox.event_line(parsed, lane_of(parsed.sender)))
    return lines


def accept(database: Database, events: Iterable[dict[str, Any]]) -> None:
    """Put them into the inbox, a hundred a transaction."""
    lines = inbox_lines(events)
    for start in range(0, len(lines), 100):
        with database.connection() as connection:
            inbox.write(connection, lines[start : start + 100], writer="web:bench")
    run_sql(database, [])


def number_of(database: Database, query: str) -> int:
    """The one number that ``query`` gives."""
    with database.connection() as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def settle(database: Database, seconds: float) -> None:
    """Wait until nothing is in the inbox and no message stands. Raises ``WinbackError`` when that
    does not come about in ``seconds``."""
    deadline = time.monotonic() + seconds
    while number_of(database, _STANDING):
        if time.monotonic() > deadline:
            raise WinbackError(f"after {seconds:.0f} s events or messages still stand")
        time.sleep(0.1)
