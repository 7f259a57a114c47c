"""Memory of the web and of a worker after many events, and whether it grows with more."""

from __future__ import annotations

import uuid

import psutil

from engine.bench import shop
from engine.bench.load import Order, send
from engine.bench.report import Figure, number
from engine.bench.rows import settle
from engine.bench.sink import Sink
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.embedded.supervisor import Supervisor
from engine.errors import WinbackError

_BATCH = 100
_SHOPPERS = 100_000
_SECONDS = 900.0
#: One product in five hundred is worth a mail; the other events are worked all the same.
_JOURNEY = shop.AT_ONCE.replace(
    "  key: event.product_id\n",
    '  key: event.product_id\n  if: event.product_id in ["P7", "P77"]\n',
)


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Batches over HTTP, worked, some of them to mails; then what ``ps`` calls RSS."""
    folder = shop.write(stage.home / "shop", {"at-once": _JOURNEY}, provider="smtp")
    figures: list[Figure] = []
    with stage.database() as database, Sink() as sink:
        settings = stage.settings(database, folder, smtp_port=sink.port)
        with stage.everything(settings, workers=1) as running:
            done = 0
            for total in sizes.remembered:
                tell(f"memory, {total:,} events")
                requests = (total - done) // _BATCH
                run = uuid.uuid4().hex[:8]
                sent = send(Order(settings.port, "batch", requests, run, 8, shoppers=_SHOPPERS))
                if sent.failed:
                    raise WinbackError(f"the collector refused {sent.failed} batches")
                settle(database, _SECONDS)
                done = total
                figures += _figures(running, total)
    return figures


def _figures(running: Supervisor, events: int) -> list[Figure]:
    pids = running.pids()
    web, worker = _megabytes(pids["web"]), _megabytes(pids["worker-1"])
    after = f"after {number(events)} events"
    return [
        Figure(f"memory, web, {after}", web, "MB", at_most=150, note="peer 205–276 MB"),
        Figure(f"memory, worker, {after}", worker, "MB", at_most=200, note="peer 640–940 MB"),
    ]


def _megabytes(pid: int) -> float:
    """Resident memory of a process and of those it started."""
    root = psutil.Process(pid)
    family = [root, *root.children(recursive=True)]
    return float(sum(process.memory_info().rss for process in family) / 1e6)
