"""The collector: durable requests a second, beside what its server and its database can do."""

from __future__ import annotations

import time
import uuid

from engine.bench import recipe, shop
from engine.bench.load import Order, send
from engine.bench.report import Figure, middle
from engine.bench.rows import inbox_lines, number_of
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError
from engine.store.database import Database

#: Kept-alive connections of the load; the server has 32 threads.
CONNECTIONS = 64
_WARM = 500
_ACCEPTED = "select count(*) from inbox"


def singles(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """One event a request, against an empty route of the same server under the same load."""
    ours, empty = [], []
    with stage.database() as database:
        settings = stage.settings(database, shop.write(stage.home / "shop", {}))
        with stage.web(settings) as port, stage.web(settings, "engine.bench.empty:app") as bare:
            for number in (port, bare):
                send(Order(number, "view", _WARM, _run(), CONNECTIONS))
            for turn in range(sizes.rounds):
                tell(f"collector, single events, round {turn + 1}")
                before = number_of(database, _ACCEPTED)
                ours.append(_rate(port, sizes.singles))
                if number_of(database, _ACCEPTED) - before != sizes.singles:
                    raise WinbackError("the collector answered 200 and did not keep the event")
                empty.append(_rate(bare, sizes.singles))
    return [
        Figure(
            "collector, single events",
            middle(ours),
            "events/s",
            middle(empty),
            "empty route of the same server",
            at_least=6_000,
            ratio=0.5,
            note="each answered after its commit is on disk",
        )
    ]


def batches(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """100 events a request, against one COPY of the same rows into the same table, bare."""
    ours, bare = [], []
    with stage.database() as database:
        settings = stage.settings(database, shop.write(stage.home / "shop", {}))
        with database.connection() as connection:
            connection.execute("create table inbox_bare (like inbox including all)")
        run = _run()
        views = (recipe.view(n, n, run) for n in range(min(sizes.batches * 100, 30_000)))
        rows = b"".join(inbox_lines(views))
        with stage.web(settings) as port:
            send(Order(port, "batch", 10, _run(), CONNECTIONS))
            for turn in range(sizes.rounds):
                tell(f"collector, batches, round {turn + 1}")
                sent = send(Order(port, "batch", sizes.batches, _run(), CONNECTIONS))
                if sent.failed:
                    raise WinbackError(f"the collector refused {sent.failed} batches")
                ours.append(sent.rate * 100)
                bare.append(_copy(database, rows))
    return [
        Figure(
            "collector, batches of 100",
            middle(ours),
            "events/s",
            middle(bare),
            "one COPY of the same rows",
            at_least=60_000,
            ratio=0.5,
        )
    ]


def _run() -> str:
    return uuid.uuid4().hex[:8]


def _rate(port: int, count: int) -> float:
    sent = send(Order(port, "view", count, _run(), CONNECTIONS))
    if sent.failed:
        raise WinbackError(f"the server refused {sent.failed} of {count} requests")
    return sent.rate


def _copy(database: Database, rows: bytes) -> float:
    began = time.perf_counter()
    with (
        database.connection() as connection,
        connection.cursor() as cursor,
        cursor.copy(
            "copy inbox_bare (lane, sender, links, name, identifiers, id, time, received_at, body)"
            " from stdin"
        ) as copy,
    ):
        copy.write(rows)
    return rows.count(b"\n") / (time.perf_counter() - began)
