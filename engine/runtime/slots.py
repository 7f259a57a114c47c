"""What this worker has leased of the limits of providers and senders (engine.core.rates).

Leases are taken in bunches from PostgreSQL, by its clock, and used by this machine's
``time.monotonic``: a slot is never used before its moment, nor after its end, however long the
answer travelled. So all workers together keep the limit, and none asks for each message.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import inf
from typing import Literal
from zoneinfo import ZoneInfo

from engine.core.rates import Book, Lease, lease, pace, quota
from engine.runtime.shell import Shell
from engine.store import senders as senders_store

#: Seconds of real time that a worker waits for a slot; what takes longer is left to the next job.
SOON = 0.25
#: Seconds of real time until a worker asks again after a day that is full.
FULL = 60.0
#: Where there is plenty, so many times as much is leased as stands in line.
AHEAD = 4


@dataclass(slots=True)
class _Pocket:
    """Slots that are leased: each may be used between two moments of ``time.monotonic``."""

    day: date
    slots: deque[tuple[float, float]] = field(default_factory=deque)
    #: of a day's messages, leased and too late to go
    lost: int = 0

    def take(self) -> tuple[float, float] | None:
        now = time.monotonic()
        while self.slots and self.slots[0][1] < now:
            self.slots.popleft()
            self.lost += 1
        return self.slots.popleft() if self.slots and self.slots[0][0] <= now else None


class Slots:
    """The slots of one worker. ``urgent`` is what consent does not stand in the way of."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._pockets: dict[tuple[str, bool], _Pocket] = {}
        #: (limit, urgent) -> when it is worth asking again
        self._closed: dict[tuple[str, bool], float] = {}
        #: limit -> the day that is full, and when it is worth asking again all the same
        self._full: dict[str, tuple[date, float]] = {}

    def limited(self, names: Sequence[str]) -> list[str]:
        """Those of the providers and senders that have a limit or a warm-up."""
        sending = self._shell.policy().sending
        if not (sending.limits or sending.warm_up):
            return []
        return [name for name in names if name in sending.limits or name in sending.warm_up]

    def closed(self, name: str, urgent: bool) -> bool:
        """Whether nothing can go just now that comes under the limits of this provider or
        sender."""
        now = time.monotonic()
        if not urgent and name in self._full:
            day, until = self._full[name]
            if until > now and day == self._today():
                return True
        return self._closed.get((name, urgent), -inf) > now

    def at_most(self, name: str) -> int | None:
        """How many messages of a provider or sender can go at once; None where nothing limits
        them."""
        limit = self._shell.policy().sending.limits.get(name)
        return None if limit is None else pace(limit).at_once

    def soon(self, in_hand: bool) -> float | None:
        """Seconds until there are slots again, where it is worth waiting for. ``in_hand``:
        messages wait for slots that are leased."""
        now = time.monotonic()
        moments = [until for until in self._closed.values() if until > now]
        if in_hand:
            moments += [p.slots[0][0] for p in self._pockets.values() if p.slots]
        wait = max(min(moments, default=inf) - now, 0.001)
        return wait if wait <= SOON else None

    def take(
        self, names: Collection[str], urgent: bool, wanted: Counter[tuple[str, bool]]
    ) -> Literal["go", "later", "no"]:
        """Take a slot of each of the limits ``names``, or none of any: ``later`` where one is
        leased and near. ``wanted`` is how many messages stand in line, by limit and urgency."""
        taken: list[tuple[_Pocket, tuple[float, float]]] = []
        for name in names:
            pocket = self._pocket(name, urgent, wanted[name, urgent])
            slot = pocket.take()
            if slot is None:
                for other, kept in taken:
                    other.slots.appendleft(kept)
                return "later" if pocket.slots else "no"
            taken.append((pocket, slot))
            wanted[name, urgent] -= 1
        return "go"

    def close(self) -> None:
        """Give back what was leased of today's messages and not used."""
        left = [(key, p) for key, p in self._pockets.items() if p.slots or p.lost]
        warming = self._shell.policy().sending.warm_up if left else {}
        unused = [
            (name, pocket.day, len(pocket.slots) + pocket.lost)
            for (name, _), pocket in left
            if name in warming
        ]
        if unused:
            with self._shell.database.probing() as connection:
                for name, day, count in unused:
                    senders_store.give_day_back(connection, name, day, count)
        self._pockets.clear()

    def _pocket(self, name: str, urgent: bool, wanted: int) -> _Pocket:
        today = self._today()
        pocket = self._pockets.get((name, urgent))
        if pocket is None or pocket.day != today:
            pocket = self._pockets[name, urgent] = _Pocket(today)
        now = time.monotonic()
        while pocket.slots and pocket.slots[0][1] < now:
            pocket.slots.popleft()
            pocket.lost += 1
        if pocket.slots or self.closed(name, urgent):
            return pocket
        # Where there is plenty, some for the next messages too: a lease costs a transaction.
        plenty = 0
        if name not in self._shell.policy().sending.warm_up:
            plenty = min(wanted * AHEAD, (self.at_most(name) or 0) // 8)
        ask = max(wanted, plenty, 1)
        found, asked, answered, base = self._lease(name, urgent, ask, pocket)
        pocket.lost = 0
        for n in range(found.count):
            # Neither before its moment nor after its end, however long the answer travelled.
            begin = found.first - base + n * found.spacing
            pocket.slots.append((answered + begin, asked + begin + found.valid))
        if found.count < wanted:
            if found.more_at == inf:
                # It may get room again: what is leased is given back if it is not used.
                self._full[name] = today, answered + FULL
            else:
                self._closed[name, urgent] = answered + found.more_at - base
        return pocket

    def _lease(
        self, name: str, urgent: bool, wanted: int, pocket: _Pocket
    ) -> tuple[Lease, float, float, float]:
        sending = self._shell.policy().sending
        rate, warm_up = sending.limits.get(name), sending.warm_up.get(name)
        asked = time.monotonic()
        with self._shell.database.probing() as connection:
            row = senders_store.lock_rate(connection, name)
            book, found = lease(
                Book(row.next_all, row.next_promotion, row.day, row.taken),
                None if rate is None else pace(rate),
                None if warm_up is None else quota(warm_up, pocket.day),
                wanted,
                row.now,
                pocket.day,
                promotion=not urgent,
                unused=pocket.lost if warm_up else 0,
            )
            kept = row._replace(
                next_all=book.next_all,
                next_promotion=book.next_promotion,
                day=book.day,
                taken=book.taken,
            )
            senders_store.save_rate(connection, name, kept)
        return found, asked, time.monotonic(), row.now

    def _today(self) -> date:
        zone = ZoneInfo(self._shell.policy().shop.timezone)
        return self._shell.clock.now().astimezone(zone).date()
