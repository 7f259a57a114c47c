"""JSON that senders really send, made safe for PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.intake import wire
from engine.intake.segment import parse_batch, parse_event
from tests.shared_data import shared

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def track(properties: bytes) -> bytes:
    return b'{"type":"track","event":"X","userId":"1","properties":' + properties + b"}"


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        (rb'"\u0000"', rb'"\ufffd"'),
        (rb'"a\u0000b"', rb'"a\ufffdb"'),
        (rb'"\ud800"', rb'"\ufffd"'),
        (rb'"\uDC00\uD83D"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\\u0000 \\ud800"', rb'"\\u0000 \\ud800"'),
        (rb'"\\\u0000"', rb'"\\\ufffd"'),
        (rb'"\u00e9"', rb'"\u00e9"'),
        (b"\xef\xbb\xbf{}", b"{}"),
    ],
)
def test_what_postgresql_cannot_hold_is_replaced(written: bytes, clean: bytes) -> None:
    assert wire.clean(written) == clean


@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_a_browser_can_hold_gets_in(text: str) -> None:
    """JavaScript's strings may end in half an emoji, and JSON.stringify writes them as escapes."""
    body = track(json.dumps({"title": text}).encode())
    event = parse_event(body, "track", NOW, "US").events[0]
    kept = event.properties["title"]
    assert kept.encode("utf-8").decode() == kept
    assert "\0" not in kept
    paired = json.loads(json.dumps(text)).encode("utf-16", "surrogatepass")
    assert kept == paired.decode("utf-16", "replace").replace("\0", "�")


def test_naughty_strings_get_in_unharmed() -> None:
    strings: list[str] = json.loads(shared("test_vectors/blns.json").read_text("utf-8"))
    assert len(strings) > 400
    for text in strings:
        raw = json.dumps(
            {"type": "track", "event": "X", "anonymousId": "c", "properties": {text: text}}
        ).encode()
        assert parse_event(raw, "track", NOW, "US").events[0].properties == {text: text}
        for field in ("userId", "event", "messageId", "timestamp"):
            raw = json.dumps({"event": "X", "anonymousId": "c", field: text}).encode()
            parsed = parse_event(raw, "track", NOW, "US")
            assert len(parsed.events) + len(parsed.refusals) == 1


def nested(depth: int, shape: bytes = b"[]") -> bytes:
    """A properties object with ``depth`` arrays and objects in all."""
    opening, closing = (b"[", b"]") if shape == b"[]" else (b'{"a":', b"}")
    return b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"


@pytest.mark.parametrize("shape", [b"[]", b"{}"])
@pytest.mark.parametrize("depth", [wire.MAX_DEPTH + 1, 900, 20_000])
def test_too_deep_is_refused(depth: int, shape: bytes) -> None:
    for parsed in (
        parse_event(track(nested(depth, shape)), "track", NOW, "US"),
        parse_event(b'{"userId":"1","context":' + nested(depth, shape) + b"}", "page", NOW, "US"),
    ):
        assert "64 arrays and objects" in parsed.refusals[0].reason


@pytest.mark.parametrize("shape", [b"[]", b"{}"])
def test_as_deep_as_allowed_is_taken(shape: bytes) -> None:
    assert parse_event(track(nested(wire.MAX_DEPTH, shape)), "track", NOW, "US").events


def test_many_shallow_objects_are_not_deep() -> None:
    products = b'{"products":[' + b",".join([b'{"id":[1]}'] * 500) + b"]}"
    assert parse_event(track(products), "track", NOW, "US").events


def test_one_too_deep_event_spares_its_batch() -> None:
    body = b'{"batch":[' + track(nested(200)) + b"," + track(b"{}") + b"]}"
    parsed = parse_batch(body, NOW, "US")
    assert (len(parsed.events), [r.index for r in parsed.refusals]) == (1, [0])


def test_a_batch_that_is_one_deep_hole() -> None:
    for body in (
        b'{"batch":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
        b'{"batch":[],"context":' + nested(100) + b"}",
    ):
        with pytest.raises(wire.NotTaken, match="64 arrays"):
            parse_batch(body, NOW, "US")


def test_broken_utf8_is_refused_alone_and_says_which_byte() -> None:
    body = b'{"batch":[' + track(b'{"name":"caf\xe9"}') + b"," + track(b"{}") + b"]}"
    parsed = parse_batch(body, NOW, "US")
    assert len(parsed.events) == 1
    assert parsed.refusals[0].reason.startswith("not UTF-8: byte 0xe9")
    assert parsed.refusals[0].body == track(b'{"name":"caf\xe9"}')


@pytest.mark.parametrize("number", [b"1e400", b"-1e999999", b"1e-5000", b"9" * 5000])
def test_numbers_no_database_holds_are_refused(number: bytes) -> None:
    parsed = parse_event(track(b'{"price":' + number + b"}"), "track", NOW, "US")
    assert "out of range" in parsed.refusals[0].reason


@pytest.mark.parametrize(
    ("number", "value"), [(b"0e99999", 0), (b"-0.0", 0), (b"9" * 300, int("9" * 300))]
)
def test_odd_numbers_are_kept(number: bytes, value: Any) -> None:
    parsed = parse_event(track(b'{"price":' + number + b"}"), "track", NOW, "US")
    assert parsed.events[0].properties == {"price": value}
