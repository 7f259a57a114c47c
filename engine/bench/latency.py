"""How long a shopper's mail takes: from the post of the event to the mail at the SMTP server."""

from __future__ import annotations

import uuid

from engine.bench import recipe, shop
from engine.bench.load import Order, send
from engine.bench.report import Figure, percentile
from engine.bench.sink import Sink
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError

_BUDGETS = {20: (20.0, 80.0), 200: (None, 250.0)}  # events/s: p50, p99 in ms
_WARM = 100
_SECONDS = 30.0


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """At an even pace, whatever the answers; each event of another shopper."""
    folder = shop.write(stage.home / "shop", {"at-once": shop.AT_ONCE}, provider="smtp")
    figures = []
    with stage.database() as database, Sink() as sink:
        settings = stage.settings(database, folder, smtp_port=sink.port)
        with stage.everything(settings):
            first = _WARM
            send(Order(settings.port, "view", _WARM, uuid.uuid4().hex[:8], rate=50))
            sink.wait_for(_WARM, _SECONDS)
            for rate, count in sizes.latency:
                tell(f"latency at {rate} events a second")
                waits = _waits(settings.port, sink, rate, count, first)
                first += count
                half, most = _BUDGETS.get(rate, (None, None))
                for name, share, budget in (("p50", 0.5, half), ("p99", 0.99, most)):
                    figures.append(
                        Figure(
                            f"event to mail at {rate}/s, {name}",
                            percentile(waits, share) * 1000,
                            "ms",
                            at_most=budget,
                            note="peer 26 and 115 ms" if rate == 20 else "",
                        )
                    )
    return figures


def _waits(port: int, sink: Sink, rate: int, count: int, first: int) -> list[float]:
    before = sink.count()
    run = uuid.uuid4().hex[:8]
    sent = send(Order(port, "view", count, run, rate=rate, first=first, stamps=True))
    if sent.failed or sink.wait_for(before + count, _SECONDS) != before + count:
        raise WinbackError(f"not all of {count:,} mails arrived")
    arrived = sink.arrivals()
    return [arrived[recipe.address(first + n)] - left for n, left in enumerate(sent.stamps)]
