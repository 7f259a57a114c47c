"""One client's talk with an SMTP server: RFC 5321, 2920 (pipelining), 1870 (size), 3207 (TLS)."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from engine.testing.smtp import SmtpSink

Stage = Literal["connect", "mail", "rcpt", "data", "end"]


class Mail(NamedTuple):
    """A mail taken. ``at``: seconds of ``time.perf_counter``."""

    sender: str
    to: str
    data: bytes
    at: float


class SmtpFault(NamedTuple):
    """What happens at ``stage`` to one mail: a ``reply`` ("550 5.1.1 no such user") instead of
    the usual one, or, without it, what ``kind`` says: the connection ``cut`` or left to
    ``hang``, or the answer ``slow``. At stage "end" the mail is taken before those."""

    stage: Stage
    reply: str = ""
    kind: Literal["reply", "cut", "hang", "slow"] = "reply"


_ID = re.compile(rb"^message-id:\s*<([^@>\s]+)", re.IGNORECASE | re.MULTILINE)
_SIZE = re.compile(r"\bSIZE=(\d{1,15})\b", re.IGNORECASE)
_UTF8 = re.compile(r"\bSMTPUTF8\b", re.IGNORECASE)


class Session(asyncio.Protocol):
    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = self._stopped = False
        self._sender = self._to = ""
        self._secure = sink.tls != "starttls"
        self._planned: SmtpFault | None = None

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
                more += "250-STARTTLS\r\n" if not self._secure else ""
                self._write(f"250-sink\r\n{more}250-8BITMIME\r\n250 SIZE {self._sink.largest}")
            case "STAR" if not self._secure:
                self._begin_tls()
            case "MAIL" if not self._secure:
                self._write("530 5.7.0 say STARTTLS first")
            case "MAIL":
                self._sender, self._to, self._planned = "", "", None
                wrong = self._wrong_sender(line)
                if wrong:
                    self._write(wrong)
                elif self._say("mail", "250 2.1.0 ok"):
                    self._sender = _path(line)
            case "RCPT" if not self._sender:
                self._write("503 5.5.1 MAIL first")
            case "RCPT" if not line.isascii():
                self._write("553 5.6.7 an address must be ASCII here")
            case "RCPT":
                to = _path(line)
                self._planned = self._sink.planned(to)
                if self._sink.puts_off(self._sender, to):
                    self._write("450 4.2.0 greylisted, try again in some minutes")
                elif self._say("rcpt", "250 2.1.5 ok"):
                    self._to = to
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
        sender, to = self._sender, self._to
        self._sender = self._to = ""
        if len(mail) > sink.largest:
            self._write(f"552 5.3.4 larger than {sink.largest} bytes")
            return
        fault = self._fault_at("end")
        name = ""
        if fault is None or fault.kind != "reply":
            data = mail.replace(b"\r\n..", b"\r\n.")
            data = data[1:] if data.startswith(b"..") else data
            found = _ID.search(data, 0, 16_384)
            key = found[1].decode("utf-8", "replace") if found else ""
            name = sink.take(sender, to, data, key, fault)
        reply, wait = f"250 2.0.0 queued as {name}", sink.latency
        if fault is not None and fault.kind == "slow":
            wait += sink.slow
        elif fault is not None:
            self._misbehave(fault)
            return
        if wait:
            asyncio.get_running_loop().call_later(wait, self._write, reply)
        else:
            self._write(reply)

    def _say(self, stage: Stage, reply: str) -> bool:
        """Answer, unless a fault is due. True when all went as usual."""
        fault = self._fault_at(stage)
        if fault is None:
            self._write(reply)
            return True
        self._misbehave(fault)
        return False

    def _fault_at(self, stage: Stage) -> SmtpFault | None:
        planned = self._planned
        return self._sink.fault_at(stage) or (
            planned if planned is not None and planned.stage == stage else None
        )

    def _wrong_sender(self, line: str) -> str:
        """The refusal of a MAIL command, "" for none."""
        if _UTF8.search(line):
            return "555 5.5.4 SMTPUTF8 is not known here"
        if not line.isascii():
            return "553 5.6.7 an address must be ASCII here"
        size = _SIZE.search(line)
        if size and int(size[1]) > self._sink.largest:
            return f"552 5.3.4 larger than {self._sink.largest} bytes"
        return ""

    def _begin_tls(self) -> None:
        """Go on over TLS. What was sent ahead of it is forgotten (RFC 3207)."""
        self._write("220 2.0.0 go ahead")
        self._buffer.clear()
        loop, sink, plain = asyncio.get_running_loop(), self._sink, self._transport
        assert sink.context is not None

        async def upgrade(context: ssl.SSLContext) -> None:
            try:
                secure = await loop.start_tls(plain, self, context, server_side=True)
            except OSError:  # the client does not trust the certificate, or has gone
                plain.abort()
                return
            if secure is None:  # closed meanwhile
                return
            sink._open.discard(plain)
            sink._open.add(secure)
            self._transport, self._secure = secure, True

        task = loop.create_task(upgrade(sink.context))
        sink.upgrades.add(task)
        task.add_done_callback(sink.upgrades.discard)

    def _misbehave(self, fault: SmtpFault) -> None:
        if fault.kind == "reply":
            self._write(fault.reply)
            if fault.reply.startswith("421"):
                self._transport.close()
            return
        self._stopped = True
        if fault.kind == "cut":
            self._transport.abort()

    def _write(self, reply: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(f"{reply}\r\n".encode())


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
