"""End to end: events posted over HTTP to mails at an SMTP server, through the real processes."""

from __future__ import annotations

import uuid

from engine.bench import shop
from engine.bench.load import Order, send
from engine.bench.report import Figure
from engine.bench.sink import Sink
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError

#: Mails a second below which it is given up, and seconds for a start.
_SLOWEST, _START = 50, 30
_WARM = 50


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """As many posts as mails, each of another, unknown shopper, whose mail is due at once."""
    tell(f"end to end, {sizes.mails:,} mails")
    folder = shop.write(stage.home / "shop", {"at-once": shop.AT_ONCE}, provider="smtp")
    with stage.database() as database, Sink() as sink:
        settings = stage.settings(database, folder, smtp_port=sink.port)
        with stage.everything(settings):
            _warm(settings.port, sink)
            order = Order(settings.port, "view", sizes.mails, uuid.uuid4().hex[:8], first=1_000)
            sent = send(order)
            wanted = sizes.mails + _WARM
            arrived = sink.wait_for(wanted, _START + sizes.mails / _SLOWEST)
            if arrived != wanted or sent.failed:
                raise WinbackError(f"of {wanted:,} mails {arrived:,} arrived")
            seconds = max(sink.arrivals().values()) - sent.began
    return [
        Figure(
            "end to end, single posts to mails",
            sizes.mails / seconds,
            "events/s",
            at_least=1_000,
            note=f"{sizes.mails:,} posts took {sent.seconds:.1f} s, all mails {seconds:.1f} s;"
            " peer 96/s",
        )
    ]


def _warm(port: int, sink: Sink) -> None:
    """The first mails make each process read the journeys and compile the template."""
    send(Order(port, "view", _WARM, uuid.uuid4().hex[:8]))
    if sink.wait_for(_WARM, _START) != _WARM:
        raise WinbackError("the first mails did not arrive")
