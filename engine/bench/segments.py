"""Segments: how fast everybody is searched for a definition that is new, and how long it takes from
an event to who is in, while events come at a steady rate."""

from __future__ import annotations

import os
import resource
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from engine import bootstrap
from engine.bench import recipe, rows, shop
from engine.bench.report import Figure, number, percentile
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage, run_sql
from engine.errors import WinbackError
from engine.intake.lanes import LANES
from engine.language import load_segments
from engine.runtime.drain import drain
from engine.runtime.memory import look_for_cycles_seldom
from engine.runtime.segments.files import put_into_force
from engine.runtime.segments.search import THREADS, search
from engine.runtime.segments.search import measure as measure_scale
from engine.runtime.shell import Shell
from engine.store import inbox
from engine.store import segment_desk as desk_store
from engine.store.database import Database

#: Ten to a shopper over 120 days: seven views, one product put in the cart, one order in ten a
#: refund, one mail opened.
_EVENTS = f"""
    insert into event (profile_id, id, kind, name, time, received_at, processed_at, properties,
                       context, accept_xid)
    select {rows.ID}, 'b' || n || '-' || m, 'track', name, at, at, at,
           case when name like 'Order%' then jsonb_build_object(
                    'revenue', 20 + (n * 7 + m * 13) % 400, 'currency', 'USD', 'order_id', n,
                    'products', jsonb_build_array(jsonb_build_object('product_id', 'P' || n % 997)))
                else jsonb_build_object('product_id', 'P' || (n + m) % 997, 'price',
                    10 + (n + m) % 200, 'category', 'Shoes', 'name', 'Walking shoe') end,
           '{{{{}}}}', pg_current_xact_id()
      from (select n, m,
                   now() - ((n * 7919::bigint + m * 104729) % 172800) * interval '1 minute' as at,
                   case when m < 7 then 'Product Viewed' when m = 7 then 'Product Added'
                        when m = 9 then 'Email Opened'
                        when n % 10 = 0 then 'Order Refunded' else 'Order Completed' end as name
              from generate_series({{first}}, {{last}}) n, generate_series(0, 9) m) made
"""
#: What a shop keeps: times, sums, last, first, fields, other segments, and, or, not.
_RULES = (
    "{{did: Product Viewed, within: {days} days}}",
    "{{did: Product Viewed, times: at least 3, within: {days} days}}",
    "{{did: Order Completed, within: {days} days, sum of: event.revenue, is: more than 100}}",
    "{{all: [{{did: Product Viewed, within: {days} days}}, {{did not: Order Completed}}]}}",
    "{{last: Order Completed, longer ago than: {days} days}}",
    "{{did: Product Viewed, if: event.price > 150, within: {days} days}}",
    "{{any: [{{did: Product Added, within: {days} days}}, {{if: profile.locale == 'en-GB'}}]}}",
    "{{all: [{{did: Email Opened, within: {days} days}}, {{not: {{did: Order Refunded}}}}]}}",
    "{{all: [{{random: 10%}}, {{first: Order Completed, within: {days} days}}]}}",
    "{{all: [{{in segment: s-0}}, {{did: Order Completed, times: at most 2}}]}}",
)


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Ten events to a shopper, fifty segments."""
    look_for_cycles_seldom()  # as a worker does
    home = shop.write(stage.home / "shop", {})
    folder = home / "config" / "segments"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"s-{place}" for place in range(sizes.segments)]
    for place, name in enumerate(names):
        rule = _RULES[place % len(_RULES)].format(days=3 + place)
        (folder / f"{name}.yaml").write_text(f"segment: {name}\nwho: {rule}\n")
    people = sizes.segmented
    with stage.database() as database:
        tell(f"segments, making {number(people)} profiles and {number(people * 10)} events")
        rows.add_profiles(database, people)
        for first in range(0, people, 50_000):
            last = min(first + 50_000, people) - 1
            with database.connection() as connection:
                connection.execute(_EVENTS.format(first=first, last=last))
        run_sql(database, [])
        shell = bootstrap.shell(stage.settings(database, home))
        try:
            found = load_segments(folder, policy=shell.policy())
            if found.diagnostics:
                raise WinbackError(str(found.diagnostics[0]))
            put_into_force(database, shell.clock, found)
            tell(f"segments, searching everybody for {sizes.segments}")
            new = _search(shell, people)
            run_sql(database, [])
            tell(f"segments, looking at everybody anew for {sizes.segments}")
            with database.connection() as connection:
                desk_store.search_anew(connection, names, quiet=True)
            anew = _search(shell, people)
            tell("segments, searching everybody for one")
            text = "segment: s-1\nwho: {did: Product Viewed, times: at least 2, within: 9 days}\n"
            (folder / "s-1.yaml").write_text(text)
            put_into_force(database, shell.clock, load_segments(folder, policy=shell.policy()))
            one = _search(shell, people)
            tell(f"segments, {number(sizes.segment_rate)} events a second")
            began = _Watch()
            delays, members = _steady(shell, database, sizes)
            steady = began.took()
        finally:
            shell.database.close()
    size = f"{number(people)} profiles, {number(people * 10)} events"
    of_all = f"segments, recompute of all {sizes.segments}"
    rate = f"{number(sizes.segment_rate)}/s"
    much = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    about = (
        f"{sizes.segments} segments, one worker; from the commit of the collector to that of the"
        f" drain; {number(members)} entered or left, each an event of its own; {steady.costs}"
    )
    return [
        Figure(of_all, anew.seconds, "s", at_most=60.0, note=f"{size}; {anew.costs}"),
        Figure(
            f"segments, first search for all {sizes.segments}",
            new.seconds,
            "s",
            note=f"{size}, {number(new.written)} memberships found; {new.costs}",
        ),
        Figure(
            "segments, one definition changed",
            one.seconds,
            "s",
            at_most=5.0,
            note=f"{size}; {one.costs}",
        ),
        Figure(
            f"segments, event to membership, p50 at {rate}", percentile(delays, 0.5) * 1000, "ms"
        ),
        Figure(
            f"segments, event to membership, p99 at {rate}",
            percentile(delays, 0.99) * 1000,
            "ms",
            at_most=1000.0,
            note=about,
        ),
        Figure("segments, most memory of the process", much, "MB", note=size),
    ]


@dataclass(frozen=True, slots=True)
class _Took:
    seconds: float
    processor: float
    load: float
    written: int = 0

    @property
    def costs(self) -> str:
        return f"{self.processor:.1f} s of processor time, load {self.load:.1f}"


class _Watch:
    """Time, and the processor time of this process and PostgreSQL."""

    def __init__(self) -> None:
        self._began, self._used = time.perf_counter(), _used()

    def took(self, written: int = 0) -> _Took:
        seconds = time.perf_counter() - self._began
        return _Took(seconds, _used() - self._used, os.getloadavg()[0], written)


def _used() -> float:
    total = 0.0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
            if process != me:
                total += times.children_user + times.children_system
    return total


def _search(shell: Shell, people: int) -> _Took:
    watch = _Watch()
    measure_scale(shell)
    seen = mended = 0
    while True:
        some = search(shell, seconds=1.0, threads=THREADS)
        if some.busy:
            time.sleep(0.01)
            continue
        seen += some.seen
        mended += some.mended
        if some.place is None:
            break
    if seen != people:
        raise WinbackError(f"of {people} shoppers {seen} were looked at")
    return watch.took(mended)


def _steady(shell: Shell, database: Database, sizes: Sizes) -> tuple[list[float], int]:
    """How long each event took, in seconds, and how many changes of membership they made."""
    run, rate, count = uuid.uuid4().hex[:8], sizes.segment_rate, sizes.segment_events
    accepted: dict[str, float] = {}
    group = max(1, rate // 50)
    since = datetime.now(UTC)

    def load() -> None:
        began = time.perf_counter()
        for first in range(0, count, group):
            wait = began + first / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            numbers = range(first, min(first + group, count))
            people = sizes.segmented
            events = [recipe.view(n, n * 7919 % people, run) for n in numbers]
            lines = rows.inbox_lines(events)
            with database.connection() as connection:
                inbox.write(connection, lines, writer="web:bench")
            now = time.perf_counter()
            accepted.update((f"{run}-{n}", now) for n in numbers)

    thread = threading.Thread(target=load)
    thread.start()
    delays: list[float] = []
    waiting: set[str] = {f"{run}-{n}" for n in range(count)}
    deadline = time.perf_counter() + 60 + count / rate
    while waiting and time.perf_counter() < deadline:
        if not drain(shell, 0, lanes=LANES).taken:
            time.sleep(0.002)
            continue
        now = time.perf_counter()
        with database.connection() as connection:
            done = connection.execute(
                "select id from event where id = any(%s)", [list(waiting & accepted.keys())]
            ).fetchall()
        for (id,) in done:
            delays.append(now - accepted[id])
            waiting.discard(id)
    thread.join()
    if waiting:
        raise WinbackError(f"{len(waiting)} events were not worked in time")
    return delays, rows.number_of(
        database, f"select count(*) from segment_member where since >= '{since.isoformat()}'"
    )
