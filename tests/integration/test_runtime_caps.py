"""Frequency caps on a real PostgreSQL: workers cannot both see one left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from engine.model.journey import Again
from engine.model.policy import Cap, Policy
from engine.runtime import gate
from engine.store import messages as messages_store
from tests.integration.runtime_kit import NOW, TOPICS, Make, Pipeline
from tests.unit.core.build import (
    ORDER,
    at,
    event,
    journey,
    order,
    send,
    view,
)

JOURNEY = NOW

WHO = ("user:1", "email:a@b.de")


def due(shop: Pipeline) -> list[messages_store.Candidate]:
    with shop.database.connection() as connection:
        return messages_store.candidates(connection, shop.clock.now(), 100)


class TestCaps:
    often = journey(
        send(template="cap"), send("sms", "cap"), again=Again("always"), key="event.product_id"
    )
    FIVE = (*WHO, "phone:+4930123456")

    def test_over_journeys_and_time(self, make: Make) -> None:
        policy = Policy(
            topics=TOPICS, caps=(Cap(2, timedelta(days=1)), Cap(1, timedelta(days=1), "sms"))
        )
        shop = make(self.often, policy=policy)
        shop.drain(view(product="p1", who=self.FIVE))
        assert shop.deliver().sent == 2
        shop.drain(view(at(hours=1), product="p2", who=self.FIVE))
        assert shop.deliver().sent == 0
        reasons = {r for _, s, r in shop.messages() if s == "skipped"}
        assert reasons <= {"frequency cap: 2 in 1 day", "frequency cap: 1 in 1 day"}
        shop.drain(view(at(days=1), product="p3", who=self.FIVE))
        assert shop.deliver().sent == 2

    def test_within_one_claim(self, make: Make) -> None:
        shop = make(self.often, policy=Policy(topics=TOPICS, caps=(Cap(3, timedelta(days=1)),)))
        shop.drain(*[view(product=f"p{n}", who=self.FIVE) for n in range(5)])
        assert shop.deliver().sent == 3
        assert len([1 for _, status, _ in shop.messages() if status == "skipped"]) == 7

    def test_a_transactional_mail_uses_up_none(self, make: Make) -> None:
        thanks = journey(
            {**send(template="thanks"), "topic": "orders"}, name="thanks", trigger=ORDER,
            again=Again("always"),
        )  # fmt: skip
        shop = make(
            thanks, self.often, policy=Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),))
        )
        shop.drain(order(who=WHO), order(at(seconds=1), who=WHO), order(at(seconds=2), who=WHO))
        assert shop.deliver().sent == 3
        shop.drain(view(at(seconds=3), who=WHO))
        assert shop.deliver().sent == 1

    def test_what_a_merged_identity_was_sent_counts(self, make: Make) -> None:
        shop = make(NOW, policy=Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),)))
        shop.drain(view(product="p1", who=("anonymous:x", "email:a@b.de")[::-1]))
        assert shop.deliver().sent == 1
        shop.drain(event("Page", at(seconds=1), who=("user:1", "anonymous:x")))
        shop.drain(view(at(seconds=2), product="p2", who=("user:1",)))
        assert shop.deliver().sent == 0

    @pytest.mark.parametrize("allowed", [1, 5])
    def test_eight_at_once(self, make: Make, allowed: int) -> None:
        """Many workers, one shopper, each with another of the messages in hand (P5)."""
        policy = Policy(topics=TOPICS, caps=(Cap(allowed, timedelta(days=1)),))
        shop = make(NOW, policy=policy)
        shop.drain(*[view(product=f"p{n}", who=WHO) for n in range(24)])
        candidates = due(shop)
        assert len(candidates) == 24
        together = threading.Barrier(8)

        def claim(mine: list[messages_store.Candidate]) -> int:
            together.wait()
            done = 0
            for candidate in mine:
                done += len(gate.claim(shop.shell, [candidate]))
            return done

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(claim, [candidates[n::8] for n in range(8)]))
        # What another worker held stays due; there is always one who got through.
        for candidate in due(shop):
            results.append(len(gate.claim(shop.shell, [candidate])))
        assert sum(results) == allowed
        assert shop.one("select count(*) from message where status = 'claimed'") == allowed
