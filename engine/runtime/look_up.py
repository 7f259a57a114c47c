"""Ask providers what became of messages whose call was never answered.

Each is asked about a few times, with growing pauses, and what is proven is written down: that the
provider has it, that it could not deliver it, or that it never had it, and then it is due again
through the gate like any other. What is not proven stays unknown (P4), and is closed after a
while, as ``unresolved``: the row says what a person can do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.core.durations import show_duration
from engine.core.sending import (
    LISTED_AFTER,
    MAX_LOOKS,
    closing_words,
    fate,
    pause_before_look,
)
from engine.model.lookup import Asked, Found
from engine.ports import LooksUp, LooksUpTogether
from engine.runtime.shell import Shell
from engine.store import lookups as lookups_store
from engine.store import messages as messages_store
from engine.store import runs as runs_store
from engine.store import senders as senders_store
from engine.store.database import Connection
from engine.store.lookups import Fate, Unknown
from engine.store.outcomes import Result

log = logging.getLogger(__name__)

#: Questions under way at once: a provider's list is for people, not for bulk.
_THREADS = 4
#: So much longer than it must be is the time between two requests to a provider that takes few.
_SLACK = 1.05
#: Seconds of real time between two messages that a worker notes as known to be at a provider.
_SELDOM = 5.0
#: Messages taken at a time; what a worker dies with is asked about again after its pause.
_BATCH = 20


@dataclass(slots=True)
class LookedUp:
    """In messages. ``due``: never taken, so they go again. ``closed``: asked about no more."""

    asked: int = 0
    sent: int = 0
    failed: int = 0
    due: int = 0
    closed: int = 0


def listing(shell: Shell) -> dict[str, LooksUp]:
    """The providers that can be asked, by their names."""
    return {
        each.name: each
        for channel in shell.channels
        for each in shell.carriers(channel)
        if isinstance(each, LooksUp)
    }


def look_up(shell: Shell, seconds: float = 3.0) -> LookedUp:
    """Look up what is to be looked up now, for at most about ``seconds`` of real time, and close
    what nobody has told of for too long."""
    done = LookedUp()
    deadline = time.monotonic() + seconds
    providers = listing(shell)
    together = {n: each for n, each in providers.items() if isinstance(each, LooksUpTogether)}
    for name, provider in together.items():
        while time.monotonic() < deadline and _may_ask(shell, name, provider, deadline):
            if not _look_together(shell, name, provider, done):
                break
    singly = [name for name in providers if name not in together]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look-up") as pool:
        while singly and time.monotonic() < deadline:
            now = shell.clock.now()
            with shell.database.probing() as connection:
                found = lookups_store.take(connection, singly, now, _pauses(shell), _BATCH)
            if not found:
                break
            answers = pool.map(lambda each: _ask(providers[each.provider], each), found)
            _write(shell, zip(found, answers, strict=True), now, done)
    _close(shell, done)
    return done


def _pauses(shell: Shell) -> list[timedelta]:
    return [shell.real(pause_before_look(n).total_seconds()) for n in range(MAX_LOOKS)]


def _may_ask(shell: Shell, name: str, provider: LooksUpTogether, deadline: float) -> bool:
    """Whether there is something to ask and it is our turn, among all workers, before the
    ``deadline``. Waits for the turn."""
    with shell.database.probing() as connection:
        if not lookups_store.is_due(connection, name, shell.clock.now()):
            return False
        row = senders_store.lock_rate(connection, f"look-up:{name}")
        turn = max(row.now, row.next_all)
        if time.monotonic() + turn - row.now > deadline:
            return False
        later = turn + 60 / provider.per_minute * _SLACK
        senders_store.save_rate(connection, f"look-up:{name}", row._replace(next_all=later))
    time.sleep(turn - row.now)
    return True


def _look_together(shell: Shell, name: str, provider: LooksUpTogether, done: LookedUp) -> int:
    now = shell.clock.now()
    with shell.database.probing() as connection:
        found = lookups_store.take(connection, [name], now, _pauses(shell), provider.at_once)
        latest = max((each.handed_at for each in found), default=now)
        # Where the witness has a mail among them that never came, its rows are one too few, and
        # the answer proves nothing of anybody's: the same look after look.
        others = {each.to for each in found}
        known = lookups_store.taken_after(connection, name, latest, others)
    if not found:
        return 0
    there = [each for each in found if each.to]
    try:
        witness = Asked(known[1], known[0], latest) if known else None
        said = provider.look_up_all([_asked(each) for each in there], witness) if there else []
    except Exception as error:
        log.exception("%s failed in a way it should not", name)
        said = [Found("unsure", reason=type(error).__name__)] * len(there)
    by_id = dict(zip((each.id for each in there), said, strict=True))
    answers = ((each, by_id.get(each.id, Found("unsure"))) for each in found)
    _write(shell, answers, now, done, provider.listed_after)
    return len(found)


def _close(shell: Shell, done: LookedUp) -> None:
    after = shell.policy().sending.close_after
    now = shell.clock.now()
    with shell.database.probing() as connection:
        closed = lookups_store.close(
            connection,
            now - shell.real(after.total_seconds()),
            now,
            closing_words(show_duration(after)),
        )
        runs_store.release(connection, [each[0] for each in closed], [each[1] for each in closed])
    done.closed = len(closed)
    if closed:
        log.warning("%d messages are closed though nobody knows whether they went", len(closed))


class Witnesses:
    """Notes, now and then, a message that a provider is known to have (``LooksUpTogether``)."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._next = 0.0

    def note(self, connection: Connection, results: Iterable[Result]) -> None:
        if time.monotonic() < self._next:
            return
        names = {n for n, e in listing(self._shell).items() if isinstance(e, LooksUpTogether)}
        for result in results:
            if result.status != "sent":
                continue
            self._next = time.monotonic() + _SELDOM
            if result.provider not in names:
                continue
            lookups_store.note_taken(
                connection, result.provider, result.handed_at, result.profile_id, result.id
            )
            return


def _asked(message: Unknown) -> Asked:
    return Asked(message.to, message.trace, message.handed_at, frozenset(message.others))


def _ask(provider: LooksUp, message: Unknown) -> Found:
    if not message.to:
        return Found("unsure", reason="the shopper has no address any more")
    try:
        return provider.look_up(_asked(message))
    except Exception as error:
        log.exception("%s failed in a way it should not", message.provider)
        return Found("unsure", reason=type(error).__name__)


def _write(
    shell: Shell,
    answers: Iterable[tuple[Unknown, Found]],
    now: datetime,
    done: LookedUp,
    listed_after: timedelta = LISTED_AFTER,
) -> None:
    fates: list[Fate] = []
    asked: list[Unknown] = []
    used: set[str] = set()
    for message, found in answers:
        asked.append(message)
        if found.reference in used:  # the same words to the same number, twice at once
            continue
        age = (now - message.handed_at) / shell.clock.speed
        what = fate(found.what, age, message.looks, listed_after)
        if what == "unknown":
            continue
        used |= {found.reference} if found.reference else set()
        fates.append(Fate(message.profile_id, message.id, what, found.reference, found.reason))
    with shell.database.probing() as connection:
        written = lookups_store.settle(connection, fates, now) if fates else set()
        again = [each for each in fates if each.status == "due" and each.id in written]
        if again:
            messages_store.cancel_stopped(
                connection, [each.profile_id for each in again], [each.id for each in again], now
            )
        # Also those that are not looked up any more: nothing is left for a stop to reach.
        runs_store.release(connection, [m.profile_id for m in asked], [m.run for m in asked])
    done.asked += len(asked)
    done.sent += sum(each.status == "sent" for each in fates)
    done.failed += sum(each.status == "failed" for each in fates)
    done.due += len(again)
