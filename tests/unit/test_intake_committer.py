"""Group commit: who waits, for what, and who writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from engine.intake.committer import Busy, Committer
from engine.store.inbox import InboxRefused, InboxUnavailable


class Gate:
    """A writer whose transactions end when the test says so."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.refused: list[bytes] = []
        self.begun = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.fail: Callable[[Sequence[bytes]], Exception | None] = lambda events: None
        self.closed = False
        self.inside = 0

    def write(self, events: Sequence[bytes], rejected: Sequence[bytes]) -> None:
        self.inside += 1
        assert self.inside == 1, "two transactions at once on one connection"
        self.begun.release()
        assert self.open.acquire(timeout=20)
        self.inside -= 1
        if (error := self.fail(events)) is not None:
            raise error
        self.groups.append(list(events))
        self.refused.extend(rejected)

    def close(self) -> None:
        self.closed = True


@contextmanager
def requests(committer: Committer) -> Iterator[Callable[..., Future[None]]]:
    """Send requests from threads of their own; returns once they wait in line."""
    with ThreadPoolExecutor(32) as pool:

        def send(*events: bytes, lanes: Sequence[int] = (0,)) -> Future[None]:
            before = committer.waiting
            future = pool.submit(committer.commit, list(events), [], set(lanes))
            while committer.waiting == before and not future.done():
                pass
            return future

        yield send


def test_those_who_come_during_a_commit_share_the_next() -> None:
    gate = Gate()
    told: list[set[int]] = []
    committer = Committer(gate, told.append)
    with requests(committer) as send:
        first = send(b"1", lanes=[1])
        assert gate.begun.acquire(timeout=10)
        rest = [send(b"%d" % n, lanes=[n]) for n in range(2, 9)]
        assert committer.waiting == 8
        assert not any(future.done() for future in (first, *rest))
        gate.open.release()
        first.result(10)
        assert gate.begun.acquire(timeout=10)
        assert not any(future.done() for future in rest)
        gate.open.release()
        for future in rest:
            future.result(10)
    assert gate.groups == [[b"1"], [b"%d" % n for n in range(2, 9)]]
    assert told == [{1}, {2, 3, 4, 5, 6, 7, 8}]
    assert (committer.counts.accepted, committer.counts.commits, committer.waiting) == (8, 2, 0)
    assert sum(committer.counts.buckets) == 2


def test_nobody_is_let_go_by_a_commit_that_failed() -> None:
    gate = Gate()
    told: list[set[int]] = []
    committer = Committer(gate, told.append)
    gate.fail = lambda events: InboxUnavailable()
    with requests(committer) as send:
        first = send(b"1")
        assert gate.begun.acquire(timeout=10)
        second = send(b"2")
        gate.open.release(2)
        for future in (first, second):
            with pytest.raises(InboxUnavailable):
                future.result(10)
        gate.fail = lambda events: None
        gate.open.release()
        send(b"3").result(10)
    assert gate.groups == [[b"3"]]
    assert told == [{0}]
    assert (committer.counts.failed, committer.counts.accepted) == (2, 1)


def test_a_fault_of_ours_is_an_answer_too_and_the_next_goes_on() -> None:
    gate = Gate()
    committer = Committer(gate, lambda lanes: None)
    gate.fail = lambda events: ZeroDivisionError("ours")
    gate.open.release(2)
    with pytest.raises(InboxUnavailable, match="ours"):
        committer.commit([b"1"], [], {0})
    gate.fail = lambda events: None
    committer.commit([b"2"], [], {0})
    assert gate.groups == [[b"2"]]


def test_one_senders_line_fails_no_others() -> None:
    gate = Gate()
    committer = Committer(gate, lambda lanes: None)
    gate.fail = lambda events: InboxRefused("bad line") if b"bad" in events else None
    with requests(committer) as send:
        first = send(b"1")
        assert gate.begun.acquire(timeout=10)
        good, bad, more = send(b"2"), send(b"bad"), send(b"3")
        gate.open.release(10)
        for future in (first, good, more):
            future.result(10)
        with pytest.raises(InboxRefused, match="bad line"):
            bad.result(10)
    assert [line for group in gate.groups for line in group] == [b"1", b"2", b"3"]
    assert committer.counts.accepted == 3


def test_past_the_limit_it_is_busy_and_takes_nothing() -> None:
    gate = Gate()
    committer = Committer(gate, lambda lanes: None, max_waiting=3)
    with requests(committer) as send:
        first = send(b"1")
        assert gate.begun.acquire(timeout=10)
        second = send(b"2", b"3")
        with pytest.raises(Busy):
            committer.commit([b"4"], [], {0})
        gate.open.release(2)
        first.result(10)
        second.result(10)
        # One that is larger than the limit is taken when nothing else waits: else it never is.
        gate.open.release()
        send(b"5", b"6", b"7", b"8").result(10)
    assert b"4" not in [line for group in gate.groups for line in group]


def test_who_waits_too_long_goes_with_nothing_taken_and_the_others_go_on() -> None:
    gate = Gate()
    committer = Committer(gate, lambda lanes: None, timeout=0.05)
    with requests(committer) as send:
        first = send(b"1")
        assert gate.begun.acquire(timeout=10)
        late = send(b"late")
        with pytest.raises(InboxUnavailable, match=r"0\.05 seconds"):
            late.result(10)
        gate.open.release(2)
        first.result(10)
        send(b"2").result(10)
    assert gate.groups == [[b"1"], [b"2"]]
    assert committer.waiting == 0


def test_a_hint_that_raises_reaches_no_request(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    gate.open.release()

    def hint(lanes: set[int]) -> None:
        raise ConnectionError("no queue")

    Committer(gate, hint).commit([b"1"], [], {0})
    assert gate.groups == [[b"1"]]
    assert "the clock will find the work" in caplog.text


def test_the_refused_alone_are_kept_and_hint_nobody() -> None:
    gate = Gate()
    gate.open.release()
    told: list[set[int]] = []
    committer = Committer(gate, told.append)
    committer.commit([], [b"why"], set())
    assert (gate.refused, told, committer.counts.refused) == ([b"why"], [], 1)


def test_closing_waits_for_what_was_taken() -> None:
    gate = Gate()
    committer = Committer(gate, lambda lanes: None)
    with requests(committer) as send, ThreadPoolExecutor(1) as closer:
        first = send(b"1")
        assert gate.begun.acquire(timeout=10)
        second = send(b"2")
        closing = closer.submit(committer.close)
        while not committer.closed:
            pass
        with pytest.raises(InboxUnavailable, match="shutting down"):
            committer.commit([b"3"], [], {0})
        assert not gate.closed
        gate.open.release(2)
        closing.result(10)
        first.result(10)
        second.result(10)
    assert gate.closed
    assert gate.groups == [[b"1"], [b"2"]]


def test_a_thousand_requests_of_many_threads_are_each_written_once() -> None:
    gate = Gate()
    gate.open.release(2000)
    committer = Committer(gate, lambda lanes: None)
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda n: committer.commit([b"%d" % n], [], {n % 16}), range(1000)))
    written = [line for group in gate.groups for line in group]
    assert sorted(written, key=int) == [b"%d" % n for n in range(1000)]
    assert committer.waiting == 0
