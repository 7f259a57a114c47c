"""Drain a lane: accepted events become history, runs and messages, in one transaction.

Either all of a batch happens or none of it: the rows leave the inbox in the transaction that
writes their consequences (P1, P2). Several workers drain several lanes at once; where two
lanes turn out to hold the same shopper, row locks on the profile make one wait, and where both
would create the same thing, one starts again from what the other wrote.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import msgspec

from engine.core.consent import merged_consents
from engine.core.identity import Resolution, resolve
from engine.core.profiles import merged_profiles
from engine.core.react import after_merge, on_event
from engine.core.segment_story import Story
from engine.core.shopper import Shopper
from engine.model.event import Event
from engine.model.profile import Profile
from engine.runtime import erased, load, reports, save
from engine.runtime.consent import ask, confirm, hold, keep_proof
from engine.runtime.coupons import Codes, dry_pools, with_codes
from engine.runtime.failures import report
from engine.runtime.segments.keep import keep_up
from engine.runtime.shell import Shell
from engine.store import events as events_store
from engine.store import identities as identities_store
from engine.store import lanes as lanes_store
from engine.store import profiles as profiles_store
from engine.store import segments as segments_store
from engine.store.database import START_AGAIN, Connection, Unavailable
from engine.store.lanes import Taken

log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(Event, float_hook=Decimal).decode

_TRIES = 10


class _Overtaken(Exception):
    """Another worker changed who is who while this one looked."""


@dataclass(slots=True)
class Drained:
    """What one drain did. ``taken`` 0: the lane was dry, or another worker has it. ``due`` counts
    the messages that it made due, ``fresh`` are their (profile, id); ``emitted`` counts the events
    that steps put into the inbox, ``failed`` the faults of journeys, which took nobody else along
    (P10)."""

    taken: int = 0
    duplicates: int = 0
    refused: int = 0
    due: int = 0
    fresh: list[tuple[int, str]] = field(default_factory=list)
    emitted: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Batch:
    events: list[Event] = field(default_factory=list)
    accepted_by: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    duplicates: int = 0
    failed: int = 0


def drain(shell: Shell, lane: int, limit: int = 1000, lanes: int = 1) -> Drained:
    """Work up to ``limit`` events of ``lane``; with ``lanes`` more than one, of up to as many
    lanes that have work, ``lane`` first. Raises what the database raises when it is away;
    nothing is lost then, the rows are still in the inbox.

    A batch that fails for any other reason is worked in smaller parts, down to the one event
    that does not go through: that one is set aside, so it cannot hold up its lane.
    """
    shell.book()  # if the project cannot be read, that is no event's fault: raise it here
    try:
        return _drain_or_start_again(shell, lane, limit, lanes)
    except Unavailable:
        raise
    except Exception as error:
        if lanes > 1:
            log.exception("a batch of several lanes failed, trying them one by one")
            with shell.database.probing() as connection:
                waiting = lanes_store.with_work(connection)
            return _together(drain(shell, each, limit) for each in waiting)
        if limit > 1:
            log.exception("lane %d: a batch failed, trying it in parts", lane)
            return drain(shell, lane, limit // 10 or 1)
        return _set_aside_first(shell, lane, f"{type(error).__name__}: {error}")


def _set_aside_first(shell: Shell, lane: int, reason: str) -> Drained:
    with shell.database.probing() as connection:
        if not lanes_store.lock(connection, lane):
            return Drained()
        rows = lanes_store.take(connection, [lane], 1)
        now = shell.clock.now()
        lanes_store.reject(connection, "drain", [(row.body, reason) for row in rows], now)
        lanes_store.count(connection, f"lane:{lane}", {"taken": len(rows), "refused": len(rows)})
    return Drained(taken=len(rows), refused=len(rows))


def _together(parts: Iterable[Drained]) -> Drained:
    whole = Drained()
    for part in parts:
        whole.taken += part.taken
        whole.duplicates += part.duplicates
        whole.refused += part.refused
        whole.due += part.due
        whole.fresh += part.fresh
        whole.emitted += part.emitted
        whole.failed += part.failed
    return whole


def _drain_or_start_again(shell: Shell, lane: int, limit: int, lanes: int) -> Drained:
    for attempt in range(_TRIES):
        try:
            with shell.database.probing() as connection:
                return _drain(shell, connection, lane, limit, lanes)
        except (*START_AGAIN, _Overtaken) as reason:
            log.info("lane %d starts again (%s), try %d", lane, type(reason).__name__, attempt + 1)
            limit = max(1, limit // 2)  # the less it holds at once, the less it meets others
    raise Unavailable(f"lane {lane}: overtaken {_TRIES} times in a row")


def _drain(shell: Shell, connection: Connection, lane: int, limit: int, lanes: int) -> Drained:
    if lanes > 1:
        mine = lanes_store.lock_some(connection, lane, lanes)
    else:
        mine = [lane] if lanes_store.lock(connection, lane) else []
    if not mine:
        return Drained()
    rows = lanes_store.take(connection, mine, limit)
    if not rows:
        return Drained()
    now = shell.clock.now()
    batch = _decode_rows(connection, rows)
    worth = erased.without_echoes(shell, connection, batch.events)
    echoes, batch.events = len(batch.events) - len(worth), worth
    saved = save.Saved([], 0)
    if batch.events:
        saved = _work(shell, connection, batch, now, f"lane:{mine[0]}")
    if batch.refused:
        lanes_store.reject(connection, "drain", batch.refused, now)
    due, fresh = len(saved.fresh), saved.fresh
    done = Drained(
        *(len(rows), batch.duplicates, len(batch.refused), due, fresh),
        emitted=saved.emitted,
        failed=batch.failed,
    )
    facts = {"taken": done.taken, "duplicate": done.duplicates, "refused": done.refused}
    if echoes:
        facts["erased"] = echoes
    lanes_store.count(connection, f"lane:{mine[0]}", facts)
    return done


def _decode_rows(connection: Connection, rows: list[Taken]) -> _Batch:
    batch = _Batch()
    for row in rows:
        try:
            event = _decode(row.body)
        except msgspec.MsgspecError as error:
            batch.refused.append((row.body, f"unreadable: {error}"))
            continue
        if event.id in batch.accepted_by:
            batch.duplicates += 1
            continue
        batch.accepted_by[event.id] = row.accept_xid
        batch.bodies[event.id] = row.body
        batch.events.append(event)
    known = events_store.known(connection, list(batch.accepted_by))
    if known:
        batch.duplicates += len(known)
        batch.events = [event for event in batch.events if event.id not in known]
    # Not as they came: that order is not kept, and a replay must find the same shoppers (P8).
    batch.events.sort(key=lambda event: event.order_key)
    return batch


def _work(
    shell: Shell, connection: Connection, batch: _Batch, now: datetime, writer: str
) -> save.Saved:
    resolution, profiles = _identify(connection, batch.events)
    erased.block(shell, connection, resolution.assigned)
    doubled: Counter[str] = Counter()
    merged = _merge(connection, resolution, profiles, now, doubled)

    judged = reports.judge(connection, batch.events, resolution.profiles)
    mine: dict[int, list[Event]] = {}
    for event, profile in zip(judged, resolution.profiles, strict=True):
        mine.setdefault(profile, []).append(event)
    # Who took a known shopper in is not new to the store: their runs must be loaded (P3).
    new = set(resolution.created) - merged
    failed: dict[int, str] = {}
    named = set(resolution.assigned.values())
    stories = {
        id: Story(profile, new=id in new, anew=id in new or id in merged, named=id in named)
        for id, profile in profiles.items()
    }

    dry = dry_pools(connection, shell)

    def work(ids: Iterable[int], codes: Codes | None = None) -> list[Shopper]:
        some = {id: profiles[id] for id in ids}
        book, shoppers, starts = load.shoppers(
            *(shell, connection, some, {id: mine[id] for id in some if id in mine}, now),
            merged=merged & some.keys(),
            new=new & some.keys(),
            codes=codes,
            dry=dry,
        )
        worked = []
        for id, shopper in shoppers.items():
            events = mine.get(id, [])
            untouched = Shopper(profiles[id])
            happened: list[tuple[Event | None, Profile, datetime]] = []
            try:
                if id in merged:
                    after_merge(book, shopper)
                    untouched = deepcopy(shopper)
                for event in events:
                    on_event(book, shopper, event, None if shell.exact else now, starts[event.id])
                    happened.append((event, shopper.profile, event.time))
            except Exception as error:
                # One shopper's bad luck is kept aside with its reason; the others go on.
                log.exception("profile %d: %d events set aside", id, len(events))
                failed[id] = f"{type(error).__name__}: {error}"
                untouched.profile_changed = id in resolution.created or id in merged
                shopper, happened = untouched, []
            stories[id].happened = happened
            stories[id].runs = shopper.outcome.enrollments
            worked.append(shopper)
        return worked

    worked = with_codes(connection, work(profiles), work, now, shell.dry)
    history: list[tuple[int, Event, str]] = []
    for id, events in mine.items():
        if id in failed:
            batch.refused += [(batch.bodies[event.id], failed[id]) for event in events]
        else:
            history += [(id, event, batch.accepted_by[event.id]) for event in events]
    told = keep_up(shell, connection, stories, now, writer, doubled=doubled)
    keep_proof(connection, worked, mine, now)
    saved = save.save(connection, worked, now, resolution.created, writer)
    asked = ask(shell, connection, worked, now, writer)
    asked += confirm(shell, connection, mine, now, writer)
    batch.failed = report(shell, connection, worked, writer, now)
    events_store.insert(connection, history, now)
    hold(connection, batch.events, now)
    erased.unblock(connection, worked)
    reports.carry_out(connection, judged, resolution.profiles, now)
    return saved._replace(emitted=saved.emitted + asked + told)


def _identify(connection: Connection, events: list[Event]) -> tuple[Resolution, dict[int, Profile]]:
    names = {name for event in events for name in event.identifiers}
    known, accounts = identities_store.look_up(connection, names)
    occupied: set[int] = set()
    while True:
        resolution = resolve(events, known, accounts, occupied)
        old = set(known.values()) | set(resolution.merged)
        profiles, born_of = profiles_store.lock(connection, old | set(resolution.created))
        strangers = {
            id
            for id, identifier in resolution.created.items()
            if id in profiles and born_of[id] != identifier
        }
        if not strangers:
            break
        occupied |= strangers
    if any(id not in profiles for id in set(known.values())):
        raise _Overtaken  # merged away by another worker between the two looks
    for id in resolution.created:
        profiles.setdefault(id, Profile(id))
    new = {name: id for name, id in resolution.assigned.items() if name not in known}
    moved = {name: id for name, id in resolution.assigned.items() if name in known}
    if not identities_store.assign(connection, new, moved):
        raise _Overtaken
    return resolution, profiles


def _merge(
    connection: Connection,
    resolution: Resolution,
    profiles: dict[int, Profile],
    now: datetime,
    doubled: Counter[str],
) -> set[int]:
    """Carry out the merges; gives the profiles that took another in. ``doubled`` counts, by
    segment, the members who were two."""
    grown: set[int] = set()
    for gone in list(resolution.merged):
        into = resolution.final(gone)
        if gone not in profiles:
            continue  # born and merged within this batch
        consents = profiles_store.consents(connection, [gone, into])
        kept = merged_consents(consents.get(into, ()), consents.get(gone, ()))
        profiles_store.merge(connection, gone, into, kept, now)
        doubled.update(segments_store.merge(connection, gone, into))
        profiles[into] = merged_profiles(profiles[into], profiles.pop(gone))
        grown.add(into)
    wanted = set(resolution.profiles)
    for id in [id for id in profiles if id not in wanted]:
        del profiles[id]
    return grown & wanted
