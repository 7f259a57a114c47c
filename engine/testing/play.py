"""Lets a cast of shoppers act against a real collector, over HTTP, by the clock in force."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import urllib3

from engine.clock import Clock
from engine.errors import WinbackError
from engine.testing.shoppers import Act, Shopper

#: Takes the mail address of a shopper who leaves the list; gives whether there was a link.
LeaveList = Callable[[str], bool]

_encode = msgspec.json.Encoder(decimal_format="number").encode


class PlayFailed(WinbackError):
    """The collector did not take an event of the play."""


@dataclass(slots=True)
class Tally:
    """What was said, counted by the sender: ``sent`` counts every copy, ``ids`` are the
    ``messageId``s that the collector has answered with 200."""

    sent: int = 0
    left_the_list: int = 0
    ids: set[str] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, act: Act) -> None:
        with self._guard:
            self.sent += act.copies
            self.ids.add(act.message["messageId"])

    def left(self) -> None:
        with self._guard:
            self.left_the_list += 1


class Play:
    """A cast on its way through its plots.

    ``url`` and ``write_key`` are the collector's; ``threads`` how many requests may be under
    way at once. Each message is a request of its own, as browsers send them.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        clock: Clock,
        *,
        leave_list: LeaveList = lambda address: False,
        threads: int = 8,
    ) -> None:
        self.tally = Tally()
        self._url = url
        self._clock = clock
        self._leave_list = leave_list
        self._threads = threads
        self._stop = threading.Event()
        self._http = urllib3.PoolManager(
            maxsize=threads,
            timeout=urllib3.Timeout(connect=2, read=25),
            # What the SDKs do too; the message keeps its id, so it counts once (P2).
            retries=urllib3.Retry(
                5, backoff_factor=0.2, allowed_methods=None, status_forcelist=(429, 503)
            ),
        )
        key = b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {key}"}

    def perform(self, shoppers: Iterable[Shopper], *, start: datetime | None = None) -> None:
        """Play to the end, or until ``stop``. ``start`` is when the play begins by the clock
        (None: now); what is late by then is done at once, in its order.

        Raises ``PlayFailed`` when an event is not taken for good.
        """
        begin = start or self._clock.now()
        due = sorted(
            ((begin + each.enters + act.at, each, act) for each in shoppers for act in each.acts),
            key=lambda entry: entry[0],
        )
        with ThreadPoolExecutor(self._threads, thread_name_prefix="shopper") as pool:
            under_way: list[Future[None]] = []
            for at, shopper, act in due:
                if self._wait_until(at):
                    break
                under_way.append(pool.submit(self._do, shopper, act))
                if len(under_way) > 256:
                    under_way = _still(under_way)
            for done in under_way:
                done.result()

    def stop(self) -> None:
        """End the play after the acts that are under way; from another thread."""
        self._stop.set()

    def close(self) -> None:
        self._http.clear()

    def _wait_until(self, at: datetime) -> bool:
        """Whether the play was stopped meanwhile."""
        real = (at - self._clock.now()) / timedelta(seconds=1) / self._clock.speed
        return self._stop.wait(max(real, 0.0))

    def _do(self, shopper: Shopper, act: Act) -> None:
        if act.leaves_list:
            if self._leave_list(shopper.email):
                self.tally.left()
            return
        now = self._clock.now()
        message = act.message | {
            "timestamp": (now - act.ago).isoformat(),
            "sentAt": now.isoformat(),
        }
        for _ in range(act.copies):
            self._post(message)
        self.tally.add(act)

    def _post(self, message: dict[str, Any]) -> None:
        address = f"{self._url}/v1/{message['type']}"
        try:
            answer = self._http.request(
                "POST", address, body=_encode(message), headers=self._headers
            )
        except urllib3.exceptions.HTTPError as error:
            raise PlayFailed(f"{address} cannot be reached: {error}") from error
        if answer.status != 200:
            text = answer.data[:200].decode(errors="replace")
            raise PlayFailed(f"{address} answered {answer.status}: {text}")


def _still(under_way: list[Future[None]]) -> list[Future[None]]:
    """Those not done; what went wrong in the others is raised here."""
    for done in under_way:
        if done.done():
            done.result()
    return [each for each in under_way if not each.done()]
