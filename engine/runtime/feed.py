"""Recorded events through the real collector, over HTTP.

What the collector has not answered 200 to is sent again with the same messageIds, until it has:
an event that arrives twice counts once. So nothing is lost while the collector is down, busy or
restarted, for as long as ``PATIENCE`` lasts.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from engine.errors import WinbackError
from engine.intake import wire
from engine.intake.lanes import lane_of
from engine.intake.recordings import BadLine, lines
from engine.intake.times import instant

#: Seconds for which one batch is sent again before the feed gives up.
PATIENCE = 120.0
#: Seconds between two attempts where the collector does not say: from the first up to the second.
PAUSE, LONGEST_PAUSE = 0.1, 3.0
#: Seconds that an event may be early against its pace: below it, batches are not worth splitting.
SLACK = 0.02

#: Bytes of a batch without its events, and those that an event takes beside its own.
_FRAME = len(b'{"batch":[]}')
_ROOM = len(b',"sentAt":"2026-01-31T10:00:00.000000+00:00",')
_ONE = timedelta(microseconds=1)
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class FeedError(WinbackError):
    """The collector does not take the events."""


@dataclass(slots=True)
class Fed:
    """What became of the lines: ``read`` holds those with an event in them, ``accepted`` the
    events that the collector committed, ``bad`` the lines that hold none or that it refused.
    ``retries`` counts requests that had to be sent again."""

    read: int = 0
    accepted: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    bad: list[BadLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    file: str
    number: int
    body: bytes
    time: datetime | None


class Feed:
    """Sends recordings to the collector at ``url`` with the write key ``key``.

    ``size``         at most so many events a request (and never more than 500 KB).
    ``connections``  with more than one, only each sender's own events stay in order.
    ``speed``        keeps the recording's pace, so many times as fast; 0: as fast as it goes.
    ``as_now``       each event seems to happen as it is sent. Its ``sentAt`` becomes its own time,
                     so the collector's correction for the sender's clock moves it to the present.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        size: int = 500,
        connections: int = 1,
        speed: float = 0.0,
        as_now: bool = False,
        patience: float = PATIENCE,
        progress: Callable[[int], None] = lambda lines: None,
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/batch"
        login = base64.b64encode(f"{key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        self._size = min(size, wire.MAX_EVENTS)
        self._speed = speed
        self._as_now = as_now
        self._patience = patience
        self._progress = progress
        self._queues: list[Queue[list[_Line] | None]] = [Queue(2) for _ in range(connections)]
        self._open: list[list[_Line]] = [[] for _ in range(connections)]
        self._bytes = [_FRAME] * connections
        self._failure: WinbackError | None = None
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._http = urllib3.PoolManager(
            maxsize=connections, retries=False, timeout=urllib3.Timeout(connect=3, read=30)
        )
        self.fed = Fed()

    def run(self, files: Iterable[Path]) -> Fed:
        """Send all; blocks until everything is answered. Raises ``FeedError`` when the collector
        will not take it (wrong key, no collector) or has not for ``patience`` seconds, and
        ``RecordingError``."""
        started = time.monotonic()
        threads = [threading.Thread(target=self._send_all, args=(q,)) for q in self._queues]
        for thread in threads:
            thread.start()
        try:
            self._read(files, started)
        except BaseException:
            self._stop.set()
            raise
        finally:
            for queue in self._queues:
                self._put(queue, None)
            for thread in threads:
                thread.join()
            self._http.clear()
            self.fed.seconds = time.monotonic() - started
        if self._failure is not None:
            raise self._failure
        return self.fed

    def _read(self, files: Iterable[Path], started: float) -> None:
        first: datetime | None = None
        for file in files:
            for number, text in lines(file):
                try:
                    line, sender = self._line(str(file), number, text)
                except ValueError as error:
                    self._refuse(BadLine(str(file), number, str(error)))
                    continue
                if self._speed and line.time is not None:
                    first = first or line.time
                    ahead = (line.time - first).total_seconds() / self._speed
                    wait = started + ahead - time.monotonic()
                    if wait > SLACK:
                        self._flush()
                        self._stop.wait(wait)
                if self._stop.is_set():
                    return
                self.fed.read += 1
                place = lane_of(sender) % len(self._open)
                size = len(line.body) + _ROOM
                full = len(self._open[place]) >= self._size
                if full or self._bytes[place] + size > wire.MAX_BATCH:
                    self._flush(place)
                self._open[place].append(line)
                self._bytes[place] += size
        self._flush()

    def _line(self, file: str, number: int, text: bytes) -> tuple[_Line, str]:
        """The event as it will be sent, and who sent it. Raises ``ValueError``: none in it."""
        text = wire.clean(text)
        item = wire.decode_item(text)
        own_time = item.timestamp if item.originalTimestamp is None else item.originalTimestamp
        sender = next((str(id) for id in (item.userId, item.anonymousId) if id is not None), "")
        if item.messageId in (None, ""):
            # The same line of the same file has the same id, however often it is sent.
            digest = blake2b(f"{Path(file).name}:{number}:".encode() + text, digest_size=16)
            text = _encode(_decode(text) | {"messageId": f"recorded-{digest.hexdigest()}"})
        if len(text) + _ROOM > wire.MAX_BATCH - _FRAME:
            raise ValueError(f"{len(text)} bytes; an event has at most {wire.MAX_EVENT}")
        return _Line(file, number, text, _moment(own_time)), sender

    def _flush(self, place: int | None = None) -> None:
        for at in range(len(self._open)) if place is None else (place,):
            if self._open[at]:
                self._put(self._queues[at], self._open[at])
                self._open[at] = []
                self._bytes[at] = _FRAME

    def _put(self, queue: Queue[list[_Line] | None], batch: list[_Line] | None) -> None:
        while not self._stop.is_set():
            try:
                queue.put(batch, timeout=0.2)
                return
            except Full:
                continue

    def _send_all(self, queue: Queue[list[_Line] | None]) -> None:
        while not self._stop.is_set():
            try:
                batch = queue.get(timeout=0.2)
            except Empty:
                continue
            if batch is None:
                return
            try:
                self._send(batch)
            except WinbackError as error:
                with self._guard:
                    self._failure = self._failure or error
                self._stop.set()

    def _send(self, batch: list[_Line]) -> None:
        bodies = [line.body for line in batch]
        if self._as_now:
            bodies = [_now(line, len(batch) - place) for place, line in enumerate(batch)]
        status, answer = self._post(b'{"batch":[' + b",".join(bodies) + b"]}")
        if status == 200:
            refused = msgspec.json.decode(answer).get("rejected", [])
            for each in refused:
                line = batch[each["index"]]
                self._refuse(BadLine(line.file, line.number, str(each["reason"])))
            with self._guard:
                self.fed.accepted += len(batch) - len(refused)
                self._progress(len(batch))
        elif status in (400, 413) and len(batch) > 1:
            middle = len(batch) // 2  # one of them spoils it: find which
            self._send(batch[:middle])
            self._send(batch[middle:])
        elif status in (400, 413):
            self._refuse(BadLine(batch[0].file, batch[0].number, _said(answer)))
        elif status == 401:
            raise FeedError(f"{self._url} does not know this write key: {_said(answer)}")
        else:
            raise FeedError(f"{self._url} is no collector; it answered {status}: {_said(answer)}")

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Send until there is an answer that stands. Raises ``FeedError`` when there is none."""
        began = time.monotonic()
        pause = PAUSE
        while True:
            asked = 0.0
            try:
                answer = self._http.request("POST", self._url, body=body, headers=self._headers)
            except HTTPError as error:
                trouble = f"{type(error).__name__}"
            else:
                if answer.status < 500 and answer.status != 429:
                    with self._guard:
                        self.fed.requests += 1
                    return answer.status, answer.data
                trouble = f"answered {answer.status}"
                asked = _seconds(answer.headers.get("Retry-After", ""))
            if time.monotonic() - began > self._patience:
                raise FeedError(
                    f"{self._url} has taken nothing for {self._patience:.0f} seconds ({trouble}). "
                    "Once it is back, send the same files again: what was taken counts once."
                )
            with self._guard:
                self.fed.retries += 1
            if self._stop.wait(min(asked or pause, self._patience)):
                raise FeedError("stopped before everything was sent")
            pause = min(pause * 2, LONGEST_PAUSE)

    def _refuse(self, line: BadLine) -> None:
        with self._guard:
            self.fed.bad.append(line)
            self._progress(1)


def _now(line: _Line, from_end: int) -> bytes:
    """The event with a ``sentAt`` by which it happened just now: a microsecond a place before
    the end of its batch, so that the order within it is kept."""
    event = _decode(line.body)
    event.pop("sentAt", None)
    if line.time is None:
        return _encode(event)
    return _encode(event | {"sentAt": (line.time + from_end * _ONE).isoformat()})


def _moment(value: object) -> datetime | None:
    """The event's own time; None where it says none that can be read: then it happens when it
    is received."""
    try:
        return None if value is None else instant(value)
    except (ValueError, OverflowError, OSError):
        return None


def _seconds(retry_after: str) -> float:
    """Seconds of a Retry-After (RFC 9110, 10.2.3: a number or a date); 0 without a usable one."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        at = datetime.strptime(retry_after, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return max(0.0, at.timestamp() - time.time())


def _said(answer: bytes) -> str:
    """The collector's reason, from its error shape; else the start of what came."""
    try:
        return str(msgspec.json.decode(answer)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")
