"""Wake the runs whose timers have run out.

Events before timers: a timer fires only when nothing of its shopper waits in the inbox. What
waits there may be the click or the order that the timer is about to miss; the drain that works
it fires the timer in its right place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.core.react import on_timers
from engine.core.segment_story import Story
from engine.core.shopper import Shopper
from engine.model.event import Event
from engine.model.profile import Profile
from engine.runtime import load, save
from engine.runtime.coupons import Codes, dry_pools, with_codes
from engine.runtime.failures import report
from engine.runtime.segments.keep import keep_up
from engine.runtime.shell import Shell
from engine.store import lanes as lanes_store
from engine.store import profiles as profiles_store
from engine.store import runs as runs_store

log = logging.getLogger(__name__)

_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class Woken:
    """What one wake did: shoppers ``woken``, ``held`` for events of theirs in the inbox, how often
    a journey or a shopper ``failed`` and stands with its reason, messages now ``due`` and their
    (profile, id) in ``fresh``, events ``emitted`` into the inbox."""

    woken: int = 0
    held: int = 0
    failed: int = 0
    due: int = 0
    emitted: int = 0
    fresh: list[tuple[int, str]] = field(default_factory=list)


def wake(shell: Shell, limit: int = 1000, until: Mapping[int, datetime] | None = None) -> Woken:
    """Fire up to ``limit`` timers that have run out, longest overdue first.

    ``until``: event-time replay names the profiles, and for each the time up to which its timers
    have run out.
    """
    now = shell.clock.now()
    with shell.database.probing() as connection:
        candidates = runs_store.due(connection, now, limit) if until is None else list(until)
        if not candidates:
            return Woken()
        profiles = profiles_store.lock_free(connection, candidates)
        held = lanes_store.touched(connection, list(profiles))
        for id in held:
            del profiles[id]
        if not profiles:
            return Woken(held=len(held))
        earliest = now if until is None else runs_store.next_due(connection, candidates) or now
        done = Woken(len(profiles), len(held))
        stuck: dict[int, str] = {}
        dry = dry_pools(connection, shell)

        def work(ids: Iterable[int], codes: Codes | None = None) -> list[Shopper]:
            some = {id: profiles[id] for id in ids}
            book, shoppers, _ = load.shoppers(
                shell, connection, some, {}, earliest, codes=codes, dry=dry
            )
            worked = []
            for id, shopper in shoppers.items():
                try:
                    before = (now if until is None else until[id]) + _TICK
                    on_timers(book, shopper, before, None if shell.exact else now)
                    worked.append(shopper)
                except Exception as error:
                    log.exception("profile %d: its timers stand still", id)
                    stuck[id] = f"{type(error).__name__}: {error}"
            return worked

        worked = with_codes(connection, work(profiles), work, now, shell.dry)
        stories = {shopper.profile.id: _story(profiles, shopper, now) for shopper in worked}
        told = keep_up(shell, connection, stories, now, "wake")
        if stuck:
            runs_store.stand_still(connection, list(stuck.items()), now)
            done.failed = len(stuck)
        done.fresh, emitted = save.save(connection, worked, now, writer="wake")
        done.emitted = emitted + told
        done.failed += report(shell, connection, worked, "wake", now)
        done.due = len(done.fresh)
        return done


def _story(before: Mapping[int, Profile], shopper: Shopper, now: datetime) -> Story:
    """What the timers changed, as segments look at it: when the last of them was fired."""
    profile, runs = shopper.profile, shopper.outcome.enrollments
    marks = [mark.at for trace in shopper.outcome.traces.values() for mark in trace]
    # A run that ends with a wait leaves no mark when that is over.
    marks += [run.ended_at for run in runs.values() if run.ended_at is not None]
    happened: list[tuple[Event | None, Profile, datetime]] = []
    if profile is not before[profile.id] or runs:
        happened.append((None, profile, max(marks, default=now)))
    return Story(before[profile.id], happened, runs)
