"""Ask providers what became of messages whose call was never answered.

Each is asked about a few times, with growing pauses, and what is proven is written down: that the
provider has it, that it could not deliver it, or that it never had it, and then it is due again
through the gate like any other. What is not proven stays unknown (P4).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from engine.core.sending import MAX_LOOKS, fate, pause_before_look
from engine.model.lookup import Asked, Found
from engine.ports import LooksUp
from engine.runtime.shell import Shell
from engine.store import lookups as lookups_store
from engine.store import messages as messages_store
from engine.store import runs as runs_store
from engine.store.lookups import Fate, Unknown

log = logging.getLogger(__name__)

#: Questions under way at once: a provider's list is for people, not for bulk.
_THREADS = 4
#: Messages taken at a time; what a worker dies with is asked about again after its pause.
_BATCH = 20


@dataclass(slots=True)
class LookedUp:
    """In messages. ``due``: never taken, so they go again."""

    asked: int = 0
    sent: int = 0
    failed: int = 0
    due: int = 0


def listing(shell: Shell) -> dict[str, LooksUp]:
    """The providers that can be asked, by their names."""
    return {
        each.name: each
        for channel in shell.channels
        for each in shell.carriers(channel)
        if isinstance(each, LooksUp)
    }


def look_up(shell: Shell, seconds: float = 3.0) -> LookedUp:
    """Look up what is to be looked up now, for at most about ``seconds`` of real time."""
    done = LookedUp()
    deadline = time.monotonic() + seconds
    providers = listing(shell)
    if not providers:
        return done
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look-up") as pool:
        while time.monotonic() < deadline:
            now = shell.clock.now()
            with shell.database.probing() as connection:
                found = lookups_store.take(
                    connection,
                    list(providers),
                    now,
                    [shell.real(pause_before_look(n).total_seconds()) for n in range(MAX_LOOKS)],
                    _BATCH,
                )
            if not found:
                break
            done.asked += len(found)
            answers = pool.map(lambda each: _ask(providers[each.provider], each), found)
            _write(shell, zip(found, answers, strict=True), now, done)
    return done


def _ask(provider: LooksUp, message: Unknown) -> Found:
    if not message.to:
        return Found("unsure", reason="the shopper has no address any more")
    try:
        return provider.look_up(
            Asked(message.to, message.trace, message.handed_at, frozenset(message.others))
        )
    except Exception as error:
        log.exception("%s failed in a way it should not", message.provider)
        return Found("unsure", reason=type(error).__name__)


def _write(
    shell: Shell, answers: Iterator[tuple[Unknown, Found]], now: datetime, done: LookedUp
) -> None:
    fates: list[Fate] = []
    asked: list[Unknown] = []
    used: set[str] = set()
    for message, found in answers:
        asked.append(message)
        if found.reference in used:  # the same words to the same number, twice at once
            continue
        age = (now - message.handed_at) / shell.clock.speed
        what = fate(found.what, age, message.looks)
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
    done.sent += sum(each.status == "sent" for each in fates)
    done.failed += sum(each.status == "failed" for each in fates)
    done.due += len(again)
