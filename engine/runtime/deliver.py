"""Deliver what is due: render, pass the gate, call the provider, record.

Only as many messages are claimed as there are threads free to call the provider, so a claimed
message is on the wire within milliseconds and the purchase can stop everything else. Which
provider that is, and how many may go at once, the desk says (engine.runtime.desk).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from queue import Empty, SimpleQueue

from engine.model.message import Sms, WhatsApp
from engine.runtime import gate, reports
from engine.runtime.attempt import Attempt, call, carriers
from engine.runtime.desk import Booked, Desk, News, Ready, sender_of
from engine.runtime.look_up import Witnesses
from engine.runtime.prepare import prepare
from engine.runtime.shell import SHARDS, Shell
from engine.store import claims as claims_store
from engine.store import messages as messages_store
from engine.store import outcomes as outcomes_store
from engine.store import receipts as receipts_store
from engine.store import runs as runs_store
from engine.store.database import START_AGAIN, Connection
from engine.store.messages import EVERYTHING, Candidate, Look

log = logging.getLogger(__name__)

#: A provider that answers in 50 ms takes 640 messages a second from this many threads.
THREADS = 32

#: Calls that are recorded together, and messages claimed together, where there are as many;
#: seconds to wait for the first of them to come back, and then for so many.
GROUP = 4
PATIENCE, LINGER = 0.05, 0.003
#: Seconds until others are looked for while some wait for their slots.
AGAIN = 0.1
_TRIES_TO_RECORD = 5


@dataclass(slots=True)
class Delivered:
    """What one delivery did, in messages. ``seen`` counts all that were looked at. ``waiting``:
    something that is due cannot go, for its provider is paused or has had its share."""

    seen: int = 0
    claimed: int = 0
    sent: int = 0
    failed: int = 0
    retried: int = 0
    unknown: int = 0
    waiting: bool = False


@dataclass(slots=True)
class Deliverer:
    """Delivers one shard at a time; keeps its threads between calls.

    ``hurry``  seconds to wait, at the end, for calls that are under way. Those that take longer
               are written down when they come back, by a thread of their own: a provider that
               hangs must not hold up what else the worker has to do.
    """

    shell: Shell
    threads: int = THREADS
    hurry: float = inf
    _pool: ThreadPoolExecutor | None = None
    _desk: Desk = field(init=False)
    _witnesses: Witnesses = field(init=False)
    _skip: set[str] = field(default_factory=set)
    _next_look: float = 0.0
    _look_now: Look = EVERYTHING
    #: messages of paused senders, come across in one round
    _aside: int = 0
    #: calls under way, and where they come back to
    _flying: int = 0
    _back: SimpleQueue[Attempt] = field(default_factory=SimpleQueue)
    #: what they said of their providers, and nobody else knows yet
    _news: News = field(default_factory=list)
    #: calls that were not waited for; those that came back, and whether that is written down
    _late: int = 0
    _strays: SimpleQueue[tuple[Attempt, bool]] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        self._desk = Desk(self.shell)
        self._witnesses = Witnesses(self.shell)

    def deliver(self, shard: int = 0, shards: int = SHARDS, seconds: float = 5.0) -> Delivered:
        """Send what is due in ``shard`` until it is dry or ``seconds`` of real time are over."""
        done = Delivered()
        deadline = time.monotonic() + seconds
        found: deque[Candidate] = deque()
        ready: list[Ready] = []
        near: list[Ready] = []
        self._skip.clear()
        self._desk.refresh(at_once=True)
        try:
            while True:
                self._render_ahead(found, ready, done)
                landed = self._landed()
                batch: list[Booked] = []
                self._aside = 0
                free = self.threads - self._flying
                goes_on = time.monotonic() < deadline
                if goes_on and free >= min(self.threads, GROUP):
                    # Those that wait for the slots of a slow sender are not in another's way.
                    if not (found or ready) and (not near or time.monotonic() > self._next_look):
                        self._next_look = time.monotonic() + AGAIN
                        found.extend(self._look(shard, shards, done))
                        self._render_ahead(found, ready, done)
                    batch, ready, near = self._booked([*near, *ready], free, done)
                self._exchange(landed, batch, done)
                if not goes_on:
                    return done
                if self._flying or batch or self._aside:
                    continue
                if not self._wait(bool(found or ready or near), deadline):
                    return done
        finally:
            self._land_all(done)
            self._desk.slots.close()

    def deliver_fresh(self, messages: list[tuple[int, str]]) -> Delivered:
        """Send these messages (profile, id), which have just become due, and no others."""
        if not messages:
            return Delivered()
        with self.shell.database.probing() as connection:
            self._desk.refresh(connection)
            now = self.shell.clock.now()
            self._look_now = self._desk.look()
            found = messages_store.fresh_candidates(connection, messages, now, self._look_now)
            found = self._without_paused(connection, found)
        done = self.hand_over(found)
        self._desk.slots.close()
        return done

    def hand_over(self, candidates: list[Candidate]) -> Delivered:
        """Take these messages, and no others, through the gate to their providers."""
        done = Delivered(seen=len(candidates))
        ready = self._rendered(candidates, done)
        for start in range(0, len(ready), self.threads):
            part = ready[start : start + self.threads]
            batch, late, near = self._booked(part, self.threads, done)
            done.waiting = done.waiting or bool(late or near)
            self._exchange([], batch, done)
            self._land_all(done)
        return done

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _look(self, shard: int, shards: int, done: Delivered) -> list[Candidate]:
        """The next messages that are due."""
        now = self.shell.clock.now()
        with self.shell.database.probing() as connection:
            self._desk.refresh(connection)
            look = self._look_now = self._desk.look()
            done.waiting = done.waiting or bool(look.closed)
            found = messages_store.candidates(
                connection, now, self.threads * 4 + len(self._skip), shard, shards, look
            )
            if found and self.shell.book().ranked:
                shoppers = list({c.message.profile_id for c in found})
                found = messages_store.rivals(connection, shoppers, now, look)
                found = [c for c in found if look.open_to(c.message)]
                urgent = frozenset(look.urgent)
                found.sort(key=lambda c: (c.message.topic not in urgent, -c.message.priority))
            found = self._without_paused(connection, found)
        fresh = [c for c in found if c.message.id not in self._skip]
        # Looked at once a call: what the gate holds back now is for the next call.
        self._skip.update(c.message.id for c in fresh)
        done.seen += len(fresh)
        return fresh

    def _without_paused(self, connection: Connection, found: list[Candidate]) -> list[Candidate]:
        """Put aside what belongs to a paused journey: it is not looked at again until then."""
        paused = self._desk.paused_journeys
        for journey in paused & {c.message.journey for c in found}:
            mine = (c.message for c in found if c.message.journey == journey)
            claims_store.hold(connection, mine, f"journey:{journey}")
        return [c for c in found if c.message.journey not in paused]

    def _without_paused_senders(self, ready: list[Ready]) -> list[Ready]:
        """The same for a paused sender, of whom only the rendered message tells."""
        paused = self._desk.paused_senders
        if not paused:
            return ready
        for sender in paused & {sender_of(rendered) for _, rendered in ready}:
            mine = [c.message for c, rendered in ready if sender_of(rendered) == sender]
            self._aside += len(mine)
            with self.shell.database.probing() as connection:
                claims_store.hold(connection, mine, f"sender:{sender}")
        return [item for item in ready if sender_of(item[1]) not in paused]

    def _booked(
        self, ready: list[Ready], room: int, done: Delivered
    ) -> tuple[list[Booked], list[Ready], list[Ready]]:
        """What goes now, what there was no room for, and what waits for a slot that is near. What
        cannot go for a while is looked at again then."""
        ready = self._without_paused_senders(ready)
        if not ready:
            return [], [], []
        batch, later, near, dropped = self._desk.book(ready, room)
        if dropped:
            done.waiting = True
            look = self._desk.look()
            # Where the look is open all the same it would be found again at once.
            again = (c.message.id for c in dropped if not look.open_to(c.message))
            self._skip.difference_update(again)
        return batch, later, near

    def _wait(self, in_hand: bool, deadline: float) -> bool:
        """With nothing under way: wait for the next slot, if it comes soon. False when there is
        nothing to wait for."""
        soon = self._desk.slots.soon(in_hand)
        if soon is None or time.monotonic() + soon > deadline:
            return in_hand and time.monotonic() < deadline
        time.sleep(soon)
        return True

    def _render_ahead(self, found: deque[Candidate], ready: list[Ready], done: Delivered) -> None:
        """Have as many rendered as there are threads, while calls are under way. Before the gate,
        so that nothing slow stands between the gate and the wire; no more at once, so that calls
        that came back do not wait long for the next."""
        while found and len(ready) < self.threads:
            some = [found.popleft() for _ in range(min(self.threads - len(ready), len(found)))]
            ready.extend(self._rendered(some, done))

    def _rendered(self, candidates: list[Candidate], done: Delivered) -> list[Ready]:
        ready, broken = prepare(self.shell, candidates, self.shell.clock.now())
        done.failed += broken
        return ready

    def _landed(self) -> list[Attempt]:
        """The calls that have come back, after a short wait for the first and a shorter one for
        more: to record them costs a transaction, however many they are."""
        self._welcome_strays()
        landed: list[Attempt] = []
        until = time.monotonic() + PATIENCE
        while self._flying and (len(landed) < GROUP or not self._back.empty()):
            try:
                landed.append(self._back.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
            self._flying -= 1
            if len(landed) == 1:
                until = time.monotonic() + LINGER
        # At once, so that nothing more goes to a provider that has just turned out to be down.
        self._news += self._desk.learn(attempt.heard for attempt in landed)
        return landed

    def _land_all(self, done: Delivered) -> None:
        until = time.monotonic() + self.hurry
        while self._flying:
            self._exchange(self._landed(), [], done)
            if time.monotonic() > until and self._late + self._flying <= self.threads:
                self._leave_the_rest()

    def _leave_the_rest(self) -> None:
        late, self._flying = self._flying, 0
        self._late += late
        back, self._back = self._back, SimpleQueue()
        threading.Thread(target=self._see_home, args=(back, late), name="late calls").start()

    def _see_home(self, back: SimpleQueue[Attempt], late: int) -> None:
        for _ in range(late):
            attempt = back.get()
            try:
                with self.shell.database.probing() as connection:
                    self._record(connection, [attempt])
                self._strays.put((attempt, True))
            except Exception as error:
                log.warning("%s: a late call is written down later", type(error).__name__)
                self._strays.put((attempt, False))

    def _welcome_strays(self) -> None:
        while not self._strays.empty():
            attempt, written = self._strays.get()
            self._late -= 1
            if written:
                self._news += self._desk.learn([attempt.heard])
            else:
                self._back.put(attempt)
                self._flying += 1

    def _exchange(self, landed: list[Attempt], batch: list[Booked], done: Delivered) -> None:
        """In one transaction record the calls that have come back and claim the next messages;
        then make the calls for those."""
        if not (landed or batch or self._news):
            return
        try:
            claimed = self._record_and_claim(landed, batch)
        except BaseException:
            # The database is away. What we know of these calls is for the next who gets through.
            for attempt in landed:
                self._back.put(attempt)
            self._flying += len(landed)
            raise
        self._news.clear()
        statuses = Counter(attempt.result.status for attempt in landed)
        done.sent += statuses["sent"]
        done.failed += statuses["failed"]
        done.retried += statuses["due"]
        done.unknown += statuses["unknown"]
        if self._pool is None:
            # Half of them for those that are late.
            self._pool = ThreadPoolExecutor(self.threads * 2, thread_name_prefix="deliver")
        for booked in batch:
            number = claimed.get(booked.candidate.message.id)
            if number is None:
                self._desk.not_claimed(booked)
                continue
            done.claimed += 1
            self._flying += 1
            self._pool.submit(self._fly, booked, number, self._back)

    def _record_and_claim(self, landed: list[Attempt], batch: list[Booked]) -> dict[str, int]:
        for again in range(_TRIES_TO_RECORD, -1, -1):
            try:
                with self.shell.database.probing() as connection:
                    if landed:
                        self._record(connection, landed)
                    self._desk.write(connection, self._news)
                    candidates = [booked.candidate for booked in batch]
                    claimed = gate.claim_within(
                        connection, self.shell, candidates, carriers(batch), self._look_now
                    )
                    links = [
                        (b.candidate.message.profile_id, b.candidate.message.id, link)
                        for b in batch
                        if isinstance(b.rendered, Sms | WhatsApp)
                        and b.candidate.message.id in claimed
                        for link in b.rendered.short_links
                    ]
                    if links:
                        receipts_store.remember(connection, links, self.shell.clock.now())
                    return claimed
            except START_AGAIN:
                # What was sent must not go unrecorded because two workers met.
                if not again:
                    raise
        return {}

    def _record(self, connection: Connection, landed: list[Attempt]) -> None:
        dead = [
            (gate.address(a.candidate), a.candidate.message.channel, a.result.reason)
            for a in landed
            if a.suppress
        ]
        untouched = [a.result for a in landed if a.untouched]
        answered = [a.result for a in landed if not a.untouched]
        settled = outcomes_store.settle(connection, answered) if answered else {}
        self._witnesses.note(connection, answered)
        if untouched:
            settled |= outcomes_store.put_back(connection, untouched)
        profiles = list(settled.values())
        now = self.shell.clock.now()
        unsure = [a.result.id for a in landed if a.result.status in ("unknown", "due")]
        if unsure:
            reports.recall(connection, [(settled[id], id) for id in unsure if id in settled], now)
        if any(a.result.status == "due" for a in landed):
            messages_store.cancel_stopped(connection, profiles, list(settled), now)
        if dead:
            outcomes_store.suppress(connection, dead, now)
        runs = [a.candidate.message.enrollment_id for a in landed]
        runs_store.release(connection, profiles, runs)

    def _fly(self, booked: Booked, attempt: int, back: SimpleQueue[Attempt]) -> None:
        back.put(call(self.shell, booked, attempt))
