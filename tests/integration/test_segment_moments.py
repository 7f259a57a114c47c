"""At which moment a shopper enters or leaves, and what of that moment comes first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.model.journey import SEGMENT_ENTERED
from tests.integration.runtime_kit import LEFT, Make, identify
from tests.integration.segment_kit import Segments
from tests.unit.core.build import T0, at, event, journey, send, stop, wait

JOURNEY = LEFT


def test_whoever_ends_with_a_wait_leaves_when_it_was_over(make: Make) -> None:
    shop = make(journey(wait(hours=2), name="win-back"))
    segments = Segments(shop)
    segments.put(inside={"in journey": "win-back"})
    shop.drain(event("Product Viewed", T0))
    shop.drain()
    shop.at(at(hours=2) + timedelta(seconds=40)).wake()
    assert shop.one("select ended_at from enrollment") == at(hours=2)
    assert shop.one("select since from segment_member") == at(hours=2)


@pytest.mark.parametrize("id", ["0001", "emit", "order-17", "zz"])
def test_what_put_them_in_does_not_stop_what_that_starts(make: Make, id: str) -> None:
    thanks = journey(
        wait(hours=1),
        send(template="thanks"),
        name="thanks",
        trigger=SEGMENT_ENTERED,
        stops=[stop(goal=True)],
    )
    shop = make(thanks)
    segments = Segments(shop)
    segments.put(it={"did": "Order Completed", "within": "7 days"})
    shop.drain(identify("user:1", time=T0, email="a@b.de"))
    shop.drain(event("Order Completed", at(minutes=1), id=id))
    shop.drain()
    assert shop.runs() == [("thanks", "", "active")]
    shop.drain(event("Order Completed", at(minutes=2), id=f"{id}-2"))
    assert shop.runs() == [("thanks", "", "stopped")]
