"""The Segment spec: a request body becomes events and refusals.

Source: Segment's HTTP tracking API and common fields. What the spec leaves open is decided for
the purchase: an order must stop its journey (P3), so what can be understood is taken and what
cannot be believed (a clock, a missing id) is mended, with the original kept.

An address that is none is kept aside with its reason (``engine.core.profiles.REFUSED``), and the
event counts. An event is refused when it names no shopper, has no name, has fields of another
type, is too large or too deep, or is not UTF-8. Segment's limit of 32 KB is 256 KB for orders and
checkouts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, cast
from uuid import uuid4

import msgspec

from engine.core.profiles import REFUSED
from engine.core.receipts import REPORTER
from engine.intake import wire
from engine.intake.identifiers import MAX_LENGTH, identifier, identifiers_of, strongest_first
from engine.intake.times import readable, time_of
from engine.model.event import Event, EventKind

KINDS = frozenset({"track", "identify", "page", "screen", "group", "alias"})

#: Names of the e-commerce spec's first version, still sent by older plugins, and today's.
V1_NAMES = {
    "Viewed Product": "Product Viewed",
    "Viewed Product Category": "Product List Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Clicked Product": "Product Clicked",
    "Viewed Promotion": "Promotion Viewed",
    "Clicked Promotion": "Promotion Clicked",
    "Started Order": "Checkout Started",
    "Viewed Checkout Step": "Checkout Step Viewed",
    "Completed Checkout Step": "Checkout Step Completed",
    "Updated Order": "Order Updated",
    "Completed Order": "Order Completed",
}

#: What a purchase consists of: it may have as many bytes as its lines need.
ORDERS = frozenset({"Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"})

#: Segment: a messageId has fewer than 100 characters.
MAX_ID = 100

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One event not taken: its place in the batch (0 for a single one), a stable ``code``, why
    (for its sender), and its bytes."""

    index: int
    code: str
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a body held. ``write_key`` is the key written in it, None without one."""

    events: list[Event]
    refusals: list[Refusal]
    write_key: str | None


@dataclass(frozen=True, slots=True)
class _Frame:
    """What surrounds an event: when it came, where its shop is, and what its batch says."""

    received_at: datetime
    region: str
    sent_at: Any = None
    context: Mapping[str, Any] | None = None
    recorded: bool = False


class _Refused(ValueError):
    """The event cannot be taken; the text says why."""


def parse_event(body: bytes, kind: EventKind, received_at: datetime, region: str) -> Parsed:
    """Read the body of a single-event call. The address says its ``kind``, whatever the body
    says. Raises ``wire.NotTaken`` where the body is not a JSON object."""
    raw = wire.clean(body)
    if raw.lstrip()[:1] != b"{":
        raise wire.NotTaken("invalid_json", "the body must be a JSON object")
    try:
        item = wire.decode_item(raw)
        key = item.writeKey if isinstance(item.writeKey, str) else None
        if len(body) > wire.MAX_EVENT and len(body) > (limit := _limit(item, kind)):
            return Parsed([], [_too_large(0, body, limit)], key)
        return Parsed([_event(item, kind, _Frame(received_at, region))], [], key)
    except wire.Malformed as error:
        raise wire.NotTaken("invalid_json", f"the body is not JSON: {error}") from error
    except ValueError as error:
        return Parsed([], [_refusal(0, error, body)], wire.write_key(raw))


def read_recorded(line: bytes, received_at: datetime, region: str) -> Event:
    """Read one event of a recording (its ``type`` says the kind). The collector's limit on size
    does not apply: what was recorded was taken once. Nor is the sender's clock corrected, for
    ``timestamp`` of a recording is so already. Raises ``ValueError`` with the reason."""
    return recorded_event(wire.decode_item(wire.clean(line)), received_at, region)


def recorded_event(item: wire.Item, received_at: datetime, region: str) -> Event:
    """The event of a recording's decoded line; see ``read_recorded``."""
    item.sentAt = None
    if item.timestamp is not None:
        item.originalTimestamp = None
    return _event(item, _kind(item), _Frame(received_at, region, recorded=True))


def parse_batch(body: bytes, received_at: datetime, region: str) -> Parsed:
    """Read the body of a batch: every event is taken or refused by itself, in its order.

    Raises ``wire.NotTaken`` where the body is not an object with a list ``batch``, or the list
    has more than 2,500 events.
    """
    raw = wire.clean(body)
    try:
        batch = wire.decode_batch(raw)
    except msgspec.ValidationError as error:
        raise wire.NotTaken("invalid_batch", f"this is not a batch: {error}") from error
    except ValueError as error:
        raise wire.NotTaken("invalid_json", f"the body is not JSON: {error}") from error
    if len(batch.batch) > wire.MAX_EVENTS:
        raise wire.NotTaken(
            "too_large",
            f"{len(batch.batch)} events in a batch; at most {wire.MAX_EVENTS} are taken",
            status=413,
        )
    frame = _Frame(received_at, region, readable(batch.sentAt), batch.context)
    events: list[Event] = []
    refusals: list[Refusal] = []
    for index, part in enumerate(batch.batch):
        data = bytes(part)
        if len(data) > wire.MAX_ORDER:
            refusals.append(_too_large(index, data, wire.MAX_EVENT))
            continue
        try:
            item = wire.decode_item(data)
            kind = _kind(item)
            if len(data) > wire.MAX_EVENT and len(data) > (limit := _limit(item, kind)):
                refusals.append(_too_large(index, data, limit))
                continue
            events.append(_event(item, kind, frame))
        except ValueError as error:
            refusals.append(_refusal(index, error, data))
    return Parsed(events, refusals, batch.writeKey if isinstance(batch.writeKey, str) else None)


def parse_kept(body: bytes, received_at: datetime, region: str) -> Parsed:
    """Read once more what was refused: an event, or a whole batch. Of a single event the address
    of its call is not known any more; where it does not say its kind, what it holds tells it.
    Raises ``wire.NotTaken`` as the first reading does."""
    raw = wire.clean(body)
    if b'"batch"' in raw:
        try:
            wire.decode_batch(raw)
        except ValueError:
            pass  # an event that only speaks of one
        else:
            return parse_batch(body, received_at, region)
    try:
        item = wire.decode_item(raw)
    except ValueError:
        return parse_event(body, "track", received_at, region)  # which says what is wrong
    try:
        kind = _kind_by_content(item) if item.type is item.action is None else _kind(item)
    except _Refused as error:
        return Parsed([], [_refusal(0, error, body)], None)
    return parse_event(body, kind, received_at, region)


def _kind_by_content(item: wire.Item) -> EventKind:
    if item.event is not None:
        return "track"
    if item.previousId is not None:
        return "alias"
    if item.groupId is not None:
        return "group"
    if item.traits is not None:
        return "identify"
    raise _Refused("it does not say of which type it is")


def _refusal(index: int, error: ValueError, body: bytes) -> Refusal:
    reason = str(error)
    if isinstance(error, UnicodeDecodeError):
        reason = f"not UTF-8: byte 0x{error.object[error.start]:02x} ({error.reason})"
    return Refusal(index, "invalid_event", reason, body)


def _limit(item: wire.Item, kind: EventKind) -> int:
    """How many bytes such an event may have."""
    name = (item.event or "").strip() if kind == "track" else ""
    name = V1_NAMES.get(name, name)
    return wire.MAX_ORDER if name in ORDERS or name.startswith("Checkout ") else wire.MAX_EVENT


def _too_large(index: int, body: bytes, limit: int) -> Refusal:
    reason = f"{len(body)} bytes; an event has at most {limit}"
    if limit == wire.MAX_EVENT:
        reason += f" (an order or a checkout {wire.MAX_ORDER})"
    return Refusal(index, "too_large", reason, body)


def _kind(item: wire.Item) -> EventKind:
    kind = item.type or item.action
    if kind not in KINDS:
        raise _Refused(f"type must be one of {', '.join(sorted(KINDS))}, not {kind!r}"[:200])
    return cast(EventKind, kind)


def _event(item: wire.Item, kind: EventKind, frame: _Frame) -> Event:
    user = item.userId if item.userId is not None else item.user_id
    anonymous = item.anonymousId if item.anonymousId is not None else item.anonymous_id
    for field, value in (("userId", user), ("anonymousId", anonymous)):
        if type(value) is str and len(value) > MAX_LENGTH:
            raise _Refused(f"{field} has {len(value)} characters; at most {MAX_LENGTH} are taken")
    context = item.context or {}
    if frame.context:
        context = {**frame.context, **context}
    # Only callbacks and Winback itself say who made an event, and only what follows what an address
    # is worth.
    ours = (REFUSED,) if frame.recorded else (REPORTER, REFUSED)
    if any(key in context for key in ours):
        context = {key: value for key, value in context.items() if key not in ours}
    properties = _properties(item, kind)
    person = context.get("traits")
    refused: dict[str, Any] = {}
    identifiers = identifiers_of(
        user=user,
        anonymous=anonymous,
        # A group's traits are the company's: its e-mail address is nobody's.
        people=(
            properties if kind != "group" else None,
            person if isinstance(person, dict) else None,
        ),
        carts=(properties, context),
        region=frame.region,
        refused=refused,
    )
    if refused:
        context = {**context, REFUSED: refused}
    if kind == "alias":
        identifiers = _alias(identifiers, item.previousId)
    if not identifiers:
        because = "".join(f" ({kind}: {told['because']})" for kind, told in refused.items())
        raise _Refused(
            f"names no shopper: give a userId, an anonymousId, or an e-mail address{because}"
        )
    time, doubted = time_of(
        item.timestamp if item.originalTimestamp is None else item.originalTimestamp,
        frame.sent_at if item.sentAt is None else item.sentAt,
        frame.received_at,
    )
    if doubted is not None:
        context = {**context, "original_timestamp": doubted}
    return Event(
        id=_id(item.messageId),
        kind=kind,
        name=_name(item, kind),
        time=time,
        received_at=frame.received_at,
        identifiers=identifiers,
        properties=properties,
        context=context,
    )


def _name(item: wire.Item, kind: EventKind) -> str:
    if kind != "track":
        return kind.capitalize()
    name = (item.event or "").strip()
    if not name:
        raise _Refused("track needs event, the name of what happened")
    if len(name) > MAX_LENGTH:
        raise _Refused(f"event has {len(name)} characters; at most {MAX_LENGTH} are taken")
    return V1_NAMES.get(name, name)


def _properties(item: wire.Item, kind: EventKind) -> dict[str, Any]:
    """What the event says. A page's ``name`` and ``category`` and a group's id stand beside its
    other properties; traits of an identify are in snake_case."""
    if kind == "identify":
        return _snake_case(item.traits) if item.traits else {}
    if kind == "group":
        return {**(item.traits or {}), **_given(group_id=item.groupId)}
    if kind == "alias":
        return _given(previous_id=item.previousId)
    if kind in ("page", "screen"):
        return {**_given(name=item.name, category=item.category), **(item.properties or {})}
    return item.properties or {}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _snake_case(traits: dict[str, Any]) -> dict[str, Any]:
    """``firstName`` becomes ``first_name``; where both are given, the second stands."""
    snake = {_snake(name): value for name, value in traits.items()}
    return {**snake, **{name: traits[name] for name in traits if name in snake}}


@lru_cache(maxsize=4096)
def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower() if _CAMEL.search(name) else name


def _alias(identifiers: tuple[str, ...], previous: object) -> tuple[str, ...]:
    """``previousId`` is a cookie or an older user id; which, the call does not say. Both are
    named: the one that was never seen leads to nobody and harms nothing."""
    old = identifier("user", previous), identifier("anonymous", previous)
    if old == (None, None):
        raise _Refused("alias needs previousId, the id that the shopper had before")
    if not any(name.startswith("user:") for name in identifiers):
        raise _Refused("alias needs userId, the id that the shopper has now")
    return strongest_first((*identifiers, *old))


def _id(message_id: str | int | None) -> str:
    """The sender's ``messageId``; a new one where there is none, and the hash of one that is too
    long: the same again when it is sent again."""
    if message_id is None or message_id == "":
        return str(uuid4())
    text = str(message_id)
    if len(text) <= MAX_ID:
        return text
    return "long-" + blake2b(text.encode(), digest_size=16).hexdigest()
