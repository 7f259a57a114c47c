"""All simulators together, under one plan and one ledger: what a chaos run or a shop's own
end-to-end test starts, and what ``winback simulators`` shows."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.clock import Clock, SystemClock
from engine.testing.google import GoogleSimulator
from engine.testing.ledger import Ledger
from engine.testing.meta import MetaSimulator
from engine.testing.plan import HTTP_FAULTS, SMTP_FAULTS, Plan
from engine.testing.sendgrid import SendGridSimulator
from engine.testing.sendgrid_activity import PER_MINUTE, Activity
from engine.testing.smtp import SmtpSink
from engine.testing.stories import Callbacks, Stories
from engine.testing.twilio import TwilioSimulator

PROVIDERS = ("sendgrid", "twilio", "smtp")
#: Started only where they are named: they carry no messages.
AD_PLATFORMS = ("google", "meta")
#: The key that SendGrid's simulator is given; it takes any that begins with SG.
SENDGRID_KEY = "SG.simulated"
_SENDGRID_SPEC = Path("sendgrid/tsg_mail_v3.json")
_GOOGLE_SPEC = Path("google/datamanager.v1.jsonschema.json")
_TWILIO_SPEC = Path("twilio/twilio_api_v2010.messages.json")

Running = SendGridSimulator | TwilioSimulator | SmtpSink | GoogleSimulator | MetaSimulator


@dataclass
class Providers:
    """A context manager that serves while it is open.

    ``ports``      which providers to start, and where (0: any free port).
    ``plan``       the faults; each provider takes those that it can have.
    ``callbacks``  how they report; its ``url`` is where Winback is (its public address), None
                   for no reports.
    ``stories``    what becomes of the messages, by provider; else the usual mix.
    ``rate``       requests taken per second and provider, 0 for any number.
    ``specs``      folder with ``sendgrid/``, ``twilio/`` and ``google/``, their own API files.
    ``keep``       how many messages each remembers; None for all.
    ``activity``   SendGrid's account has the add-on that shows what was sent; it may be asked
                   ``activity_per_minute`` times, 0 for any number.
    """

    ports: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROVIDERS, 0))
    plan: Plan | None = None
    callbacks: Callbacks | None = None
    stories: dict[str, Stories] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    latency: float = 0.0
    slow: float = 1.0
    rate: int = 0
    specs: Path | None = None
    keep: int | None = None
    activity: bool = False
    activity_per_minute: int = PER_MINUTE
    clock: Clock = field(default_factory=SystemClock)
    sendgrid: SendGridSimulator | None = None
    twilio: TwilioSimulator | None = None
    smtp: SmtpSink | None = None
    google: GoogleSimulator | None = None
    meta: MetaSimulator | None = None

    def __post_init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Raises ``OSError`` when a port is taken."""
        with ExitStack() as stack:
            same: dict[str, Any] = {
                "latency": self.latency,
                "slow": self.slow,
                "keep": self.keep,
                "ledger": self.ledger,
                "clock": self.clock,
            }
            http = {**same, "rate": self.rate}
            if "sendgrid" in self.ports:
                self.sendgrid = SendGridSimulator(
                    port=self.ports["sendgrid"],
                    plan=self._plan(HTTP_FAULTS),
                    callbacks=self._callbacks("sendgrid"),
                    spec=self.specs and self.specs / _SENDGRID_SPEC,
                    activity=Activity(on=self.activity, per_minute=self.activity_per_minute),
                    **http,
                )
                stack.enter_context(self.sendgrid)
            if "twilio" in self.ports:
                self.twilio = TwilioSimulator(
                    port=self.ports["twilio"],
                    plan=self._plan(HTTP_FAULTS),
                    callbacks=self._callbacks("twilio"),
                    spec=self.specs and self.specs / _TWILIO_SPEC,
                    **http,
                )
                stack.enter_context(self.twilio)
            if "smtp" in self.ports:
                self.smtp = SmtpSink(port=self.ports["smtp"], plan=self._plan(SMTP_FAULTS), **same)
                stack.enter_context(self.smtp)
            if "google" in self.ports:
                self.google = GoogleSimulator(
                    port=self.ports["google"],
                    plan=self._plan(HTTP_FAULTS),
                    spec=self.specs and self.specs / _GOOGLE_SPEC,
                    **http,
                )
                stack.enter_context(self.google)
            if "meta" in self.ports:
                self.meta = MetaSimulator(
                    port=self.ports["meta"], plan=self._plan(HTTP_FAULTS), **http
                )
                stack.enter_context(self.meta)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def running(self) -> list[Running]:
        all_of_them = (self.sendgrid, self.twilio, self.smtp, self.google, self.meta)
        return [there for there in all_of_them if there is not None]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make Winback use these instead of the real ones."""
        found: dict[str, str] = {}
        if self.sendgrid is not None:
            found["SENDGRID_BASE_URL"] = self.sendgrid.url
            found["SENDGRID_API_KEY"] = SENDGRID_KEY
            found["SENDGRID_WEBHOOK_PUBLIC_KEY"] = self.sendgrid.public_key
            if self.activity:
                found["SENDGRID_EMAIL_ACTIVITY"] = "on"
        if self.twilio is not None:
            found["TWILIO_BASE_URL"] = self.twilio.url
            found["TWILIO_ACCOUNT_SID"] = self.twilio.account
            found["TWILIO_AUTH_TOKEN"] = self.twilio.token
        if self.smtp is not None:
            found["WINBACK_SMTP_URL"] = self.smtp.url
        if self.google is not None:
            found["GOOGLE_DATAMANAGER_BASE_URL"] = self.google.url
            found["GOOGLE_DATAMANAGER_TOKEN"] = self.google.token
        if self.meta is not None:
            found["META_BASE_URL"] = self.meta.url
            found["META_ACCESS_TOKEN"] = self.meta.token
            found["META_APP_SECRET"] = self.meta.secret
        return found

    def drain(self, timeout: float = 30.0) -> bool:
        """Wait until every report that is due has been posted or given up. False if that takes
        more than ``timeout`` seconds each."""
        return all([t.drain(timeout) for t in (self.sendgrid, self.twilio) if t is not None])

    def figures(self) -> dict[str, dict[str, Any]]:
        """What has happened so far, by provider: ``requests``, messages ``taken``, ``faults``
        by name, reports ``posted`` and posts ``accepted``, ``refused``, ``repeated``, given up
        and ``pending``."""
        found: dict[str, dict[str, Any]] = {}
        for there in self.running:
            row: dict[str, Any] = {
                "requests": there.requests,
                "taken": there.count,
                "faults": dict(sorted(there.faulted.items())),
            }
            if isinstance(there, GoogleSimulator | MetaSimulator):
                row["members"] = there.lists.sizes()
            elif not isinstance(there, SmtpSink):
                poster = there.poster
                row |= {
                    "reports": there.events,
                    "posts": poster.posts,
                    "accepted": poster.accepted,
                    "refused": poster.refused,
                    "repeats": poster.repeats,
                    "given up": poster.given_up,
                    "pending": poster.pending,
                }
            found[there.provider] = row
        return found

    def _plan(self, known: frozenset[str]) -> Plan | None:
        return self.plan.among(known) if self.plan is not None else None

    def _callbacks(self, provider: str) -> Callbacks | None:
        if self.callbacks is None:
            return None
        return replace(
            self.callbacks,
            url=f"{self.callbacks.url.rstrip('/')}/callbacks/{provider}",
            stories=self.stories.get(provider),
        )
