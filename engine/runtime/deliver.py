"""Deliver what is due: render, pass the gate, call the provider, record.

Only as many messages are claimed as there are threads free to call the provider, so a claimed
message is on the wire within milliseconds and the purchase can stop everything else.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.errors import DeliveryError, OutcomeUnknown, RenderError
from engine.model.message import Message, Rendered
from engine.runtime import gate
from engine.runtime.shell import SHARDS, Shell
from engine.store import messages as messages_store
from engine.store import runs as runs_store
from engine.store.messages import Candidate, Result

log = logging.getLogger(__name__)

#: A provider that answers in 50 ms takes 640 messages a second from this many threads.
THREADS = 32
#: After this many tries a message that the provider keeps putting off has failed.
TRIES = 8
#: Pause before a message whose outcome is unknown is sent again, where its step asks for that.
RETRY_UNKNOWN = timedelta(minutes=1)

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

    def deliver(self, shard: int = 0, shards: int = SHARDS, seconds: float = 5.0) -> Delivered:
        """Send what is due in ``shard`` until it is dry or ``seconds`` of real time are over."""
        done = Delivered()
        deadline = time.monotonic() + seconds
        flying: set[Future[_Attempt]] = set()
        ready: list[Ready] = []
        self._skip.clear()
        try:
            while True:
                free = self.threads - len(flying)
                if time.monotonic() < deadline and free >= min(self.threads, 8):
                    if not ready:
                        ready = self._prepare(shard, shards, done)
                    batch, ready = ready[:free], ready[free:]
                    self._launch(batch, flying, done)
                elif not flying:
                    return done
                if not flying and not ready:
                    return done
                self._land(flying, done)
        finally:
            while flying:
                self._land(flying, done)

    def deliver_fresh(self, messages: list[tuple[int, str]]) -> Delivered:
        """Send these messages (profile, id), which have just become due, and no others."""
        if not messages:
            return Delivered()
        with self.shell.database.connection() as connection:
            now = self.shell.clock.now()
            found = messages_store.fresh_candidates(connection, messages, now)
        return self.hand_over(found)

    def hand_over(self, candidates: list[Candidate]) -> Delivered:
        """Take these messages, and no others, through the gate to their providers."""
        done = Delivered(seen=len(candidates))
        ready = list(self._rendered(candidates, done, self.shell.clock.now()))
        flying: set[Future[_Attempt]] = set()
        for start in range(0, len(ready), self.threads):
            self._launch(ready[start : start + self.threads], flying, done)
            while flying:
                self._land(flying, done)
        return done

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _prepare(self, shard: int, shards: int, done: Delivered) -> list[Ready]:
        """Render the next messages that are due. Before the gate, so that nothing slow stands
        between the gate and the wire."""
        now = self.shell.clock.now()
        with self.shell.database.connection() as connection:
            found = messages_store.candidates(
                connection, now, self.threads * 4 + len(self._skip), shard, shards
            )
        fresh = [c for c in found if c.message.id not in self._skip]
        # Looked at once a call: what the gate holds back now is for the next call.
        self._skip.update(c.message.id for c in fresh)
        done.seen += len(fresh)
        return list(self._rendered(fresh, done, now))

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
            broken.append((message.profile_id, message.id, "failed", why, None))
        if broken:
            done.failed += len(broken)
            runs = {c.message.id: c.message.enrollment_id for c in candidates}
            with self.shell.database.connection() as connection:
                messages_store.refuse(connection, broken, now)
                runs_store.release(connection, [b[0] for b in broken], [runs[b[1]] for b in broken])

    def _launch(self, batch: list[Ready], flying: set[Future[_Attempt]], done: Delivered) -> None:
        if not batch:
            return
        claimed = gate.claim(self.shell, [candidate for candidate, _ in batch])
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="deliver")
        for candidate, rendered in batch:
            attempt = claimed.get(candidate.message.id)
            if attempt is not None:
                done.claimed += 1
                self._skip.discard(candidate.message.id)
                flying.add(self._pool.submit(self._call, candidate, rendered, attempt))

    def _land(self, flying: set[Future[_Attempt]], done: Delivered) -> None:
        """Record the calls that have come back."""
        if not flying:
            return
        landed, _ = wait(flying, timeout=0.05, return_when=FIRST_COMPLETED)
        if not landed:
            return
        attempts = []
        for future in landed:
            flying.remove(future)
            attempts.append(future.result())
        dead = [
            (gate.address(a.candidate), a.candidate.message.channel, a.result.reason)
            for a in attempts
            if a.suppress
        ]
        statuses = Counter(a.result.status for a in attempts)
        done.sent += statuses["sent"]
        done.failed += statuses["failed"]
        done.retried += statuses["due"]
        done.unknown += statuses["unknown"]
        runs = [a.candidate.message.enrollment_id for a in attempts]
        with self.shell.database.connection() as connection:
            settled = messages_store.settle(connection, [a.result for a in attempts])
            profiles = list(settled.values())
            now = self.shell.clock.now()
            if statuses["due"]:
                messages_store.cancel_stopped(connection, profiles, list(settled), now)
            if dead:
                messages_store.suppress(connection, dead, now)
            runs_store.release(connection, profiles, runs)

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


def _unknown(message: Message, attempt: int) -> str:
    """What becomes of a message when nobody knows whether the provider has it (P4)."""
    return "due" if message.on_unknown == "retry" and attempt < TRIES else "unknown"
