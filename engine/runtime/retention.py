"""Forgetting what has grown old, as the shop's rules say (`retention`), and never what a promise
rests on, whatever they say.

Counts, links and what was refused lie by their time and go from the oldest on. What belongs to a
shopper (receipts, browsing, traces, attempts) goes in one pass a day over all of them. Each batch
is a transaction of its own, so nobody waits for long, and a worker that dies loses nothing.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from engine.core.book import JourneyBook, Needs, widen
from engine.core.durations import DurationError, parse_duration
from engine.core.receipts import SPENT
from engine.core.segments import Book
from engine.model.journey import OfferStep, Send
from engine.model.policy import Policy
from engine.model.retention import LEAST, Retention
from engine.runtime.shell import Shell
from engine.store import retention as store
from engine.store import segments as segments_store
from engine.store.database import START_AGAIN
from engine.store.retention import Old

#: Rows, and shoppers, of one transaction.
ROWS, SHOPPERS = 1000, 200
#: Time from one pass over the shoppers to the next.
PASS = timedelta(days=1)

#: Names of what shoppers look at (Segment's e-commerce spec v2, and its pages and screens).
BROWSING = frozenset(
    {
        *("Page", "Screen", "Products Searched", "Product List Viewed", "Product List Filtered"),
        *("Promotion Viewed", "Promotion Clicked", "Product Clicked", "Product Viewed"),
        *("Product Added", "Product Removed", "Cart Viewed"),
    }
)


def forget(
    shell: Shell, seconds: float, *, rows: int = ROWS, shoppers: int = SHOPPERS
) -> dict[str, int]:
    """Delete what is too old, for at most ``seconds``; gives how many rows of each kind went.
    What is left is for the next time."""
    deadline = time.monotonic() + seconds
    total: dict[str, int] = {}
    for kind in store.BY_TIME:
        gone = rows
        while gone == rows and time.monotonic() < deadline:
            gone = _batch(shell, kind, rows)
            _add(total, {kind: gone})
    with shell.database.connection() as connection:
        due = store.walk_due(connection, shell.clock.now() - PASS)
    old = _old(shell) if due else None
    while old is not None and time.monotonic() < deadline:
        done = _walk(shell, old, shoppers)
        if done is None:
            break
        _add(total, done)
    return {kind: n for kind, n in total.items() if n}


def _batch(shell: Shell, kind: str, limit: int) -> int:
    now, policy = shell.clock.now(), shell.policy()
    kept = _kept(policy.retention, kind)
    if kept is None:
        return 0
    if kind == "short links":
        kept = max(kept, longest_promise(shell.book(), policy))
    with shell.database.connection() as connection:
        return store.forget(connection, kind, now - kept, limit, now)


def _walk(shell: Shell, old: Old, limit: int) -> dict[str, int] | None:
    """The next shoppers of the pass; None where there is none to do."""
    now = shell.clock.now()
    try:
        with shell.database.connection() as connection:
            walk = store.take_walk(connection, now, now - PASS)
            if walk is None:
                return None
            some = store.shoppers_after(connection, walk.place, limit)
            store.go_on(connection, walk, some[-1] if some else None)
            if not some:
                return None
            return store.forget_of(connection, some, old, now)
    except START_AGAIN:
        return {}


def _old(shell: Shell) -> Old:
    """For one job, for it looks at all runs that are live."""
    kept, book, now = shell.policy().retention, shell.book(), shell.clock.now()
    with shell.database.connection() as connection:
        live = store.oldest_live(connection)
        segments = shell.segments.book(connection)
        needs = asked_for(book, segments)
        # Of one that cannot be read nobody knows what it asks for.
        readable = len(segments.held) == len(segments_store.in_force(connection))
    events: dict[str, tuple[str, datetime]] = {}
    for kind, names in (("receipts", SPENT), ("browsing", BROWSING)):
        age = _kept(kept, kind)
        if age is None or not readable:
            continue
        for name in sorted(names):
            before = _before(name, now - age, now, book, needs, live)
            if before is not None:
                events[name] = (kind, before)
    return Old(
        events,
        None if kept.traces is None else now - kept.traces,
        None if kept.attempts is None else now - kept.attempts,
    )


def _before(
    name: str,
    before: datetime,
    now: datetime,
    book: JourneyBook,
    needs: Needs,
    live: datetime | None,
) -> datetime | None:
    """Before when events of this name go; None: they are asked for however old they are."""
    if name in needs:
        within = needs[name]
        if within is None:
            return None
        # An event that comes late is judged by its own time.
        before = min(before, now - within - LEAST)
    if live is not None and (name in book.stop_names or name in book.wait_names):
        # A merge may bring a run that began long ago, and then looks back for them.
        before = min(before, live)
    return before


def asked_for(book: JourneyBook, segments: Book) -> Needs:
    """Event name -> how far back any journey that has shoppers, or any segment, looks for it
    (None: all the way)."""
    needs: Needs = {}
    for asked in (*book.history.values(), book.step_history):
        widen(needs, asked)
    for held in segments.held.values():
        widen(needs, held.touch.events)
    return needs


def longest_promise(book: JourneyBook, policy: Policy) -> timedelta:
    """The longest time for which a message may say that its link leads somewhere: of an offer,
    or to confirm something."""
    said = [topic.confirm_within for topic in policy.topics.values()]
    for journey in book.versions.values():
        for step in journey.steps.values():
            if isinstance(step, OfferStep) and step.valid is not None:
                said.append(step.valid)
            elif isinstance(step, Send):
                said.append(_valid(step.offer.get("valid")))
    return max(said, default=timedelta(0)) + LEAST


def _valid(said: object) -> timedelta:
    try:
        return parse_duration(said) if isinstance(said, str) else timedelta(0)
    except DurationError:
        return timedelta(0)  # words for the shopper, not for us


def _kept(retention: Retention, kind: str) -> timedelta | None:
    age: timedelta | None = getattr(retention, kind.replace(" ", "_"))
    return age


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for kind, n in more.items():
        total[kind] = total.get(kind, 0) + n
