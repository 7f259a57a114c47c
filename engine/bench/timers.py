"""Timers: how late they are when a million others wait, with the real clock and workers."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from engine.bench import rows, shop
from engine.bench.report import Figure, number, percentile
from engine.bench.sink import Sink
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage, run_sql
from engine.errors import WinbackError
from engine.language import load_journey
from engine.store.database import Database

JOURNEY = shop.LATER.format(wait="1 hour")
#: Seconds that the processes get to come up before the first timer, and mails to arrive.
_AHEAD, _SECONDS = 4.0, 60.0

#: Each of ``count`` shoppers a run that waits; those below ``soon`` wake within ``spread``
#: seconds from ``start``, the others in days. The event that began it lies in the history.
_RUNS = f"""
    insert into enrollment (profile_id, id, journey, version, key, bucket, event_id, entered_at,
                            status, at, wake_at, visits)
    select {rows.ID}, gen_random_uuid(), 'later', '{{version}}', 'P1', {rows.ID}, 'view-' || n,
           wake - interval '1 hour', 'active', 'steps/0', wake, 1
      from generate_series(0, {{count}} - 1) n,
           lateral (select case when n < {{soon}}
                    then '{{start}}'::timestamptz
                         + interval '1 second' * ({{spread}}.0 * n / {{soon}})
                    else now() + interval '1 day' + interval '1 second' * (n % 86400) end) w(wake)
"""
_EVENTS = f"""
    insert into event
    select {rows.ID}, 'view-' || n, 'track', 'Product Viewed', now() - interval '1 hour', now(),
           now(), '{{{{"product_id": "P1", "name": "Shoe", "price": 89.95, "currency": "USD"}}}}',
           '{{{{}}}}', pg_current_xact_id()
      from generate_series(0, {{soon}} - 1) n
"""


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """From the moment that a timer runs out to its message in the database, and to the provider."""
    waiting = number(sizes.waiting)
    tell(f"timers, making {waiting} waiting runs")
    folder = shop.write(stage.home / "shop", {"later": JOURNEY}, provider="smtp")
    with stage.database() as database, Sink() as sink:
        rows.add_profiles(database, sizes.waiting)
        settings = stage.settings(database, folder, smtp_port=sink.port)
        add_runs(database, sizes.waiting, sizes.timers)
        with stage.everything(settings):
            tell(f"timers, {sizes.timers:,} of {waiting} running out")
            start = datetime.now(UTC) + timedelta(seconds=_AHEAD)
            wake_soon(database, sizes.timers, start, sizes.timer_seconds)
            time.sleep(_AHEAD + sizes.timer_seconds)
            arrived = sink.wait_for(sizes.timers, _SECONDS)
            if arrived != sizes.timers:
                raise WinbackError(f"of {sizes.timers:,} mails {arrived:,} arrived")
            rows.settle(database, _SECONDS)
        written = [late for _, late in lateness(database, "written_at")]
        handed = [late for _, late in lateness(database, "handed_at")]
    pace = f"{sizes.timers / sizes.timer_seconds:.0f} a second run out, {waiting} wait"
    return [
        Figure("timer to message, p50", percentile(written, 0.5), "ms", note=pace),
        Figure("timer to message, p99", percentile(written, 0.99), "ms", at_most=1_000),
        Figure("timer to provider, p50", percentile(handed, 0.5), "ms"),
        Figure("timer to provider, p99", percentile(handed, 0.99), "ms"),
    ]


def add_runs(database: Database, waiting: int, soon: int) -> None:
    """Runs of ``JOURNEY`` that wait for days, one for each of ``waiting`` shoppers. Those of the
    first ``soon`` are ready for ``wake_soon``."""
    journey, findings = load_journey(JOURNEY, "later")
    if journey is None:
        raise WinbackError(f"the bench's journey does not load: {findings[0]}")
    start = datetime.now(UTC) + timedelta(days=3)
    run_sql(
        database,
        [
            "alter table message add column written_at timestamptz default clock_timestamp()",
            _RUNS.format(
                version=journey.version,
                count=waiting,
                soon=soon,
                start=start.isoformat(),
                spread=1,
            ),
            _EVENTS.format(soon=soon),
        ],
    )


def wake_soon(database: Database, timers: int, start: datetime, seconds: int) -> None:
    """Move the timers that are to run out to ``start`` and the seconds after it, evenly."""
    command = f"""
        update enrollment set wake_at = e.wake, entered_at = e.wake - interval '1 hour'
          from (select id, '{start.isoformat()}'::timestamptz + interval '1 second'
                       * ({seconds}.0 * (row_number() over () - 1) / {timers})
                       as wake
                  from enrollment where wake_at > now() + interval '60 hours') e
         where enrollment.id = e.id
    """
    run_sql(database, [command])


def lateness(database: Database, column: str) -> list[tuple[datetime, float]]:
    """When each timer was to run out, and the milliseconds until what ``column`` of its message
    says."""
    with database.connection() as connection:
        found = connection.execute(
            f"""
            select r.entered_at + interval '1 hour',
                   extract(epoch from m.{column} - r.entered_at - interval '1 hour') * 1000
              from message m join enrollment r on r.id = m.enrollment_id
            """
        ).fetchall()
    return [(row[0], float(row[1])) for row in found]
