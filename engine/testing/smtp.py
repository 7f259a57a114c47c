"""An SMTP server that takes everything, quickly, and can be told to misbehave.

Enough of RFC 5321 and 2920 for a sender; it spends about 0.05 ms a mail, so that a benchmark
measures the sender and not the sink.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self

from engine.testing.serving import Serving

Stage = Literal["connect", "mail", "rcpt", "data", "end"]


class Mail(NamedTuple):
    """A mail taken. ``at``: seconds of ``time.perf_counter``."""

    sender: str
    to: str
    data: bytes
    at: float


@dataclass(frozen=True, slots=True)
class SmtpFault:
    """What happens at ``stage`` to one mail: a ``reply`` ("550 5.1.1 no such user") instead of
    the usual one, or, without it, what ``kind`` says: the connection ``cut`` or left to
    ``hang``. At stage "end" the mail is taken before a cut or hang."""

    stage: Stage
    reply: str = ""
    kind: Literal["reply", "cut", "hang"] = "reply"


@dataclass
class SmtpSink(Serving):
    """A context manager that serves while it is open.

    ``latency``  seconds before the answer at the end of each mail.
    ``keep``     how many mails ``received`` holds; None for all. ``count`` counts every one.
    ``pipelining``  whether it says that it can take commands ahead of its answers.
    """

    latency: float = 0.0
    keep: int | None = None
    pipelining: bool = True
    host: str = "127.0.0.1"
    port: int = 0
    faults: deque[SmtpFault] = field(default_factory=deque)
    count: int = 0
    connections: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.received: deque[Mail] = deque(maxlen=self.keep)

    def script(self, faults: Iterable[SmtpFault]) -> None:
        """What is to happen next, each at the next time its stage comes."""
        self.faults.extend(faults)

    def fault_at(self, stage: Stage) -> SmtpFault | None:
        """The next fault, if it belongs to this stage."""
        if self.faults and self.faults[0].stage == stage:
            return self.faults.popleft()
        return None

    def __enter__(self) -> Self:
        self.serve(lambda: _Session(self))
        return self


class _Session(asyncio.Protocol):
    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = self._stopped = False
        self._sender = self._to = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.connections += 1
        self._sink._open.add(transport)
        self._say("connect", "220 sink ESMTP")

    def connection_lost(self, error: Exception | None) -> None:
        self._sink._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._stopped and self._step():
            pass

    def _step(self) -> bool:
        """Work one command or mail off the buffer; False while none is whole."""
        if self._in_data:
            if self._buffer.startswith(b".\r\n"):
                end, rest = 0, 3
            else:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return False
                end, rest = end + 2, end + 5
            mail = bytes(self._buffer[:end])
            del self._buffer[:rest]
            self._in_data = False
            self._end(mail)
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._buffer[:end].decode("utf-8", "replace")
        del self._buffer[: end + 2]
        self._command(line)
        return True

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        match verb:
            case "EHLO":
                more = "250-PIPELINING\r\n" if self._sink.pipelining else ""
                self._write(f"250-sink\r\n{more}250-8BITMIME\r\n250 SIZE 30000000")
            case "MAIL":
                self._sender, self._to = _path(line), ""
                if not self._say("mail", "250 2.1.0 ok"):
                    self._sender = ""
            case "RCPT" if not self._sender:
                self._write("503 5.5.1 MAIL first")
            case "RCPT":
                if self._say("rcpt", "250 2.1.5 ok"):
                    self._to = _path(line)
            case "DATA" if not self._to:
                self._write("503 5.5.1 RCPT first")
            case "DATA":
                self._in_data = self._say("data", "354 go on")
            case "QUIT":
                self._write("221 2.0.0 bye")
                self._transport.close()
            case "HELO" | "RSET" | "NOOP":
                self._write("250 2.0.0 ok")
            case _:
                self._write("500 5.5.2 unknown")

    def _end(self, mail: bytes) -> None:
        sink = self._sink
        fault = sink.fault_at("end")
        if fault is None or fault.kind != "reply":
            sink.count += 1
            data = mail.replace(b"\r\n..", b"\r\n.")
            data = data[1:] if data.startswith(b"..") else data
            sink.received.append(Mail(self._sender, self._to, data, time.perf_counter()))
        reply = f"250 2.0.0 queued as {sink.count}"
        self._sender = self._to = ""
        if fault is not None:
            self._misbehave(fault)
        elif sink.latency:
            asyncio.get_running_loop().call_later(sink.latency, self._write, reply)
        else:
            self._write(reply)

    def _say(self, stage: Stage, reply: str) -> bool:
        """Answer, unless a fault is due. True when all went as usual."""
        fault = self._sink.fault_at(stage)
        if fault is None:
            self._write(reply)
            return True
        self._misbehave(fault)
        return False

    def _misbehave(self, fault: SmtpFault) -> None:
        if fault.kind == "reply":
            self._write(fault.reply)
            return
        self._stopped = True
        if fault.kind == "cut":
            self._transport.abort()

    def _write(self, reply: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(f"{reply}\r\n".encode())


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
