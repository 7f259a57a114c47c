"""The load: HTTP requests over kept-alive connections, from a process of its own.

``python -m engine.bench.load`` reads one JSON object from its standard input, sends what that
says, and prints one JSON object. Requests are made beforehand; a bare epoll loop sends them,
at some 15 µs each, so that on two cores the load takes little from what it measures.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Literal

from engine.bench import recipe
from engine.errors import WinbackError

#: Seconds without any answer after which the server is given up.
SILENCE = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to send. ``rate`` 0: each connection sends its next request on the answer to its last;
    else so many requests a second, whatever the answers.

    ``kind``   "view" one event a request, "batch" ``size`` events a request, "order" purchases.
    ``first``  number of the first shopper; each event is of the next, around after ``shoppers``.
    """

    port: int
    kind: Literal["view", "batch", "order"]
    count: int
    run: str
    connections: int = 64
    rate: float = 0.0
    size: int = 100
    first: int = 0
    shoppers: int = 1_000_000_000
    stamps: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of it. ``seconds`` from the first request to the last answer; ``began`` of
    ``time.perf_counter``, which all processes of a machine share; ``waits`` for each answer, in
    seconds; ``stamps`` when each request left (if ordered)."""

    requests: int
    failed: int
    began: float
    seconds: float
    waits: list[float] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Sending:
    """A load that runs beside us. ``wait`` gives what became of it."""

    def __init__(self, order: Order) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.bench.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            self.stop()
            raise WinbackError("the load did not start")

    def go(self) -> Sending:
        """The requests are made: send them."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self

    def wait(self) -> Sent:
        """Raises ``WinbackError`` where the server did not answer."""
        try:
            assert self._process.stdout is not None
            answer = self._process.stdout.read()
            if self._process.wait() or not answer:
                raise WinbackError("the load broke off: the server does not answer")
            return Sent(**json.loads(answer))
        finally:
            self.stop()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def send(order: Order) -> Sent:
    """Send it and wait for the end."""
    return Sending(order).go().wait()


def requests(order: Order) -> list[bytes]:
    """The requests, ready to be written."""

    def shopper(number: int) -> int:
        return order.first + number % order.shoppers

    numbers = range(order.count)
    if order.kind == "order":
        return [recipe.single(recipe.order(n, shopper(n), order.run)) for n in numbers]
    if order.kind == "view":
        return [recipe.single(recipe.view(n, shopper(n), order.run)) for n in numbers]
    size = order.size
    return [
        recipe.batch([recipe.view(m, shopper(m), order.run) for m in range(n, n + size)])
        for n in range(0, order.count * size, size)
    ]


class _Loop:
    """One thread, all connections."""

    def __init__(self, order: Order, made: list[bytes]) -> None:
        self._order = order
        self._made = made
        self._next = 0
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._left: dict[int, float] = {}
        self._idle: deque[int] = deque()
        self.failed = 0
        self.waits: list[float] = []
        self.stamps: list[float] = []
        for _ in range(min(order.connections, len(made))):
            connection = socket.create_connection(("127.0.0.1", order.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = connection.fileno()
            self._connections[number] = connection
            self._idle.append(number)
            self._poll.register(number, select.EPOLLIN)

    def run(self) -> Sent:
        began = heard = time.perf_counter()
        rate, total = self._order.rate, len(self._made)
        while len(self.waits) < total:
            now = time.perf_counter()
            pause = 1.0
            if rate:
                due = min(total, int((now - began) * rate) + 1)
                self._send_up_to(due)
                if self._next < total:
                    pause = max(0.0, began + self._next / rate - time.perf_counter())
            else:
                self._send_up_to(total)
            for number, _ in self._poll.poll(pause):
                heard = now
                self._read(number)
            if now - heard > SILENCE:
                raise SystemExit("no answer")
        seconds = time.perf_counter() - began
        for connection in self._connections.values():
            connection.close()
        stamps = self.stamps if self._order.stamps else []
        return Sent(total, self.failed, began, seconds, self.waits, stamps)

    def _send_up_to(self, due: int) -> None:
        while self._idle and self._next < due:
            number = self._idle.popleft()
            self._left[number] = now = time.perf_counter()
            self.stamps.append(now)
            # Requests are smaller than a socket's buffer, except batches: those may block a moment.
            self._connections[number].sendall(self._made[self._next])
            self._next += 1

    def _read(self, number: int) -> None:
        data = self._connections[number].recv(65536)
        if not data:
            raise SystemExit("the server closed the connection")
        data = self._partial.pop(number, b"") + data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _length(data[:end]):
            self._partial[number] = data
            return
        if data[9:12] != b"200":
            self.failed += 1
        self.waits.append(time.perf_counter() - self._left[number])
        self._idle.append(number)


def _length(head: bytes) -> int:
    place = head.lower().find(b"content-length:")
    return int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    loop = _Loop(order, requests(order))
    print("ready", flush=True)
    if sys.stdin.readline() == "go\n":
        print(json.dumps(asdict(loop.run())))


if __name__ == "__main__":
    main()
