"""Going through all shoppers for segments whose definition is new, or which somebody wants checked.

A batch is a transaction that also notes how far the search has come, so a worker that dies loses
nothing. Its shoppers are locked, as a drain locks them: whoever comes second finds what the first
wrote, and decides by the definition that then is in force.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from datetime import timedelta
from decimal import Decimal

from engine.model.segment import Scale
from engine.runtime.segments.leg import Leg, Searched
from engine.runtime.shell import Shell
from engine.store import segment_desk as desk_store

__all__ = ["LAST", "THREADS", "Searched", "measure", "progress", "search", "to_do", "work"]

#: While PostgreSQL works for one of them, another decides.
THREADS = max(1, min(4, os.cpu_count() or 1))
#: How old the limits of RFM scores become before they are measured anew.
SCALE_AGE = timedelta(days=1)
#: As far as profile ids go.
LAST = 2**63 - 1


def to_do(shell: Shell) -> bool:
    """Whether there is a search to go on with, or something to clear away or to measure."""
    with shell.database.connection() as connection:
        return desk_store.to_do(connection, shell.clock.now() - SCALE_AGE)


def work(shell: Shell, seconds: float) -> Searched:
    """Go on with all that is to be done, for about ``seconds`` of real time."""
    deadline = time.monotonic() + seconds
    measure(shell)
    done = Searched()
    while (left := deadline - time.monotonic()) > 0:
        with shell.database.connection() as connection:
            cleared = desk_store.clear_away(connection)
        some = search(shell, seconds=left if not cleared else 0.0, threads=THREADS)
        done.seen += some.seen
        done.mended += some.mended
        done.emitted += some.emitted
        done.place, done.busy = some.place, some.busy
        if not cleared and (some.place is None or some.busy):
            break
    return done


def measure(shell: Shell, names: Collection[str] | None = None) -> None:
    """Find out anew where the fifths of all buyers begin, for segments (``names``: these) that were
    told so too long ago. All of them go by the same scale."""
    now = shell.clock.now()
    with shell.database.connection() as connection:
        due = desk_store.scale_due(connection, now - SCALE_AGE)
        if names is not None:
            due = [name for name in due if name in names]
        if not due:
            return
        found = desk_store.fifths(connection, shell.book().currency, now)
        scale = None
        if found is not None:
            scale = Scale(
                tuple(timedelta(microseconds=int(limit)) for limit in found["recency"]),
                tuple(Decimal(limit) for limit in found["frequency"]),
                tuple(Decimal(limit) for limit in found["monetary"]),
            ).to_json()
        desk_store.put_scale(connection, due, scale, now)


def search(
    shell: Shell,
    batch: int | None = None,
    only: Collection[str] | None = None,
    *,
    seconds: float = 0.0,
    threads: int = 1,
) -> Searched:
    """Look at the next ``batch`` of shoppers, for all segments (``only``: these) of which the
    search has come as far; and at more of them for about ``seconds``, by so many ``threads``.
    Without a ``batch``, as many at once as take a blink."""
    with shell.database.connection() as connection:
        if not desk_store.under_way(connection, only):
            return Searched()
        found = desk_store.take_search(connection, only)
        if found is None:
            return Searched(busy=True, place=-1)
        return Leg(shell, found, batch, seconds).run(threads)


def progress(place: int | None) -> float:
    """How much of a search is done, from 0 to 1: ids are spread evenly."""
    return 1.0 if place is None else max(place, 0) / LAST
