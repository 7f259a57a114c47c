"""The stop: orders accepted while mails are going out, and what still went after its order."""

from __future__ import annotations

import uuid
from datetime import timedelta

from engine.bench import shop
from engine.bench.load import Order, Sending, send
from engine.bench.report import Figure, percentile
from engine.bench.rows import number_of, settle
from engine.bench.sink import Sink
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError

#: Seconds that the server takes to answer each mail, so that some are always on the wire.
LATENCY = 0.02
_WAIT = timedelta(seconds=3)
_SECONDS = 120.0

#: Messages claimed in a transaction that could see the order of their shopper, accepted (P3).
#: PostgreSQL itself says what a transaction could see; no clock could.
_AFTER = """
    select count(*) from message m
      join enrollment r on r.profile_id = m.profile_id and r.id = m.enrollment_id
      join event e on e.id = r.stopped_by
     where m.gate_snapshot is not null and pg_visible_in_snapshot(e.accept_xid, m.gate_snapshot)
"""
_WIRE = """
    select extract(epoch from handed_at - claimed_at) * 1000 from message
     where handed_at is not null
"""
_WORKED = "select count(*) from event where name = 'Order Completed'"


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """Every shopper has a mail coming; half of them order while the mails go out."""
    tell(f"stop, {sizes.stopped:,} mails and {sizes.stopped // 2:,} orders")
    journey = shop.LATER.format(wait=f"{_WAIT.seconds} seconds")
    folder = shop.write(stage.home / "shop", {"later": journey}, provider="smtp")
    with stage.database() as database, Sink(LATENCY) as sink:
        settings = stage.settings(database, folder, smtp_port=sink.port)
        with stage.everything(settings):
            run = uuid.uuid4().hex[:8]
            orders = sizes.stopped // 2
            # Two connections: paced by what the engine does beside it, some seconds long.
            order = Order(settings.port, "order", orders, run, connections=2)
            sending = Sending(order)
            try:
                send(Order(settings.port, "view", sizes.stopped, run))
                sink.wait_for(1, _SECONDS)
                sent = sending.go().wait()
            finally:
                sending.stop()
            if sent.failed:
                raise WinbackError(f"{sent.failed} of {orders} orders were not accepted")
            settle(database, _SECONDS)
        if number_of(database, _WORKED) != orders:
            raise WinbackError("orders were accepted and are not in the history")
        after = number_of(database, _AFTER)
        mails = sink.count()
        with database.connection() as connection:
            wire = [float(row[0]) for row in connection.execute(_WIRE).fetchall()]
    stopped = f"{mails:,} of {sizes.stopped:,} mails went, {orders:,} ordered meanwhile"
    return [
        Figure("stop, claimed after the order", after, "messages", at_most=0, note=stopped),
        Figure("wire, claim to call, p50", percentile(wire, 0.5), "ms"),
        Figure("wire, claim to call, longest", max(wire), "ms"),
    ]
