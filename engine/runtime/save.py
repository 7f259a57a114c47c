"""Writing what a batch decided: one statement a table, in the transaction that took the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from engine.core.consent import stricter
from engine.core.decision import TooLate
from engine.core.emitted import Emitted, event_of
from engine.core.refusals import NEXT_WINDOW, OVERDUE
from engine.core.shopper import Shopper
from engine.intake.lanes import lane_of
from engine.model.enrollment import Enrollment
from engine.model.message import Message
from engine.model.profile import Consent
from engine.store import coupons as coupons_store
from engine.store import identities as identities_store
from engine.store import inbox as inbox_store
from engine.store import memberships as memberships_store
from engine.store import messages as messages_store
from engine.store import profiles as profiles_store
from engine.store import refusals as refusals_store
from engine.store import runs as runs_store
from engine.store.database import Connection


class Saved(NamedTuple):
    """(profile, id) of the messages that are now due, and how many events steps put into the
    inbox."""

    fresh: list[tuple[int, str]]
    emitted: int


def save(
    connection: Connection,
    shoppers: Iterable[Shopper],
    now: datetime,
    born_of: Mapping[int, str] | None = None,
    writer: str = "steps",
) -> Saved:
    """Write every shopper's outcome. ``writer`` is whom the ledger counts emitted events for: no
    other transaction may be counting for it, or they wait for each other."""
    changed = list(shoppers)
    profiles = [s.profile for s in changed if s.profile_changed]
    if profiles:
        profiles_store.write(connection, profiles, dict(born_of or {}))

    new: list[Enrollment] = []
    moved: list[Enrollment] = []
    messages: list[Message] = []
    consents: list[tuple[int, Consent]] = []
    traces = {}
    stopped: list[tuple[int, str]] = []
    finished: list[tuple[int, str]] = []
    audiences = []
    emitted: list[Emitted] = []
    too_late: list[TooLate] = []
    for shopper in changed:
        outcome = shopper.outcome
        waits = {m.enrollment_id for m in outcome.messages} - outcome.stopped
        id = shopper.profile.id
        for run in outcome.enrollments.values():
            (new if run.id in outcome.entered else moved).append(run)
            if run.status == "finished" and run.live and run.id not in waits:
                finished.append((id, run.id))
        # What an event could not decide about a run changes nothing in it but its trace.
        moved += [
            shopper.live[run_id]
            for run_id in outcome.traces.keys() - outcome.enrollments.keys()
            if run_id in shopper.live
        ]
        stopped += [(id, run) for run in outcome.stopped]
        for message in outcome.messages:
            if message.enrollment_id in outcome.stopped:
                message = msgspec.structs.replace(message, status="cancelled", reason="stopped")
            messages.append(message)
        consents += [(id, consent) for consent in outcome.consents]
        audiences += [(id, c.audience, c.enrollment_id, c.wanted) for c in outcome.audiences]
        traces.update(outcome.traces)
        emitted += outcome.emitted
        too_late += outcome.too_late

    if consents:
        profiles_store.write_consents(connection, _one_each(consents))
    if moved:
        runs_store.update(connection, moved, traces)
    if new:
        runs_store.insert(connection, new, traces)
    if messages:
        messages_store.insert(connection, messages)
    if too_late:
        codes = {True: NEXT_WINDOW, False: OVERDUE}
        refusals_store.note(
            connection,
            [(*late[:7], codes[late.waits], late.waits) for late in too_late],
        )
    if audiences:
        memberships_store.change(connection, audiences, now)
    if stopped:
        ids, ended = [p for p, _ in stopped], [r for _, r in stopped]
        messages_store.cancel(connection, ids, ended, now)
        coupons_store.return_of_stopped(connection, ids, ended, now)
        memberships_store.take_off(connection, ids, ended, now)
    if finished:
        runs_store.release(connection, [p for p, _ in finished], [r for _, r in finished])
    if emitted:
        put_into_inbox(connection, emitted, now, writer)
    return Saved([(m.profile_id, m.id) for m in messages if m.status == "due"], len(emitted))


def put_into_inbox(
    connection: Connection, emitted: list[Emitted], now: datetime, writer: str
) -> None:
    """Accept what steps emitted, with the decision that emitted it: both are there or neither."""
    names = identities_store.strongest(connection, {one.profile_id for one in emitted})
    events = [event_of(one, (names[one.profile_id],), now) for one in emitted]
    lines = [inbox_store.event_line(event, lane_of(event.sender)) for event in events]
    inbox_store.write(connection, lines, writer=writer)


def _one_each(consents: list[tuple[int, Consent]]) -> list[tuple[int, Consent]]:
    latest: dict[tuple[int, str, str], Consent] = {}
    for profile, consent in consents:
        place = (profile, consent.channel, consent.topic)
        known = latest.get(place)
        latest[place] = consent if known is None else stricter(known, consent)
    return [(place[0], consent) for place, consent in latest.items()]
