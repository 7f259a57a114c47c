"""Deliver what is due: render, pass the gate, call the provider, record.

Only as many messages are claimed as there are threads free to call the provider, so a claimed
message is on the wire within milliseconds and the purchase can stop everything else.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import NamedTuple

from engine.errors import DeliveryError, OutcomeUnknown, RenderError
from engine.model.message import Call, Message, Rendered, Sms
from engine.runtime import gate
from engine.runtime.shell import SHARDS, Shell
from engine.store import messages as messages_store
from engine.store import outcomes as outcomes_store
from engine.store import receipts as receipts_store
from engine.store import runs as runs_store
from engine.store.database import START_AGAIN, Connection
from engine.store.messages import Candidate
from engine.store.outcomes import Result

log = logging.getLogger(__name__)

#: A provider that answers in 50 ms takes 640 messages a second from this many threads.
THREADS = 32
#: After this many tries a message that the provider keeps putting off has failed.
TRIES = 8
#: Pause before a message whose outcome is unknown is sent again, where its step asks for that.
RETRY_UNKNOWN = timedelta(minutes=1)

#: Calls that are recorded together, and messages claimed together, where there are as many;
#: seconds to wait for the first of them to come back, and then for so many.
GROUP = 4
PATIENCE, LINGER = 0.05, 0.003
_TRIES_TO_RECORD = 5

Ready = tuple[Candidate, Rendered]


class _Attempt(NamedTuple):
    candidate: Candidate
    result: Result
    suppress: bool


@dataclass(slots=True)
class Delivered:
    """What one delivery did, in messages. ``seen`` counts all that were looked at."""

    seen: int = 0
    claimed: int = 0
    sent: int = 0
    failed: int = 0
    retried: int = 0
    unknown: int = 0


@dataclass(slots=True)
class Deliverer:
    """Delivers one shard at a time; keeps its threads between calls."""

    shell: Shell
    threads: int = THREADS
    _pool: ThreadPoolExecutor | None = None
    _skip: set[str] = field(default_factory=set)
    #: calls under way, and where they come back to
    _flying: int = 0
    _back: SimpleQueue[_Attempt] = field(default_factory=SimpleQueue)

    def deliver(self, shard: int = 0, shards: int = SHARDS, seconds: float = 5.0) -> Delivered:
        """Send what is due in ``shard`` until it is dry or ``seconds`` of real time are over."""
        done = Delivered()
        deadline = time.monotonic() + seconds
        found: deque[Candidate] = deque()
        ready: list[Ready] = []
        self._skip.clear()
        try:
            while True:
                self._render_ahead(found, ready, done)
                landed = self._landed()
                batch: list[Ready] = []
                free = self.threads - self._flying
                if time.monotonic() < deadline and free >= min(self.threads, GROUP):
                    if not (found or ready):
                        found.extend(self._look(shard, shards, done))
                        self._render_ahead(found, ready, done)
                    batch, ready = ready[:free], ready[free:]
                self._exchange(landed, batch, done)
                if not (self._flying or ((found or ready) and time.monotonic() < deadline)):
                    return done
        finally:
            self._land_all(done)

    def deliver_fresh(self, messages: list[tuple[int, str]]) -> Delivered:
        """Send these messages (profile, id), which have just become due, and no others."""
        if not messages:
            return Delivered()
        with self.shell.database.probing() as connection:
            now = self.shell.clock.now()
            found = messages_store.fresh_candidates(connection, messages, now)
        return self.hand_over(found)

    def hand_over(self, candidates: list[Candidate]) -> Delivered:
        """Take these messages, and no others, through the gate to their providers."""
        done = Delivered(seen=len(candidates))
        ready = list(self._rendered(candidates, done, self.shell.clock.now()))
        for start in range(0, len(ready), self.threads):
            self._exchange([], ready[start : start + self.threads], done)
            self._land_all(done)
        return done

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _look(self, shard: int, shards: int, done: Delivered) -> list[Candidate]:
        """The next messages that are due."""
        now = self.shell.clock.now()
        with self.shell.database.probing() as connection:
            found = messages_store.candidates(
                connection, now, self.threads * 4 + len(self._skip), shard, shards
            )
            if found and self.shell.book().ranked:
                shoppers = list({c.message.profile_id for c in found})
                found = messages_store.rivals(connection, shoppers, now)
                found.sort(key=lambda c: -c.message.priority)
        fresh = [c for c in found if c.message.id not in self._skip]
        # Looked at once a call: what the gate holds back now is for the next call.
        self._skip.update(c.message.id for c in fresh)
        done.seen += len(fresh)
        return fresh

    def _render_ahead(self, found: deque[Candidate], ready: list[Ready], done: Delivered) -> None:
        """Have as many rendered as there are threads, while calls are under way. Before the gate,
        so that nothing slow stands between the gate and the wire; no more at once, so that calls
        that came back do not wait long for the next."""
        while found and len(ready) < self.threads:
            some = [found.popleft() for _ in range(min(self.threads - len(ready), len(found)))]
            ready.extend(self._rendered(some, done, self.shell.clock.now()))

    def _rendered(
        self, candidates: list[Candidate], done: Delivered, now: datetime
    ) -> Iterator[Ready]:
        renderer = self.shell.renderer
        broken: list[gate.Refusal] = []
        for candidate in candidates:
            message = candidate.message
            why = ""
            if message.channel not in self.shell.channels:
                why = f"no provider for channel {message.channel}"
            elif not (self.shell.bare or gate.address(candidate)):
                why = f"no address for {message.channel}"
            elif message.channel == "webhook":
                yield candidate, _call_of(message)
                continue
            elif renderer is None:
                why = "nothing renders"
            else:
                try:
                    yield (
                        candidate,
                        renderer.render(
                            message, candidate.profile, candidate.properties, candidate.key
                        ),
                    )
                    continue
                except RenderError as error:
                    why = str(error)
                except Exception as error:
                    # A renderer that breaks its contract must not hold up the whole shard.
                    log.exception("template %s failed in a way it should not", message.template)
                    why = f"{type(error).__name__} in template {message.template}"
            broken.append((message.profile_id, message.id, "failed", why, None, None))
        if broken:
            done.failed += len(broken)
            runs = {c.message.id: c.message.enrollment_id for c in candidates}
            with self.shell.database.probing() as connection:
                messages_store.refuse(connection, broken, now)
                runs_store.release(connection, [b[0] for b in broken], [runs[b[1]] for b in broken])

    def _landed(self) -> list[_Attempt]:
        """The calls that have come back, after a short wait for the first and a shorter one for
        more: to record them costs a transaction, however many they are."""
        landed: list[_Attempt] = []
        until = time.monotonic() + PATIENCE
        while self._flying and (len(landed) < GROUP or not self._back.empty()):
            try:
                landed.append(self._back.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
            self._flying -= 1
            if len(landed) == 1:
                until = time.monotonic() + LINGER
        return landed

    def _land_all(self, done: Delivered) -> None:
        while self._flying:
            self._exchange(self._landed(), [], done)

    def _exchange(self, landed: list[_Attempt], batch: list[Ready], done: Delivered) -> None:
        """In one transaction record the calls that have come back and claim the next messages;
        then make the calls for those."""
        if not (landed or batch):
            return
        try:
            claimed = self._record_and_claim(landed, batch)
        except BaseException:
            # The database is away. What we know of these calls is for the next who gets through.
            for attempt in landed:
                self._back.put(attempt)
            self._flying += len(landed)
            raise
        statuses = Counter(attempt.result.status for attempt in landed)
        done.sent += statuses["sent"]
        done.failed += statuses["failed"]
        done.retried += statuses["due"]
        done.unknown += statuses["unknown"]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="deliver")
        for candidate, rendered in batch:
            number = claimed.get(candidate.message.id)
            if number is not None:
                done.claimed += 1
                self._skip.discard(candidate.message.id)
                self._flying += 1
                self._pool.submit(self._fly, candidate, rendered, number)

    def _record_and_claim(self, landed: list[_Attempt], batch: list[Ready]) -> dict[str, int]:
        for again in range(_TRIES_TO_RECORD, -1, -1):
            try:
                with self.shell.database.probing() as connection:
                    if landed:
                        self._record(connection, landed)
                    candidates = [candidate for candidate, _ in batch]
                    claimed = gate.claim_within(connection, self.shell, candidates)
                    links = [
                        (candidate.message.profile_id, candidate.message.id, link)
                        for candidate, rendered in batch
                        if isinstance(rendered, Sms) and candidate.message.id in claimed
                        for link in rendered.short_links
                    ]
                    if links:
                        receipts_store.remember(connection, links, self.shell.clock.now())
                    return claimed
            except START_AGAIN:
                # What was sent must not go unrecorded because two workers met.
                if not again:
                    raise
        return {}

    def _record(self, connection: Connection, landed: list[_Attempt]) -> None:
        dead = [
            (gate.address(a.candidate), a.candidate.message.channel, a.result.reason)
            for a in landed
            if a.suppress
        ]
        settled = outcomes_store.settle(connection, [a.result for a in landed])
        profiles = list(settled.values())
        now = self.shell.clock.now()
        if any(a.result.status == "due" for a in landed):
            messages_store.cancel_stopped(connection, profiles, list(settled), now)
        if dead:
            outcomes_store.suppress(connection, dead, now)
        runs = [a.candidate.message.enrollment_id for a in landed]
        runs_store.release(connection, profiles, runs)

    def _fly(self, candidate: Candidate, rendered: Rendered, attempt: int) -> None:
        self._back.put(self._call(candidate, rendered, attempt))

    def _call(self, candidate: Candidate, rendered: Rendered, attempt: int) -> _Attempt:
        """One attempt at the provider, in a thread of the pool. Never raises: whatever happens
        is an outcome that must be recorded."""
        message = candidate.message
        channel = self.shell.channels[message.channel]
        handed = self.shell.at(message.due_at)
        status, outcome, reason, reference = "sent", "accepted", "", ""
        due: datetime | None = None
        suppress = False
        try:
            reference = channel.send(rendered).reference
        except DeliveryError as error:
            status, outcome, reason = "failed", "refused", str(error)
            suppress = error.suppress
            if error.retry_after is not None and attempt < TRIES:
                status, due = "due", self._later(error.retry_after, attempt)
        except OutcomeUnknown as error:
            status, outcome, reason = _unknown(message, attempt), "unknown", str(error)
        except Exception as error:
            # A channel that breaks its contract may have sent: that is an unknown outcome too.
            log.exception("provider %s failed in a way it should not", channel.name)
            status, outcome = _unknown(message, attempt), "unknown"
            reason = f"{type(error).__name__} in {channel.name}"
        if status == "due" and due is None:
            due = self._later(RETRY_UNKNOWN, attempt)
        result = Result(
            message.profile_id,
            message.id,
            attempt,
            status,
            outcome,
            reason,
            due,
            handed,
            self.shell.at(message.due_at),
            channel.name,
            reference,
        )
        return _Attempt(candidate, result, suppress)

    def _later(self, pause: timedelta, attempt: int) -> datetime:
        """When to try again: the pause doubles with every attempt."""
        return self.shell.clock.now() + self.shell.real(pause.total_seconds() * 2 ** (attempt - 1))


def _call_of(message: Message) -> Call:
    body = message.offer.get("body", {})
    return Call(message.id, message.template, body, message.journey)


def _unknown(message: Message, attempt: int) -> str:
    """What becomes of a message when nobody knows whether the provider has it (P4)."""
    return "due" if message.on_unknown == "retry" and attempt < TRIES else "unknown"
