"""Any SMTP server, over connections that are kept open between mails.

What is known after a failure follows from how far the talk had come (RFC 5321): until the
server has answered the end of DATA it is not responsible for the mail. If the connection is
lost while that answer is awaited, nobody can know.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from engine.channels import mime
from engine.channels.base import ChannelSettings, own_address, recipient, without_personal
from engine.errors import ConfigError, DeliveryError, Fault, OutcomeUnknown
from engine.model.address import Mailbox
from engine.model.message import Email, Receipt, Rendered

_SECONDS = 15.0
_LATER = timedelta(minutes=5)  # a greylisting server wants some minutes
_BAD_LOGIN = timedelta(minutes=15)

#: RFC 3463: no such mailbox, bad address, moved without a new one, null MX, mailbox disabled.
_DEAD = frozenset({"5.1.1", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_NO_SUCH = re.compile(
    r"(user|recipient|mailbox|account|address)[^.]{0,40}(unknown|not found|does ?n[o']t exist)"
    r"|(unknown|no such|invalid|non-?existent) (user|recipient|mailbox|account|address)",
    re.IGNORECASE,
)

#: Too large for the server, which some say as early as at MAIL FROM.
_ABOUT_THE_MAIL = (452, 552)

Reply = tuple[int, bytes]


class _Stale(Exception):
    """A kept connection turned out to be closed before the mail was handed over."""


class SmtpChannel:
    """Sends through one SMTP server.

    ``tls``: "" plain, "starttls", or "tls" from the first byte. ``timeout`` in seconds, for the
    connection and for each answer. Certificates are checked against the system's authorities
    unless ``context`` says otherwise.
    """

    name = "smtp"

    def __init__(
        self,
        host: str,
        port: int,
        now: Callable[[], datetime],
        *,
        user: str = "",
        password: str = "",
        tls: str = "",
        timeout: float = _SECONDS,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if not host:
            raise ConfigError("No SMTP server: set WINBACK_SMTP_URL to smtp://USER:PASSWORD@HOST.")
        self._host, self._port, self._now = host, port, now
        self._user, self._password = user, password
        self._tls, self._timeout = tls, timeout
        self._context = context or (ssl.create_default_context() if tls else None)
        # The last one back is the first one out: the rest grow old and are closed by the server.
        self._idle: deque[smtplib.SMTP] = deque()

    @classmethod
    def from_settings(cls, settings: ChannelSettings, now: Callable[[], datetime]) -> SmtpChannel:
        return cls(
            settings.smtp_host,
            settings.smtp_port,
            now,
            user=settings.smtp_user,
            password=settings.smtp_password,
            tls=settings.smtp_tls,
        )

    def send(self, rendered: Rendered) -> Receipt:
        if not isinstance(rendered, Email):
            raise DeliveryError("SMTP carries mail, not text messages.", permanent=True)
        sender, to = own_address(rendered.from_address), recipient(rendered.to)
        data = mime.build(rendered, self._now())
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            try:
                return self._hand_over(kept, sender, to, data)
            except _Stale:
                continue  # servers close idle connections; nothing was handed over
        try:
            return self._hand_over(self._connect(), sender, to, data)
        except _Stale as error:
            raise DeliveryError(
                f"{self._host} closed the connection before it took the mail.", permanent=False
            ) from error

    def close(self) -> None:
        """Close the idle connections. A later ``send`` opens another."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> smtplib.SMTP:
        try:
            place = (self._host, self._port)
            server: smtplib.SMTP = (
                smtplib.SMTP_SSL(*place, timeout=self._timeout, context=self._context)
                if self._tls == "tls"
                else smtplib.SMTP(*place, timeout=self._timeout)
            )
            try:
                server.ehlo_or_helo_if_needed()
                if self._tls == "starttls":
                    server.starttls(context=self._context)
                    server.ehlo()
                if self._user:
                    server.login(self._user, self._password)
            except BaseException:
                server.close()
                raise
        except smtplib.SMTPAuthenticationError as error:
            raise DeliveryError(
                f"{self._host} refuses our user name or password ({error.smtp_code}): check "
                "WINBACK_SMTP_URL.",
                permanent=False,
                retry_after=_BAD_LOGIN,
                fault="account",
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(
                f"{self._host}:{self._port} cannot be reached: {without_personal(str(error))}",
                permanent=False,
                fault="away",
            ) from error
        if server.sock is not None and server.sock.family != socket.AF_UNIX:
            server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def _hand_over(self, server: smtplib.SMTP, sender: str, to: Mailbox, data: bytes) -> Receipt:
        """One mail over one connection, which is kept for the next unless it failed."""
        if not to.ascii and not server.has_extn("smtputf8"):
            self._idle.append(server)
            raise DeliveryError(
                f"The address has letters beyond ASCII before its @, and {self._host} does not "
                "take such (it does not offer SMTPUTF8).",
                permanent=True,
            )
        try:
            replies = _envelope(server, sender, to)
        except (OSError, smtplib.SMTPException) as error:
            server.close()
            raise _Stale from error
        refused = next(
            (r for r, wanted in zip(replies, (2, 2, 3), strict=False) if r[0] // 100 != wanted),
            None,
        )
        if refused is not None:
            if replies[0] is refused and refused[0] == 421:
                server.close()
                raise _Stale
            self._abandon(server, data_open=len(replies) == 3 and replies[2][0] == 354)
            raise self._refusal(refused, ("MAIL", "RCPT", "")[replies.index(refused)])
        payload = data.replace(b"\r\n.", b"\r\n..")
        try:
            # The dot that ends the mail is in the last bytes: if this fails, the server has
            # not got it and must forget the mail.
            server.send(b"." + payload if payload.startswith(b".") else payload)
            server.send(b".\r\n")
        except (OSError, smtplib.SMTPException) as error:
            server.close()
            raise DeliveryError(
                f"{self._host} closed the connection within the mail.", permanent=False
            ) from error
        try:
            code, words = server.getreply()
        except (OSError, smtplib.SMTPException) as error:
            server.close()
            raise OutcomeUnknown(
                f"{self._host} did not answer at the end of the mail; it may have it."
            ) from error
        if code == 421:
            server.close()
        else:
            self._idle.append(server)
        if code // 100 != 2:
            raise self._refusal((code, words), "DATA")
        return Receipt("smtp", without_personal(words.decode("utf-8", "replace"), 120))

    def _abandon(self, server: smtplib.SMTP, *, data_open: bool) -> None:
        """Make the connection fit for the next mail, or let it go."""
        try:
            if data_open:  # pipelined: it awaits a mail for which it knows no recipient
                server.send(b".\r\n")
                server.getreply()
            server.rset()
            self._idle.append(server)
        except (OSError, smtplib.SMTPException):
            server.close()

    def _refusal(self, reply: Reply, stage: str) -> DeliveryError:
        code, words = reply
        text = words.decode("utf-8", "replace")
        permanent = code // 100 == 5
        found = _ENHANCED.search(text)
        dead = found[1] in _DEAD if found else bool(_NO_SUCH.search(text))
        fault: Fault = ""
        if stage == "MAIL" and code not in _ABOUT_THE_MAIL:
            # It has not heard yet whom the mail is for: it minds us, or itself.
            fault = "account" if permanent else "away"
        return DeliveryError(
            f"{self._host} answered {code}: {without_personal(text)}",
            permanent=permanent,
            retry_after=None if permanent else _LATER,
            fault=fault,
            suppress=permanent and dead and stage in ("RCPT", "DATA"),
        )


def _envelope(server: smtplib.SMTP, sender: str, to: Mailbox) -> list[Reply]:
    """Say who writes to whom and ask to hand over: the replies, the last being the refusal
    where there is one. In one round trip where the server can (RFC 2920)."""
    utf8 = "" if to.ascii else " SMTPUTF8"
    server.command_encoding = "utf-8" if utf8 else "ascii"
    commands = (f"MAIL FROM:<{sender}>{utf8}", f"RCPT TO:<{to.ascii or to.address}>", "DATA")
    if server.has_extn("pipelining"):
        server.send("\r\n".join(commands) + "\r\n")
        return [server.getreply() for _ in commands]
    replies: list[Reply] = []
    for command in commands:
        replies.append(server.docmd(command))
        if replies[-1][0] // 100 not in (2, 3):
            break
    return replies
