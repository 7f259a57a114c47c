"""Coupon codes as the core sees them: asked for, known, or found to be none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.core.coupons import StandIns, fill
from engine.language import load_journey
from engine.model.journey import Journey, OfferStep, Pool, Send
from engine.model.policy import Policy, Topic
from engine.runtime.backtest import Backtest
from tests.unit.core.build import Play, at, journey, order, play, send, stop, view, wait

NONE = "no code left in pool winter"


def offered(pool: Pool | None = None, **terms: Any) -> Any:
    return {"kind": OfferStep, "terms": terms, "pool": pool or Pool("winter")}


def inline(pool: Pool | None = None, generate: str = "", **terms: Any) -> Any:
    taken = None if generate else pool or Pool("winter")
    return {**send(), "offer": terms, "pool": taken, "generate": generate}


def knowing(seen: Play, codes: dict[str, str | None]) -> Play:
    """The same shopper worked again from the start, with these answers."""
    again = Play(seen.book)
    again.shopper.codes = codes
    return again.batch(view(id="v"))


def asked(seen: Play) -> list[str]:
    return list(seen.shopper.outcome.claims)


def compiled(steps: str) -> Journey:
    found, findings = load_journey(f"journey: a\ntrigger: {{event: X}}\nsteps:\n{steps}")
    assert found is not None, findings
    return found


class TestLanguage:
    def test_of_a_step(self) -> None:
        step = compiled("  - offer: {coupon: pool winter, percent: 10}").steps["steps/0"]
        assert isinstance(step, OfferStep)
        assert (step.pool, step.terms) == (Pool("winter"), {"percent": 10})

    @pytest.mark.parametrize(
        "written, pool",
        [
            ("skip", Pool("winter", "skip")),
            ("exit", Pool("winter", "exit")),
            ("SORRY5", Pool("winter", "instead", "SORRY5")),
        ],
    )
    def test_of_a_message(self, written: str, pool: Pool) -> None:
        step = compiled(
            "  - send: email\n    template: t\n    offer: {coupon: pool winter, valid: 3 days}\n"
            f"    if none left: {written}"
        ).steps["steps/0"]
        assert isinstance(step, Send)
        assert (step.pool, step.offer) == (pool, {"valid": "3 days"})

    def test_made_for_one_message(self) -> None:
        step = compiled("  - {send: sms, template: t, offer: {coupon: generate WB}}")
        found = step.steps["steps/0"]
        assert isinstance(found, Send) and (found.generate, found.offer) == ("WB", {})


class TestAsking:
    def test_the_offer_waits_for_its_code(self) -> None:
        steps = (offered(percent=10), send(template="a"), wait(hours=1), send(template="b"))
        seen = play(journey(*steps)).batch(view(id="v"))
        (claim,) = seen.shopper.outcome.claims.values()
        assert (claim.pool, claim.enrollment_id) == ("winter", seen.run.id)
        assert seen.run.offer["code"] == claim.id
        fill(seen.shopper.outcome, {claim.id: "W-1"})
        expected = {
            **{"percent": 10, "coupon": "W-1", "code": "W-1"},
            **{"pool": "winter", "claim": claim.id},
        }
        assert seen.run.offer == seen.messages[0].offer == expected
        assert ("steps/0", "offers", "W-1") in seen.trace()
        # To know the code beforehand comes to the same.
        again = knowing(seen, {claim.id: "W-1"})
        assert again.run == seen.run and again.trace() == seen.trace()
        assert again.messages == seen.messages

    def test_each_message_has_its_own(self) -> None:
        seen = play(journey(inline(valid="3 days"), inline())).batch(view(id="v"))
        first, second = seen.messages
        assert asked(seen) == [first.id, second.id]
        fill(seen.shopper.outcome, {first.id: "A", second.id: "B"})
        assert [m.offer["coupon"] for m in seen.messages] == ["A", "B"]
        assert [m.offer.get("valid") for m in seen.messages] == ["3 days", None]
        assert seen.run.offer == {}

    def test_a_message_of_its_own_code_hides_that_of_the_run(self) -> None:
        seen = play(journey(offered(percent=10), inline(generate="WB"))).batch(view(id="v"))
        (message,) = seen.messages
        assert message.offer["coupon"] == message.offer["code"] != seen.run.offer["code"]
        assert message.offer["coupon"].startswith("WB-")
        assert "pool" not in message.offer and message.offer["percent"] == 10

    def test_every_visit_and_run_asks_anew(self) -> None:
        steps = journey(offered(), key="event.product_id")
        seen = play(steps).batch(view(product="p1"), view(product="p2"))
        assert len(asked(seen)) == 2

    def test_nobody_asks_for_whom_nothing_is_sent(self) -> None:
        held = play(journey(offered(), inline(), holdout=100)).batch(view())
        assert held.run.held_out and not asked(held)
        late = journey(wait(hours=1), inline())
        seen = play(late).batch(view()).wake(at(days=3))
        assert not seen.messages and not asked(seen)


class TestNoneLeft:
    def test_skip_leaves_out_all_messages_that_would_show_it(self) -> None:
        steps = journey(
            *(
                offered(),
                send(template="a"),
                wait(hours=1),
                send(template="b"),
                inline(Pool("other")),
                send(template="c"),
            )
        )
        seen = play(steps).batch(view(id="v"))
        (claim,) = asked(seen)
        dry = knowing(seen, {claim: None})
        assert dry.messages == [] and dry.run.status == "active"
        assert dry.run.offer == {"pool": "winter", "claim": claim}
        assert [mark for mark in dry.trace() if mark[1] in ("none left", "skips")] == [
            ("steps/0", "none left", NONE),
            ("steps/1", "skips", NONE),
        ]
        dry.wake(at(hours=1))
        # A message with an offer of its own is none of those.
        assert [m.offer["pool"] for m in dry.messages] == ["other"]

    def test_a_message_that_has_none_is_skipped_alone(self) -> None:
        seen = play(journey(inline(), send(template="b"))).batch(view(id="v"))
        (claim,) = asked(seen)
        assert knowing(seen, {claim: None}).templates == ["b"]

    @pytest.mark.parametrize("step", [offered, inline])
    def test_exit(self, step: Any) -> None:
        steps = journey(
            send(template="a"), step(Pool("winter", "exit")), send(template="b"), stops=[stop()]
        )
        seen = play(steps).batch(view(id="v"))
        (claim,) = asked(seen)
        dry = knowing(seen, {claim: None})
        assert (dry.run.status, dry.run.reason, dry.run.at) == ("finished", NONE, "steps/1")
        assert dry.templates == ["a"]
        dry.batch(order(at(minutes=1)))
        assert dry.run.status == "stopped", "its first message may still wait"

    @pytest.mark.parametrize("step", [offered, inline])
    def test_a_code_for_everybody(self, step: Any) -> None:
        pool = Pool("winter", "instead", "SORRY5")
        seen = play(journey(step(pool), send(template="b"))).batch(view(id="v"))
        (claim,) = asked(seen)
        dry = knowing(seen, {claim: None})
        assert dry.messages[0].offer["coupon"] == "SORRY5"
        assert [mark[1:] for mark in dry.trace()][1:3] == [
            ("none left", NONE),
            ("offers", "SORRY5"),
        ]


def test_stand_ins_are_codes_for_all() -> None:
    codes = StandIns()
    seen = [play(journey(offered(), inline()), profile=n) for n in range(200)]
    found = set()
    for one in seen:
        one.shopper.codes = codes
        one.batch(view(id=f"v{one.shopper.profile.id}"))
        found |= {one.run.offer["code"], one.messages[0].offer["code"]}
        assert asked(one)  # they can be counted
    assert len(found) == 400
    assert codes[asked(seen[0])[0]] in found


def test_the_offer_of_a_pool_ends() -> None:
    step = {**offered(), "valid": timedelta(days=3)}
    seen = play(journey(step)).batch(view())
    assert seen.run.offer["ends_at"] == at(days=3).isoformat()


def test_a_backtest_counts_the_codes_of_each_pool() -> None:
    text = """
journey: left
trigger: {event: Product Viewed, key: event.product_id, again: always}
holdout: 50%
steps:
  - offer: {coupon: pool winter, percent: 10}
  - send: email
    template: t
    offer: {coupon: pool spring}
"""
    found, _ = load_journey(text)
    assert found is not None
    policy = Policy(topics={"offers": Topic("offers", consent="opt-out")})
    events = [view(at(minutes=n), who=(f"user:{n}",)) for n in range(40)]
    (side,) = Backtest([found], policy, watch=True).run(events, timedelta(days=1))
    runs = side.tallies["left"].enrolled - side.tallies["left"].held_out
    assert 0 < runs < 40
    assert side.accounts["left"].codes == {"winter": runs, "spring": runs}
