"""Group commit: many requests, one transaction (P1).

A request that finds no commit under way writes at once. Those that come meanwhile wait, and the
first of them then writes for all that wait, in one transaction, and lets them go only after it.
So the disk is asked once for as many requests as came in the time that it took. The request
threads do it among themselves: a thread of its own for it measured a quarter fewer requests a
second, one more switch of threads for each.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from engine.errors import WinbackError
from engine.store.inbox import InboxRefused, InboxUnavailable, InboxWriter

logger = logging.getLogger(__name__)

#: Upper bounds of the commit-time histogram, in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Writer(Protocol):
    """Commits lines in one transaction (``engine.store.inbox.InboxWriter``)."""

    def write(self, events: Sequence[bytes], rejected: Sequence[bytes]) -> None: ...

    def close(self) -> None: ...


class Busy(WinbackError):
    """Too much waits to be committed; send it again in a moment."""


class _Ticket:
    """One request's lines, and the lock that its thread waits on until it is called: to go
    (``error`` says how it went) or to write (``writes``)."""

    __slots__ = ("called", "error", "events", "lanes", "rejected", "writes")

    def __init__(self, events: list[bytes], rejected: list[bytes], lanes: set[int]) -> None:
        self.events = events
        self.rejected = rejected
        self.lanes = lanes
        self.called = threading.Lock()
        self.called.acquire()
        self.writes = False
        self.error: WinbackError | None = None


@dataclass(slots=True)
class Counts:
    """What the committer did since it was made. Written by whoever commits, one at a time."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    commits: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))


class Committer:
    """Takes lines from many threads, commits them in groups.

    ``writer``       does the transaction; used by one thread at a time.
    ``hint``         is called after each commit with the lanes that have work. It must not
                     block; an exception from it is logged and reaches no request.
    ``max_waiting``  lines that may wait before ``commit`` raises ``Busy``.
    ``timeout``      seconds that a request waits for its commit.
    """

    def __init__(
        self,
        writer: Writer,
        hint: Callable[[set[int]], None],
        *,
        max_waiting: int = 20_000,
        timeout: float = 20.0,
    ) -> None:
        self.counts = Counts()
        self._writer = writer
        self._hint = hint
        self._max_waiting = max_waiting
        self._timeout = timeout
        # All below is touched under the lock.
        self._lock = threading.Lock()
        self._rest = threading.Condition(self._lock)
        self._queue: list[_Ticket] = []
        self._waiting = 0
        self._writing = False
        self.closed = False  # read by anyone, set by close()

    @classmethod
    def to_inbox(cls, url: str, hint: Callable[[set[int]], None]) -> Committer:
        """One that writes into the inbox of the database at ``url``."""
        return cls(InboxWriter(url, f"web:{uuid4()}"), hint)

    @property
    def waiting(self) -> int:
        """Lines that wait for a commit, those being committed among them."""
        return self._waiting

    def commit(self, events: list[bytes], rejected: list[bytes], lanes: set[int]) -> None:
        """Block until the lines are committed.

        Raises ``Busy`` (too many wait, nothing was taken), ``InboxUnavailable`` (not known to
        be accepted: send it again) or ``InboxRefused`` (these lines never will be).
        """
        ticket = _Ticket(events, rejected, lanes)
        lines = len(events) + len(rejected)
        with self._lock:
            if self.closed:
                raise InboxUnavailable("The collector is shutting down; send it again.")
            if self._waiting and self._waiting + lines > self._max_waiting:
                raise Busy
            self._waiting += lines
            self._queue.append(ticket)
            ticket.writes = not self._writing
            self._writing = True
        if not ticket.writes:
            self._wait(ticket)
        if ticket.writes:
            self._write_group()
        if ticket.error is not None:
            # A copy: the same object raised in many threads would mix their tracebacks.
            raise type(ticket.error)(str(ticket.error))

    def close(self) -> None:
        """Take nothing more, wait until all that was taken is committed, close the writer."""
        with self._lock:
            self.closed = True
            while self._writing:
                self._rest.wait()
        self._writer.close()

    def _wait(self, ticket: _Ticket) -> None:
        """Until the lines are settled, or this thread is to write."""
        if ticket.called.acquire(timeout=self._timeout):
            return
        with self._lock:
            if ticket.writes:
                return
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._waiting -= len(ticket.events) + len(ticket.rejected)
        raise InboxUnavailable(f"No commit within {self._timeout:g} seconds; send it again.")

    def _write_group(self) -> None:
        """Commit all that wait, let them go whatever happened, and call the next to write."""
        with self._lock:
            group = self._queue
            self._queue = []
        lanes: set[int] = set()
        try:
            lanes = self._write(group)
        except WinbackError as error:
            self._fail(group, error)
        except Exception as error:
            logger.exception("a group could not be committed")
            self._fail(group, InboxUnavailable(f"The inbox could not be written: {error}"))
        finally:
            with self._lock:
                self._waiting -= sum(len(t.events) + len(t.rejected) for t in group)
                if self._queue:
                    self._queue[0].writes = True
                    self._queue[0].called.release()
                else:
                    self._writing = False
                    self._rest.notify_all()
            for ticket in group:
                if not ticket.writes:
                    ticket.called.release()
        if lanes:
            self._tell(lanes)

    def _write(self, group: list[_Ticket]) -> set[int]:
        """Commit the group. Where PostgreSQL refuses a line for what it holds, each request by
        itself, so that one sender's line fails no other's. Gives the lanes that have work."""
        start = time.perf_counter()
        try:
            self._writer.write(
                [line for ticket in group for line in ticket.events],
                [line for ticket in group for line in ticket.rejected],
            )
        except InboxRefused as error:
            if len(group) == 1:
                self._fail(group, error)
                return set()
            return set().union(*(self._write([ticket]) for ticket in group))
        self._count(group, time.perf_counter() - start)
        return set().union(*(ticket.lanes for ticket in group))

    def _tell(self, lanes: set[int]) -> None:
        try:
            self._hint(lanes)
        except Exception:
            logger.exception("the hint failed; the clock will find the work")

    def _fail(self, group: list[_Ticket], error: WinbackError) -> None:
        for ticket in group:
            ticket.error = error
        self.counts.failed += sum(len(ticket.events) for ticket in group)

    def _count(self, group: list[_Ticket], seconds: float) -> None:
        counts = self.counts
        counts.accepted += sum(len(ticket.events) for ticket in group)
        counts.refused += sum(len(ticket.rejected) for ticket in group)
        counts.commits += 1
        counts.seconds += seconds
        for place, bound in enumerate(BUCKETS):
            if seconds <= bound:
                counts.buckets[place] += 1
                break
