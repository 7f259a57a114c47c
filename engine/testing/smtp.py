"""An SMTP server that takes everything, quickly, and can be told to misbehave.

Enough for a sender; it spends about 0.05 ms a mail, so that a benchmark measures the sender
and not the sink.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Literal, Self

from engine.clock import Clock, SystemClock
from engine.testing.ledger import Ledger, Taken
from engine.testing.plan import SMTP_FAULTS, Plan
from engine.testing.serving import Serving
from engine.testing.smtp_session import Mail, Session, SmtpFault, Stage

#: The faults of a plan.
_PLANNED = {
    "450": SmtpFault("rcpt", "450 4.2.0 greylisted, try again in some minutes"),
    "421": SmtpFault("rcpt", "421 4.3.2 closing for maintenance"),
    "550": SmtpFault("rcpt", "550 5.1.1 no such user here"),
    "451": SmtpFault("end", "451 4.3.0 local error, try again"),
    "452": SmtpFault("end", "452 4.3.1 no space left, try again"),
    "554": SmtpFault("end", "554 5.7.1 looks like spam"),
    "drop": SmtpFault("data", kind="cut"),
    "cut": SmtpFault("end", kind="cut"),
    "hang": SmtpFault("end", kind="hang"),
    "slow": SmtpFault("end", kind="slow"),
}


@dataclass
class SmtpSink(Serving):
    """A context manager that serves while it is open.

    ``latency``  seconds before the answer at the end of each mail; ``slow`` more before one
                 that is slow.
    ``keep``     how many mails ``received`` holds; None for all. ``count`` counts every one.
    ``pipelining``  whether it says that it can take commands ahead of its answers.
    ``tls``      "" plain, "starttls" (and no mail without it), "tls" from the first byte; trust
                 ``ca_file``.
    ``largest``  most bytes of a mail.
    ``greylist`` seconds for which a sender and recipient not met before are put off (450).
    ``faults``   used up in order, each when its stage comes; else ``plan`` says.
    ``ledger``   the truth of what was taken, by the id in each mail's Message-ID; None to keep
                 none.

    It does not know SMTPUTF8 (RFC 6531): addresses are ASCII.
    """

    latency: float = 0.0
    keep: int | None = None
    pipelining: bool = True
    host: str = "127.0.0.1"
    port: int = 0
    faults: deque[SmtpFault] = field(default_factory=deque)
    count: int = 0
    connections: int = 0
    tls: Literal["", "starttls", "tls"] = ""
    largest: int = 30_000_000
    greylist: float = 0.0
    plan: Plan | None = None
    slow: float = 1.0
    ledger: Ledger | None = field(default_factory=Ledger)
    clock: Clock = field(default_factory=SystemClock)
    requests: int = 0
    faulted: Counter[str] = field(default_factory=Counter)
    ca_file: Path | None = None
    #: Serves TLS where there is any.
    context: SSLContext | None = None
    #: Under which name it stands in the ledger.
    provider = "smtp"

    def __post_init__(self) -> None:
        if self.plan is not None:
            self.plan.must_be_among(SMTP_FAULTS)
        super().__post_init__()
        self.received: deque[Mail] = deque(maxlen=self.keep)
        self._met: dict[tuple[str, str], float] = {}
        #: Connections on their way to TLS.
        self.upgrades: set[asyncio.Task[None]] = set()

    def script(self, faults: Iterable[SmtpFault]) -> None:
        """What is to happen next, each at the next time its stage comes."""
        self.faults.extend(faults)

    def fault_at(self, stage: Stage) -> SmtpFault | None:
        """The next scripted fault, if it belongs to this stage."""
        if self.faults and self.faults[0].stage == stage:
            return self._counted(self.faults.popleft())
        return None

    def planned(self, to: str) -> SmtpFault | None:
        """What the plan has for the next mail to an address."""
        self.requests += 1
        name = self.plan.draw(to) if self.plan is not None else ""
        return self._counted(_PLANNED[name]) if name else None

    def puts_off(self, sender: str, to: str) -> bool:
        """Whether greylisting does not let this pair through yet."""
        if not self.greylist:
            return False
        now = time.monotonic()
        put_off = now - self._met.setdefault((sender, to), now) < self.greylist
        self.faulted["450"] += put_off
        return put_off

    def take(self, sender: str, to: str, data: bytes, key: str, fault: SmtpFault | None) -> str:
        """Take a mail. Gives the name under which it is queued."""
        self.count += 1
        self.received.append(Mail(sender, to, data, time.perf_counter()))
        if self.ledger is not None:
            now, seen = self.clock.now().timestamp(), fault.kind if fault is not None else ""
            self.ledger.take(Taken(self.provider, key, to, str(self.count), now, seen))
        return str(self.count)

    @property
    def url(self) -> str:
        """As ``WINBACK_SMTP_URL`` wants it."""
        if self.tls == "tls":
            return f"smtps://{self.host}:{self.port}"
        return f"smtp://{self.host}:{self.port}?tls={self.tls or 'none'}"

    def __enter__(self) -> Self:
        if self.tls:
            self.ca_file, self.context = self.tls_context()
        self.serve(lambda: Session(self), self.context if self.tls == "tls" else None)
        return self

    async def at_end(self) -> None:
        await asyncio.gather(*self.upgrades, return_exceptions=True)

    def _counted(self, fault: SmtpFault) -> SmtpFault:
        dropped = fault.kind == "cut" and fault.stage != "end"
        self.faulted[fault.reply[:3] or ("drop" if dropped else fault.kind)] += 1
        return fault


__all__ = ["Mail", "SmtpFault", "SmtpSink", "Stage"]
