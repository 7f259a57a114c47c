"""Bytes to typed values: the JSON that senders really send, made safe for PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

#: An order that is refused stops nothing, and one of a hundred lines does not fit into 32 KB.
MAX_ORDER = 256 * 1024

#: 32 KB an event and 500 KB a batch, both once inflated, at most 2,500 events a batch
#: (Segment HTTP API, "Max request size").
MAX_EVENT = 32 * 1024
MAX_BATCH = 500 * 1024
MAX_EVENTS = 2500

#: Arrays and objects within one another. What is decoded here is decoded again in the drain,
#: further down another stack.
MAX_DEPTH = 64

#: PostgreSQL's numeric, and so jsonb, ends; arithmetic on 10^400 is nobody's price.
MAX_EXPONENT = 400

#: One backslash escape: a pair of surrogates, half a pair, or anything else.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<bad>u[dD][89a-fA-F][0-9a-fA-F]{2}|u0000)|.)",
    re.DOTALL,
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class NotTaken(Exception):
    """A request of which nothing is taken.

    ``status`` is the HTTP status to answer with, ``code`` the stable word for programs, and
    ``retry`` the seconds after which to send it again (None: it will not help).
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, retry: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry = retry


class Malformed(ValueError):
    """Not JSON."""


class TooDeep(ValueError):
    """More than 64 arrays and objects within one another."""

    def __str__(self) -> str:
        return f"more than {MAX_DEPTH} arrays and objects within one another"


class Item(msgspec.Struct, gc=False):
    """One event as Segment's clients write it, before any of it is believed.

    The snake_case names and ``action`` stand in Segment's own examples for e-mail events.
    """

    type: str | None = None
    action: str | None = None
    messageId: str | int | None = None
    userId: str | int | None = None
    user_id: str | int | None = None
    anonymousId: str | int | None = None
    anonymous_id: str | int | None = None
    previousId: str | int | None = None
    groupId: str | int | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    timestamp: Any = None
    originalTimestamp: Any = None
    sentAt: Any = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    writeKey: Any = None


class Batch(msgspec.Struct, gc=False):
    """A batch, its items still bytes: each is decoded, and refused, by itself."""

    batch: list[msgspec.Raw]
    sentAt: Any = None
    timestamp: Any = None
    context: dict[str, Any] | None = None
    writeKey: Any = None


def number(text: str) -> Decimal:
    """A JSON number with a fraction or an exponent, exactly. Raises ``ValueError`` beyond
    ``MAX_EXPONENT``, with the start of the number."""
    value = Decimal(text)
    if -MAX_EXPONENT < value.adjusted() < MAX_EXPONENT:
        return value
    if not value:
        return Decimal(0)
    raise ValueError(f"the number {text[:20]} is out of range")


class _Key(msgspec.Struct, gc=False):
    writeKey: Any = None


_key = msgspec.json.Decoder(_Key)
_item = msgspec.json.Decoder(Item, float_hook=number)
_batch = msgspec.json.Decoder(Batch, float_hook=number)


def decode_item(data: bytes) -> Item:
    """Decode one event.

    Raises ``ValueError`` whose text says what is wrong with it: ``Malformed``, ``TooDeep``,
    ``msgspec.ValidationError`` or ``UnicodeDecodeError``.
    """
    try:
        item = _item.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise Malformed(str(error)) from error
    except RecursionError:
        raise TooDeep from None
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _check_depth(item.properties, item.traits, item.context)
    return item


def decode_batch(body: bytes) -> Batch:
    """Decode the frame of a batch. Raises ``ValueError`` as ``decode_item`` does."""
    try:
        batch = _batch.decode(body)
    except RecursionError:
        raise TooDeep from None
    _check_depth(batch.context)
    return batch


def write_key(body: bytes) -> str | None:
    """The ``writeKey`` of a body whose other fields need not be right; None without one."""
    try:
        found = _key.decode(body).writeKey
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def clean(body: bytes) -> bytes:
    """The body without what JSON allows and PostgreSQL's text and jsonb do not.

    ``\\u0000`` and half surrogate pairs (a string cut in the middle of an emoji, which
    JavaScript sends as it is) become U+FFFD; a byte order mark goes. Costs one search of the
    body where there is nothing to do.
    """
    if b"\\u" in body and (b"\\u0000" in body or _SURROGATE.search(body)):
        body = _ESCAPE.sub(_replace, body)
    return body.removeprefix(b"\xef\xbb\xbf")


def _replace(match: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if match["bad"] else match[0]


def _check_depth(*values: Any) -> None:
    """Raise ``TooDeep`` where one of the values goes deeper than ``MAX_DEPTH``."""
    level = list(values)
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    if any(isinstance(value, dict | list) for value in level):
        raise TooDeep


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
