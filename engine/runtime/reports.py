"""What providers and our own links report of messages: judged before the journeys see it, and
carried out after. Both within the drain's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.core import engagement
from engine.core.autopause import counts
from engine.core.receipts import progress, proven, settles, suppresses
from engine.model.event import Event
from engine.store import outcomes as outcomes_store
from engine.store import receipts as receipts_store
from engine.store import report_counts
from engine.store.database import Connection


def judge(connection: Connection, events: list[Event], profiles: Sequence[int]) -> list[Event]:
    """``events``, each of the shopper at its place in ``profiles``, with the opens and clicks
    that machines made under names of their own."""
    named = [
        (profile, message)
        for event, profile in zip(events, profiles, strict=True)
        if event.name in engagement.BY_MACHINE
        and isinstance(message := event.properties.get("message_id"), str)
    ]
    if not named:
        return events
    return engagement.judged(events, receipts_store.handed(connection, named))


def carry_out(
    connection: Connection, events: Sequence[Event], profiles: Sequence[int], now: datetime
) -> None:
    """Settle unknown outcomes, block dead addresses, move the messages on, count for the rates."""
    # First of all, for it waits for a worker that is just writing down how its call went: what
    # becomes unknown until then is settled here, and what does later finds the report (recall).
    moved = [
        receipts_store.Progress(profile, *told)
        for event, profile in zip(events, profiles, strict=True)
        if (told := progress(event))
    ]
    if moved:
        receipts_store.move_on(connection, moved)
    settled = [report for event in events if (report := settles(event))]
    if settled:
        outcomes_store.settle_unknown(connection, settled, now)
    dead = [address for event in events if (address := suppresses(event))]
    if dead:
        outcomes_store.suppress(connection, dead, now)
    counted = [
        (profile, *said)
        for event, profile in zip(events, profiles, strict=True)
        if (said := counts(event))
    ]
    if counted:
        report_counts.add(connection, counted)


def recall(connection: Connection, messages: Sequence[tuple[int, str]], now: datetime) -> None:
    """Settle those of the messages (profile, id) that have just become of unknown outcome though
    the report of them is here already: providers are quicker to report than a call is to time
    out, and nothing more would come (P4)."""
    found = receipts_store.standing(connection, messages)
    settled: list[tuple[str, str]] = [(id, what) for id, *told in found if (what := proven(*told))]
    if settled:
        outcomes_store.settle_unknown(connection, settled, now)
