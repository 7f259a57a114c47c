"""A second look at events that were set aside: taken in after all, or dropped by a person.

Into the inbox and off the table is one transaction (P1), so an event is at every moment in one of
the two places; its messageId stays, so it counts once (P2). What a drain had set aside was
accepted then: the ledger takes its taking back, and does not count it as accepted again. What the
door had refused is accepted now. So the sums of ``winback audit`` stay true throughout.

An order that had been set aside is accepted anew now: messages that went meanwhile are counted in
the audit as sent before the order was known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from engine.intake import segment, wire
from engine.intake.lanes import lane_of
from engine.intake.segment import Parsed, Refusal
from engine.model.event import Event
from engine.store import inbox as inbox_store
from engine.store import lanes as lanes_store
from engine.store import rejected as rejected_store
from engine.store.database import Connection, Database
from engine.store.rejected import Kept

DOOR, DRAIN = "collector", "drain"

#: Whom the ledger counts for here.
WRITER = "rejected"
#: Events to a transaction: some ten MB at the very most.
AT_ONCE = 200

#: How a body ends that was too large to be kept whole.
_CUT = re.compile(r"… \(\d+ bytes\)$")

_decode = msgspec.json.Decoder(Event, float_hook=Decimal).decode


#: Told how many events more are done with.
Done = Callable[[int], None]


@dataclass(slots=True)
class Retried:
    """``accepted``  events that are in the inbox now. ``gone``: others had them in hand, or had
    dealt with them. ``stayed``: those that nothing has changed for, by reason."""

    accepted: int = 0
    gone: int = 0
    stayed: Counter[str] = field(default_factory=Counter)


def retry(
    database: Database,
    chosen: Sequence[int],
    region: str,
    progress: Done = lambda done: None,
) -> Retried:
    """Put what was set aside (ids) through the intake again, judged as at the door. ``region`` is
    the shop's country, for phone numbers. A drain works it as soon as the clock has seen it."""
    done = Retried()
    for start in range(0, len(chosen), AT_ONCE):
        part = chosen[start : start + AT_ONCE]
        with database.connection() as connection:
            _retry(connection, part, region, done)
        progress(len(part))
    return done


def drop(
    database: Database,
    chosen: Sequence[int],
    progress: Done = lambda done: None,
) -> int:
    """Delete what was set aside, for good; gives how many that were. The ledger counts them."""
    dropped = 0
    for start in range(0, len(chosen), AT_ONCE):
        part = chosen[start : start + AT_ONCE]
        with database.connection() as connection:
            gone = rejected_store.remove(connection, part)
            lanes_store.count(connection, WRITER, {"dropped": gone})
        dropped += gone
        progress(len(part))
    return dropped


def _retry(connection: Connection, chosen: Sequence[int], region: str, done: Retried) -> None:
    rows = rejected_store.lock(connection, chosen)
    done.gone += len(chosen) - len(rows)
    lines: list[bytes] = []
    taken: list[int] = []
    again = 0
    why: list[tuple[int, str]] = []
    refused: list[tuple[Kept, Refusal]] = []
    for row in rows:
        try:
            found = _parse(row, region)
        except ValueError as error:
            why.append((row.id, str(error)))
            continue
        if not found.events:
            why.append((row.id, found.refusals[0].reason if found.refusals else row.reason))
            continue
        lines += [inbox_store.event_line(one, lane_of(one.sender)) for one in found.events]
        taken.append(row.id)
        again += row.source == DRAIN
        refused += [(row, refusal) for refusal in found.refusals]
    if lines:
        inbox_store.write(connection, lines, writer=WRITER)
        rejected_store.remove(connection, taken)
    if again:
        back = dict.fromkeys(("accepted", "taken", "refused"), -again)
        lanes_store.count(connection, WRITER, back)
    for row, refusal in refused:
        body = refusal.body.decode("utf-8", "replace")
        lanes_store.reject(connection, row.source, [(body, refusal.reason)], row.received_at)
    if why:
        rejected_store.say_why(connection, why)
    done.accepted += len(lines)
    done.stayed.update(reason for _, reason in why)
    done.stayed.update(refusal.reason for _, refusal in refused)


def _parse(row: Kept, region: str) -> Parsed:
    """The events of what was set aside. Raises ``ValueError`` with the reason where there are
    none."""
    body = row.body.encode()
    if row.source == DRAIN:
        try:
            event = _decode(wire.clean(body))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"unreadable: {error}") from error
        if not event.identifiers or not event.name:
            raise ValueError("unreadable: it names no shopper, or not what happened")
        return Parsed([event], [], None)
    if _CUT.search(row.body):
        raise ValueError("only its beginning was kept: its sender can send it again")
    if row.source != DOOR:
        raise ValueError(f"only whoever brought it can send it again: {row.source}")
    try:
        return segment.parse_kept(body, row.received_at, region)
    except wire.NotTaken as error:
        raise ValueError(error.message) from error
