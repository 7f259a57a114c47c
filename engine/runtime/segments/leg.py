"""One leg of a search: batches of shoppers, one after the other or several at once.

The threads take turns twice: to lock the next shoppers, and to note how far the search has come.
In between each waits for PostgreSQL or decides in numpy, both of which let the others go on.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from engine.core.segments.columns import Wanted
from engine.runtime.segments.batch import Batch
from engine.runtime.shell import Shell
from engine.store import segment_columns as columns_store
from engine.store import segment_desk as desk_store
from engine.store.segment_desk import Search

#: Seconds for which the shoppers of a batch are to be locked, and how many they may be.
_BLINK = 0.4
_FEWEST, _MOST = 1_000, 50_000
_FIRST = 4_000


@dataclass(slots=True)
class Searched:
    """What a search did: shoppers ``seen``, rows that were ``mended`` or new, events ``emitted``;
    ``place`` it has come to, None once nothing is left to search. ``busy``: another worker has it.
    """

    seen: int = 0
    mended: int = 0
    emitted: int = 0
    place: int | None = None
    busy: bool = False


class Leg:
    """The search ``found``, for about ``seconds``, at least one batch."""

    def __init__(self, shell: Shell, found: Search, batch: int | None, seconds: float) -> None:
        self._shell = shell
        self._found = found
        self._book = shell.segments.open(found.segments)
        self._quiet = {one.name for one in found.segments if one.quiet}
        self._wanted = Wanted()
        for held in self._book.held.values():
            self._wanted.add(held.segment.rule)
        self._fixed = batch is not None
        self._size = _FIRST if batch is None else batch
        self._deadline = time.monotonic() + seconds
        self._locking = threading.Lock()
        self._turns = threading.Condition()
        self._begun = self._ended = 0
        self._behind = found.place
        self._over = self._failed = False
        self._done = Searched(place=found.place)

    def run(self, threads: int) -> Searched:
        if threads < 2:
            self._work()
        else:
            with ThreadPoolExecutor(threads, "search") as pool:
                for future in [pool.submit(self._work) for _ in range(threads)]:
                    future.result()
        return self._done

    def _work(self) -> None:
        try:
            while self._batch():
                pass
        except BaseException:
            with self._turns:
                self._failed = True
                self._turns.notify_all()
            raise

    def _batch(self) -> bool:
        began = time.monotonic()
        with self._shell.database.connection() as connection:
            connection.execute("set local max_parallel_workers_per_gather = 0")
            with self._locking:
                if self._over or (self._begun and began > self._deadline):
                    return False
                turn, behind, size = self._begun, self._behind, self._size
                ids = columns_store.lock_next(connection, behind, self._found.until, size)
                reached = int(ids[-1]) if len(ids) == size else self._found.until
                self._over = len(ids) < size
                self._behind = behind if reached is None else reached
                self._begun += 1
            batch = Batch(self._shell, connection, self._book, self._quiet)
            if len(ids):
                batch.decide(ids, behind, self._wanted)
            with self._turns:
                self._turns.wait_for(lambda: self._failed or self._ended == turn)
                if self._failed:
                    connection.rollback()
                    return False
            batch.finish()
            now = self._shell.clock.now()
            desk_store.searched(connection, self._found, behind, reached, now)
        with self._turns:
            self._ended += 1
            self._done.seen += len(ids)
            self._done.mended += batch.mended
            self._done.emitted += batch.emitted
            self._done.place = reached
            if not self._fixed:
                took = max(0.01, time.monotonic() - began)
                self._size = int(max(_FEWEST, min(_MOST, size * min(2.0, _BLINK / took))))
            self._turns.notify_all()
        return True
