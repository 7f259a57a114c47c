"""Segments as Twilio's own calculator counts them."""

from __future__ import annotations

import json

import pytest

from engine.rendering import Segments, segments_of
from tests.shared_data import shared


def test_agrees_with_twilios_calculator_on_every_golden_case() -> None:
    cases = json.loads(shared("specs/twilio/sms_segments_golden.json").read_text("utf-8"))["cases"]
    assert len(cases) == 35
    for case in cases:
        assert segments_of(case["body"]) == Segments(case["encoding"], case["segments"]), case


@pytest.mark.parametrize(
    ("body", "encoding", "parts"),
    [
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("€" * 80, "GSM-7", 1),
        ("€" * 81, "GSM-7", 2),
        # An extension character may not straddle two parts: 152 + € does not fit in 153.
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 3),
        ("آ" * 70, "UCS-2", 1),
        ("آ" * 71, "UCS-2", 2),
        # A pair is not split: 66 units and a pair leave one unit of the first part unused.
        ("आ" * 66 + "🧶" + "आ" * 66, "UCS-2", 3),
        ("₹", "UCS-2", 1),
        ("Rs", "GSM-7", 1),
    ],
)
def test_counts_at_the_edges(body: str, encoding: str, parts: int) -> None:
    assert segments_of(body) == (encoding, parts)
