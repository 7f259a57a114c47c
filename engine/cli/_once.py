"""The demo without a person: scripted shoppers play, the pipeline runs dry, the audit judges."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import urllib3
from rich.console import Console

from engine import bootstrap
from engine.channels.file import read_mailbox
from engine.clock import Clock, from_environment
from engine.embedded.supervisor import Supervisor
from engine.errors import WinbackError
from engine.runtime.audit import AuditReport, audit
from engine.settings import Settings
from engine.store import views
from engine.store.database import Database
from engine.testing.play import Play
from engine.testing.shoppers import cast
from engine.web.demo.catalogue import CURRENCY, PRODUCTS

SHOPPERS = 360
SEED = 20
#: By the demo's clock: how long shoppers keep coming in, and how long the play is watched for
#: what journeys do by themselves (the audience comes 26 hours after the view).
ENTER_WITHIN = timedelta(hours=14)
WATCH = timedelta(hours=52)
#: Real seconds.
DRY_WITHIN = 40.0
REPORT_EVERY = 3.0

_LINK = re.compile(r"<(https?://[^<>\s]+)>")


def goods(public_url: str) -> tuple[Mapping[str, Any], ...]:
    """The demo shop's products as properties of an event."""
    return tuple(
        {
            "product_id": product.id,
            "name": product.names["en"],
            "names": product.names,
            "price": product.price,
            "currency": CURRENCY,
            "category": product.category,
            "url": f"{public_url}/shop/products/{product.id}",
            "image_url": f"{public_url}/static/products/{product.id}.svg",
        }
        for product in PRODUCTS.values()
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the run came to. ``dry``: nothing was left in the pipeline. ``sent`` and ``missing``
    are the shoppers' own count: requests, and events acknowledged to them that are nowhere."""

    counts: views.Counts
    report: AuditReport
    dry: bool
    sent: int
    missing: int
    left_the_list: int
    first_mail: float | None

    @property
    def lost(self) -> int:
        return max(self.report.lost_events, self.missing)

    @property
    def fine(self) -> bool:
        broken = self.report.sent_after_stop or self.report.duplicate_sends or self.lost
        return self.dry and self.report.ok and not broken

    def as_json(self, **more: Any) -> dict[str, Any]:
        return {
            "events_accepted": self.counts.accepted,
            "events_processed": self.counts.processed,
            "enrollments": self.counts.runs,
            "messages_sent": self.counts.sent,
            "messages_refused": self.counts.refused,
            "messages_cancelled": self.counts.cancelled,
            "stopped_by_purchase": self.counts.stopped_by_purchase,
            "on_audiences": self.counts.on_audiences,
            "unsubscribed": self.left_the_list,
            "first_mail_seconds": self.first_mail,
            "known_late": self.report.known_late,
            "unknown_outcomes": self.report.unknown,
            **more,
            "promises": dict(self.report.promises),
            "sent_after_stop": self.report.sent_after_stop,
            "duplicate_sends": self.report.duplicate_sends,
            "lost_events": self.lost,
            "audit": "ok" if self.fine else "findings",
        }


def perform(running: Supervisor, console: Console, began: float) -> Outcome:
    """Play the whole cast and judge. ``began``: ``time.monotonic()`` of the command's start."""
    settings = running.settings
    clock = from_environment(settings.clock)
    with bootstrap.database(settings, connections=2) as store:
        watch = Watch(store, clock, console, began)
        start = clock.now()
        play = Play(
            running.urls["web"],
            settings.write_key,
            clock,
            leave_list=lambda address: leave_list(settings, address),
        )
        shoppers = cast(SHOPPERS, seed=SEED, over=ENTER_WITHIN, goods=goods(settings.public_url))
        console.print(f"{len(shoppers)} shoppers enter the shop", highlight=False)
        thread = threading.Thread(target=watch.run, name="watch", daemon=True)
        thread.start()
        try:
            play.perform(shoppers, start=start)
            watch.until(start + WATCH)
            dry = watch.until_dry(DRY_WITHIN)
        finally:
            watch.stop()
            thread.join()
            play.close()
        shelf = bootstrap.journeys(settings, store)
        rules = bootstrap.policy_of(settings, shelf)
        report = audit(store, shelf.book(), rules(), speed=clock.speed)
        tally = play.tally
        with store.connection() as connection:
            counts = views.counts(connection)
            missing = views.missing(connection, tally.ids)
        return Outcome(
            counts, report, dry, tally.sent, missing, tally.left_the_list, watch.first_mail
        )


def leave_list(settings: Settings, address: str) -> bool:
    """Do what a mail program's "unsubscribe" button does with the latest mail to ``address``:
    one POST to its List-Unsubscribe (RFC 8058). False where there is no mail yet."""
    for letter in read_mailbox(settings.home, 1000):
        if letter.kind != "email" or letter.to != address:
            continue
        found = _LINK.search(letter.headers.get("List-Unsubscribe", ""))
        if found is None:
            raise WinbackError(f"The mail {letter.message_id} has no List-Unsubscribe link.")
        answer = urllib3.request(
            "POST",
            found[1],
            body="List-Unsubscribe=One-Click",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        if answer.status != 200:
            raise WinbackError(f"Unsubscribing answered {answer.status} where 200 is due.")
        return True
    return False


class Watch:
    """Tells how it goes, every few seconds, and notices the first mail."""

    def __init__(self, store: Database, clock: Clock, console: Console, began: float) -> None:
        self.first_mail: float | None = None
        self._store = store
        self._clock = clock
        self._console = console
        self._began = began
        self._stop = threading.Event()

    def run(self) -> None:
        told = time.monotonic()
        while not self._stop.wait(0.25):
            counts = self._counts()
            now = time.monotonic()
            if counts.sent and self.first_mail is None:
                self.first_mail = round(now - self._began, 1)
                self._say(counts)
            elif now - told >= REPORT_EVERY:
                told = now
                self._say(counts)

    def stop(self) -> None:
        self._stop.set()

    def until(self, moment: datetime) -> None:
        """Wait until the demo's clock shows ``moment``."""
        real = (moment - self._clock.now()) / timedelta(seconds=1) / self._clock.speed
        time.sleep(max(real, 0.0))

    def until_dry(self, seconds: float) -> bool:
        """Wait until nothing is in the inbox, due, or on the wire; False when it takes longer
        than ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._store.connection() as connection:
                left = views.progress(connection, self._clock.now())
            if not (left.inbox or left.due or left.on_the_wire):
                return True
            time.sleep(0.1)
        self._console.print(f"Still in hand after {seconds:.0f} s: {left}", highlight=False)
        return False

    def _counts(self) -> views.Counts:
        with self._store.connection() as connection:
            return views.counts(connection)

    def _say(self, counts: views.Counts) -> None:
        self._console.print(
            f"{time.monotonic() - self._began:5.0f} s  {self._clock.now():%a %H:%M}  "
            f"{counts.processed:5} events {counts.runs:4} runs {counts.sent:4} sent "
            f"{counts.stopped_by_purchase:4} bought {counts.sent_after_stop} after stop",
            highlight=False,
        )
