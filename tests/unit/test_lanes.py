"""Lanes: the same sender, the same lane, on every machine."""

from __future__ import annotations

from collections import Counter

from engine.intake.lanes import LANES, lane_of


def test_a_lane_never_changes() -> None:
    """Rows written before an upgrade must be drained in order with rows written after it."""
    assert [lane_of(s) for s in ("user:1", "user:2", "email:a@b.example", "anonymous:ü")] == [
        9,
        12,
        8,
        15,
    ]


def test_lanes_share_the_shoppers_evenly() -> None:
    share = Counter(lane_of(f"anonymous:{n}") for n in range(16_000))
    assert set(share) == set(range(LANES))
    assert max(share.values()) < 1.15 * min(share.values())
