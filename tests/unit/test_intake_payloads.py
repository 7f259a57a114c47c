"""Segment's own examples are taken, every kind and every event of the e-commerce spec."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.intake.segment import KINDS, Parsed, parse_batch, parse_event
from tests.shared_data import shared

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def as_call(example: dict[str, Any]) -> dict[str, Any] | None:
    """The body that a client makes of a documented call; None where it documents no call."""
    args = example["args"]
    if example["call"] == "http":
        return args[0] if {"type", "action"} & args[0].keys() else None
    call: dict[str, Any] = {"type": example["call"]}
    texts = [arg for arg in args if isinstance(arg, str)]
    values = [arg for arg in args if isinstance(arg, dict)]
    first = {"track": "event", "page": "name", "group": "groupId"}.get(example["call"], "userId")
    if texts:
        call[first] = texts[-1]
    if values:
        call["properties" if example["call"] in ("track", "page") else "traits"] = values[0]
    if len(values) > 1:
        call["context"] = values[1].get("context", {})
    if example["call"] == "alias":
        call["previousId"] = "cookie"
    return call


def read(item: dict[str, Any]) -> Parsed:
    return parse_batch(json.dumps({"batch": [item]}).encode(), NOW, "US")


def test_every_call_of_the_spec_is_taken() -> None:
    lines = shared("payloads/segment/segment_spec_examples.jsonl").read_text("utf-8").splitlines()
    calls = [call for line in lines if (call := as_call(json.loads(line)))]
    assert len(calls) >= 75
    seen = set()
    for call in calls:
        # The documentation leaves out what the client adds; e-mail events name user_id.
        parsed = read({"anonymousId": "cookie", **call})
        assert parsed.refusals == [], call
        seen.add(parsed.events[0].kind)
    assert seen == KINDS


def test_the_names_of_email_events_are_understood() -> None:
    parsed = read(
        {"user_id": "019mr8mf4r", "action": "track", "event": "Email Bounced", "properties": {}}
    )
    assert parsed.events[0].identifiers == ("user:019mr8mf4r",)


def test_every_event_of_the_ecommerce_spec_is_taken_under_its_name() -> None:
    spec = json.loads(shared("specs/segment/ecommerce_v2.json").read_text("utf-8"))["events"]
    assert len(spec) == 28
    for name, entry in spec.items():
        for example in [*entry["examples"], {"event": name, "properties": {}}]:
            for spelling in [name, *entry["aliases"]]:
                body = json.dumps({**example, "event": spelling, "userId": "1"}).encode()
                event = parse_event(body, "track", NOW, "US").events[0]
                assert event.name == name


@pytest.mark.parametrize(
    "recording",
    ["online_retail_uci/orders.segment.jsonl.gz", "retailrocket_sample/views.segment.jsonl.gz"],
)
def test_recorded_events_keep_their_own_time(recording: str) -> None:
    with gzip.open(shared(recording), "rt", encoding="utf-8") as stream:
        for _, line in zip(range(500), stream, strict=False):
            recorded = json.loads(line)
            event = read(recorded).events[0]
            assert event.id == recorded["messageId"]
            assert event.time == datetime.fromisoformat(recorded["timestamp"])
