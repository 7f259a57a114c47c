"""A provider on this machine: a small HTTP/1.1 server in a thread, with faults on demand.

asyncio protocols rather than a framework: it must answer thousands of requests a second with
any latency while the thing under test has the rest of the machine.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from engine.clock import Clock, SystemClock
from engine.testing.ledger import Ledger, Taken
from engine.testing.plan import HTTP_FAULTS, Plan
from engine.testing.poster import Poster
from engine.testing.serving import Serving
from engine.testing.stories import Callbacks


class Took(NamedTuple):
    """One message that a request handed over.

    ``key`` is the sender's own id, ``reference`` the provider's; ``about`` is what the
    provider's reports will say of it. ``kept_back``: it will never be delivered.
    """

    key: str
    to: str
    reference: str
    kept_back: bool = False
    about: Mapping[str, Any] = {}


class Answer(NamedTuple):
    """What a provider answers, and which messages it has taken with it: None for a 2xx that
    takes the request as it is, without a word in the ledger."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    took: tuple[Took, ...] | None = None


class Request(NamedTuple):
    """What a provider got. Header names are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request instead of the usual.

    ``answer``  that status, with headers and body; the message is not taken.
    ``hang``    the message is taken, and no answer ever comes.
    ``cut``     the message is taken, and the connection closed without an answer.
    ``drop``    the connection is closed and the message not taken.
    ``lie``     the message is taken, and ``answer`` given all the same.
    ``slow``    the message is taken, and the usual answer comes late.
    """

    kind: Literal["answer", "hang", "cut", "drop", "lie", "slow"]
    answer: Answer | None = None


def answering(status: int, body: bytes = b"", **headers: str) -> Fault:
    """A refusal; ``headers`` with ``_`` for ``-``."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fault("answer", Answer(status, body, pairs))


HANG = Fault("hang")
CUT = Fault("cut")
DROP = Fault("drop")
SLOW = Fault("slow")
_PLAIN = {"hang": HANG, "cut": CUT, "drop": DROP, "slow": SLOW}


@dataclass
class Simulator(Serving):
    """A context manager that serves while it is open.

    ``latency``   seconds before each answer; ``slow`` more before one that is slow.
    ``tls``       serve HTTPS with a certificate made for the occasion; trust ``ca_file``.
    ``keep``      how many taken messages ``received`` holds; None for all.
    ``faults``    used up one a request, in order; then ``plan`` says, else all is well.
    ``rate``      requests taken per second; what is beyond gets 429. 0 for any number.
    ``ledger``    the truth of what was taken; None to keep none.
    ``callbacks`` how it reports; None for not at all.
    ``faulted``   counts what went wrong on purpose, by the names of ``HTTP_FAULTS``.
    """

    latency: float = 0.0
    tls: bool = False
    keep: int | None = None
    host: str = "127.0.0.1"
    port: int = 0
    faults: deque[Fault] = field(default_factory=deque)
    count: int = 0
    connections: int = 0
    requests: int = 0
    ca_file: Path | None = None
    plan: Plan | None = None
    slow: float = 1.0
    rate: int = 0
    ledger: Ledger | None = field(default_factory=Ledger)
    callbacks: Callbacks | None = None
    clock: Clock = field(default_factory=SystemClock)
    faulted: Counter[str] = field(default_factory=Counter)

    #: Under which name it stands in the ledger.
    provider = "simulator"

    def __post_init__(self) -> None:
        if self.plan is not None:
            self.plan.must_be_among(HTTP_FAULTS)
        super().__post_init__()
        self.received: deque[Request] = deque(maxlen=self.keep)
        self.poster = Poster(self._loop, self.callbacks.timeout if self.callbacks else 15.0)
        self._second, self._in_second = 0, 0

    def reply(self, request: Request) -> Answer:
        """The provider's usual answer; 2xx takes the message. Subclasses say which."""
        return Answer(200)

    def refusal(self, status: int) -> Answer:
        """How this provider refuses with ``status``, when a plan wants it to."""
        return Answer(status)

    def key_of(self, request: Request) -> str:
        """The sender's id of the message in a request, by which a plan tells its tries apart."""
        return f"{request.method} {request.path}"

    def begin(self, took: Took) -> None:
        """A message was taken: its story begins. Called in the simulator's own thread."""

    def script(self, faults: Iterable[Fault]) -> None:
        """What is to happen to the next requests."""
        self.faults.extend(faults)

    def drain(self, timeout: float = 30.0) -> bool:
        """Wait until every report that is due has been posted or given up. False if that takes
        more than ``timeout`` seconds."""
        return self.poster.drain(timeout)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        context = None
        if self.tls:
            self.ca_file, context = self.tls_context()
        self.serve(lambda: _Connection(self), context)
        return self

    async def at_end(self) -> None:
        await self.poster.stop()

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """What becomes of a request: the answer to give (None for none), and the fault that
        befell it."""
        self.requests += 1
        fault = self.faults.popleft() if self.faults else self._planned(request)
        if fault is None and self.rate and self._too_many():
            fault = Fault("answer", self.refusal(429))
        if fault is not None:
            self.faulted[_name(fault)] += 1
            if fault.kind == "drop":
                return None, fault
            if fault.kind == "answer":
                return fault.answer, fault
        answer = self.reply(request)
        if answer.status < 300 and answer.took != ():
            self._take(request, answer, fault)
        if fault is None or fault.kind == "slow":
            return answer, fault
        return fault.answer, fault  # a lie, or nothing

    def _planned(self, request: Request) -> Fault | None:
        name = self.plan.draw(self.key_of(request)) if self.plan is not None else ""
        if not name:
            return None
        if name == "lie":
            return Fault("lie", Answer(500, b"<html>500 Internal Server Error</html>"))
        return _PLAIN.get(name) or Fault("answer", self.refusal(int(name)))

    def _too_many(self) -> bool:
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > self.rate

    def _take(self, request: Request, answer: Answer, fault: Fault | None) -> None:
        self.received.append(request)
        self.count += 1 if answer.took is None else len(answer.took)
        now = self.clock.now().timestamp()
        for took in answer.took or ():
            if self.ledger is not None:
                seen = fault.kind if fault is not None else ""
                self.ledger.take(
                    Taken(
                        self.provider, took.key, took.to, took.reference, now, seen, took.kept_back
                    )
                )
            self.begin(took)


def _name(fault: Fault) -> str:
    return str(fault.answer.status) if fault.kind == "answer" and fault.answer else fault.kind


class _Connection(asyncio.Protocol):
    """One client. Requests of a connection are answered in order, one at a time."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._buffer = bytearray()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._simulator.connections += 1
        self._simulator._open.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._simulator._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        request = self._take()
        if request is None:
            return
        simulator = self._simulator
        answer, fault = simulator.answer(request)
        self._busy = True
        if answer is None:
            if fault is not None and fault.kind != "hang":
                self._transport.abort()
            return
        wait = simulator.latency
        if fault is not None and fault.kind == "slow":
            wait += simulator.slow
        if wait:
            asyncio.get_running_loop().call_later(wait, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        if self._transport.is_closing():
            return
        head = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}"]
        head += [f"Date: {formatdate(usegmt=True)}"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        self._transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + answer.body)
        self._busy = False
        if self._buffer:
            self._next()

    def _take(self) -> Request | None:
        """The next whole request, None while it is still on its way."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        method, path, _ = first.split(" ", 2)
        return Request(method, path, headers, body)
