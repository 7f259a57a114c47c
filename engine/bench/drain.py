"""The drain: events worked a second by one worker, beside a bare COPY of what it writes."""

from __future__ import annotations

import time
import uuid

from engine import bootstrap
from engine.bench import recipe, rows, shop
from engine.bench.report import Figure, middle, number
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage, run_sql
from engine.errors import WinbackError
from engine.intake.lanes import LANES
from engine.runtime.drain import drain
from engine.runtime.memory import look_for_cycles_seldom
from engine.runtime.shell import Shell
from engine.store.database import Database

_RESULTS = ("event", "enrollment", "message")
#: What becomes of a round's messages before the next: no shopper carries more and more of them.
_DELIVERED = ["update message set status = 'sent'", "update enrollment set live = false"]


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Identity, 20 journeys, one message an event, with few and with many profiles there."""
    look_for_cycles_seldom()  # as a worker does
    shop.write(stage.home / "shop", shop.twenty())
    few, bare_few = _at(stage, sizes, tell, sizes.profiles[0])
    many, bare_many = _at(stage, sizes, tell, sizes.profiles[1])
    return [
        _figure(sizes.profiles[0], few, bare_few),
        _figure(sizes.profiles[1], many, bare_many),
        Figure(
            "drain, cost with many profiles to with few",
            few / many,
            "×",
            at_most=1.25,
            note=f"flat: {number(sizes.profiles[1])} against {number(sizes.profiles[0])} profiles",
        ),
    ]


def _figure(profiles: int, ours: float, bare: float) -> Figure:
    return Figure(
        f"drain, {number(profiles)} profiles",
        ours,
        "events/s",
        bare,
        "COPY of the rows it writes (event, enrollment, message)",
        at_least=10_000,
        note="20 journeys, 3 identifiers and a message an event; one worker",
    )


def _at(stage: Stage, sizes: Sizes, tell: Tell, profiles: int) -> tuple[float, float]:
    tell(f"drain, making {number(profiles)} profiles")
    ours, bare = [], []
    with stage.database() as database:
        rows.add_profiles(database, profiles)
        shell = bootstrap.shell(stage.settings(database, stage.home / "shop"))
        try:
            drain(shell, 0)  # reads the journeys
            for turn in range(sizes.rounds):
                tell(f"drain, {number(profiles)} profiles, round {turn + 1}")
                run = uuid.uuid4().hex[:8]
                count = sizes.drained
                first = turn * count
                shoppers = ((first + n) * 7919 % profiles for n in range(count))
                events = (recipe.view(n, shopper, run) for n, shopper in enumerate(shoppers))
                rows.accept(database, events)
                ours.append(_drain(shell, count))
                bare.append(_bare(database, run))
                run_sql(database, _DELIVERED)
        finally:
            shell.database.close()
    return middle(ours), middle(bare)


def _drain(shell: Shell, count: int) -> float:
    began = time.perf_counter()
    taken = due = 0
    for lane in range(LANES):
        while (done := drain(shell, lane)).taken:
            taken += done.taken
            due += done.due
    seconds = time.perf_counter() - began
    if (taken, due) != (count, count):
        raise WinbackError(f"of {count} events {taken} were worked, with {due} messages")
    return count / seconds


def _bare(database: Database, run: str) -> float:
    """The same rows of the same tables by COPY, a thousand a transaction."""
    with database.connection() as connection:
        for table in _RESULTS:
            connection.execute(
                f"create table if not exists bare_{table} (like {table} including all)"
            )
        pieces = {}
        for table in _RESULTS:
            key = "id" if table == "event" else "event_id"
            query = f"copy (select * from {table} where {key} like '{run}-%') to stdout"
            with connection.cursor() as cursor, cursor.copy(query) as out:
                pieces[table] = [bytes(line) for line in out]
    run_sql(database, [])
    began = time.perf_counter()
    for start in range(0, len(pieces["event"]), 1000):
        with database.connection() as connection, connection.cursor() as cursor:
            for table in _RESULTS:
                with cursor.copy(f"copy bare_{table} from stdin") as copy:
                    copy.write(b"".join(pieces[table][start : start + 1000]))
    return len(pieces["event"]) / (time.perf_counter() - began)
