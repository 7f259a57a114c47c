"""Loading the shoppers of a batch: a few set-based queries, however many shoppers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from engine.core.book import JourneyBook, Needs, widen
from engine.core.entries import Entry, entries
from engine.core.shopper import Past, Run, Shopper
from engine.model.event import Event
from engine.model.profile import Profile
from engine.runtime.shell import Shell
from engine.store import runs as runs_store
from engine.store.database import Connection


class Loaded(NamedTuple):
    """The shoppers of a batch; the ``book`` that knows the versions of all their runs; and, by
    event id, which journeys each event may start."""

    book: JourneyBook
    shoppers: dict[int, Shopper]
    starts: dict[str, list[Entry]]


def shoppers(
    shell: Shell,
    connection: Connection,
    profiles: Mapping[int, Profile],
    events: Mapping[int, list[Event]],
    now: datetime,
    *,
    merged: Iterable[int] = (),
    new: frozenset[int] | set[int] = frozenset(),
    codes: Mapping[str, str | None] | None = None,
    dry: Collection[str] = (),
) -> Loaded:
    """The working set of each of ``profiles``, with what ``events`` (by profile) will ask for.

    ``merged`` profiles get the history of stop events and of those that are waited for too, for
    what one identity bought stops the runs of the other. ``new`` profiles have no past: nothing
    is asked of the store.
    ``codes``: what the pools of coupons have answered; ``dry`` are those that have none left.
    """
    answers = shell.codes if codes is None else codes
    found = {id: Shopper(profile, codes=answers, dry=dry) for id, profile in profiles.items()}
    old = [id for id in profiles if id not in new]
    book = shell.book()
    if old:
        runs = runs_store.live(connection, old)
        if unknown := {(run.journey, run.version) for run in runs} - book.versions.keys():
            # Another worker read the edited journeys before this one did.
            book = shell.book(unknown)
        for run in runs:
            found[run.profile_id].live[run.id] = run
    starts = {event.id: entries(book, event) for mine in events.values() for event in mine}
    places = {
        (profile, entry.journey.name, entry.key)
        for profile, mine in events.items()
        if profile not in new
        for event in mine
        for entry in starts[event.id]
    }
    if book.reach:
        places |= _jump_places(book, found, events, starts, new)
    if places:
        for profile, journey, key, started, active in runs_store.last_runs(connection, places):
            found[profile].runs[journey, key] = Run(started, active)
    _load_history(connection, book, found, events, now, set(merged), new)
    _load_triggers(connection, book, found)
    return Loaded(book, found, starts)


def _jump_places(
    book: JourneyBook,
    found: Mapping[int, Shopper],
    events: Mapping[int, list[Event]],
    starts: Mapping[str, list[Entry]],
    new: frozenset[int] | set[int],
) -> set[tuple[int, str, str]]:
    """The runs that a jump may begin: of those under way and of those that an event may start."""
    ways = [
        (profile, run.journey, run.version, run.key)
        for profile, shopper in found.items()
        for run in shopper.live.values()
        if run.status == "active"
    ]
    ways += [
        (profile, entry.journey.name, entry.journey.version, entry.key)
        for profile, mine in events.items()
        if profile not in new
        for event in mine
        for entry in starts[event.id]
    ]
    return {
        (profile, target, key)
        for profile, journey, version, key in ways
        for target in book.reach.get((journey, version), ())
    }


def _load_history(
    connection: Connection,
    book: JourneyBook,
    found: dict[int, Shopper],
    events: Mapping[int, list[Event]],
    now: datetime,
    merged: set[int],
    new: frozenset[int] | set[int],
) -> None:
    asking: dict[int, Needs] = {}
    stops: Needs = dict.fromkeys(book.stop_names)
    waits: Needs = dict.fromkeys(book.stop_names | book.wait_names)
    for profile, shopper in found.items():
        if profile in new:
            continue
        needs: Needs = {}
        seen = shopper.profile.last_seen
        for event in events.get(profile, ()):
            widen(needs, book.history.get(event.name, {}))
            if seen is not None and event.time <= seen:
                # A late trigger looks back for what would have ended or met its run.
                if event.name in book.triggers:
                    widen(needs, waits)
                elif book.reach and event.name in book.wait_names:
                    widen(needs, stops)
        if shopper.live:
            widen(needs, book.step_history)
        if profile in merged:
            widen(needs, waits)  # what a `without` waits for among them
            for name in book.stop_names:
                widen(needs, book.history.get(name, {}))
        if needs:
            asking[profile] = needs
    if not asking:
        return
    # One query for all of them: the union of what they ask, as far back as the longest asks.
    union: Needs = {}
    for needs in asking.values():
        widen(union, needs)
    # Conditions look back from an event, or from when a timer was due.
    moments = [event.time for profile in asking for event in events.get(profile, ())]
    moments += [r.wake_at for id in asking for r in found[id].live.values() if r.wake_at]
    for profile, name, time, id, properties in runs_store.history(
        connection, list(asking), union, min([now, *moments])
    ):
        found[profile].history.add(name, Past(time, id, properties))


def _load_triggers(connection: Connection, book: JourneyBook, found: dict[int, Shopper]) -> None:
    places = [
        (id, run.event_id)
        for id, shopper in found.items()
        for run in shopper.live.values()
        if (run.journey, run.version) in book.look_back
    ]
    if places:
        for profile, event, properties in runs_store.triggers(connection, places):
            if profile in found:
                found[profile].triggers[event] = properties
