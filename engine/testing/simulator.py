"""A provider on this machine: a small HTTP/1.1 server in a thread, with faults on demand.

asyncio protocols rather than a framework: it must answer thousands of requests a second with
any latency while the thing under test has the rest of the machine.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Literal, NamedTuple, Self

from engine.testing.certificate import write_certificate
from engine.testing.serving import Serving


class Answer(NamedTuple):
    """What a provider answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


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
    """

    kind: Literal["answer", "hang", "cut", "drop"]
    answer: Answer | None = None


def answering(status: int, body: bytes = b"", **headers: str) -> Fault:
    """A refusal; ``headers`` with ``_`` for ``-``."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fault("answer", Answer(status, body, pairs))


HANG = Fault("hang")
CUT = Fault("cut")
DROP = Fault("drop")


@dataclass
class Simulator(Serving):
    """A context manager that serves while it is open.

    ``latency``   seconds before each answer.
    ``tls``       serve HTTPS with a certificate made for the occasion; trust ``ca_file``.
    ``keep``      how many taken messages ``received`` holds; None for all.
    ``faults``    used up one a request, in order; then all is well.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        self.received: deque[Request] = deque(maxlen=self.keep)

    def reply(self, request: Request) -> Answer:
        """The provider's usual answer; 2xx takes the message. Subclasses say which."""
        return Answer(200)

    def script(self, faults: Iterable[Fault]) -> None:
        """What is to happen to the next requests."""
        self.faults.extend(faults)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        context = None
        if self.tls:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self.ca_file, key = write_certificate(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.ca_file, key)
        self.serve(lambda: _Connection(self), context)
        return self


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
        simulator.requests += 1
        fault = simulator.faults.popleft() if simulator.faults else None
        if fault is not None and fault.kind == "drop":
            self._transport.abort()
            return
        if fault is not None and fault.answer is not None:
            answer = fault.answer
        else:
            answer = simulator.reply(request)
            if answer.status < 300:
                simulator.count += 1
                simulator.received.append(request)
        self._busy = True
        if fault is not None and fault.kind == "cut":
            self._transport.abort()
        elif fault is not None and fault.kind == "hang":
            pass
        elif simulator.latency:
            asyncio.get_running_loop().call_later(simulator.latency, self._send, answer)
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
