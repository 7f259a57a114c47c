"""P10 in the core: what one journey raises is its own affair, and never lets a message out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from engine.core.guard import FIRST_TRY, LAST_TRY
from engine.core.react import after_merge
from engine.core.shopper import Past
from engine.model.journey import Condition, Stop
from tests.unit.core.build import (
    CLICK,
    ORDER,
    T0,
    VIEW,
    at,
    audience,
    event,
    journey,
    order,
    overdue,
    play,
    send,
    stop,
    update,
    view,
    wait,
    wait_for,
)


class Fault:
    """An expression that raises until it is mended."""

    def __init__(self, text: str = "unsupported") -> None:
        self.text = text
        self.mended = False

    def test(self, facts: Mapping[str, Any]) -> Any:
        if not self.mended:
            raise TypeError(self.text)
        return True

    def at(self, path: str = "") -> Condition:
        return Condition("fault", self.test, path)


def well(**more: Any) -> Any:
    return journey(wait(hours=2), send(template="well"), name="well", stops=[stop()], **more)


class TestStep:
    def sick(self, fault: Fault, **more: Any) -> Any:
        return journey(
            *(wait(hours=2), send(template="before"), audience("add"), update(vip=fault.at())),
            *(send(template="after", **more), wait(days=1)),
            name="sick",
            stops=[stop(goal=True)],
        )

    def test_it_stands_before_the_step_and_the_other_journeys_go_on(self) -> None:
        seen = play(self.sick(Fault()), well()).batch(view()).wake(at(hours=2))
        sick, fine = sorted(seen.runs, key=lambda run: run.journey)
        assert seen.templates == ["well"]
        assert seen.shopper.outcome.audiences == []
        assert (sick.status, sick.at, sick.reason) == (
            *("active", "steps/1"),
            "fails at steps/3: TypeError",
        )
        assert (sick.failing_since, sick.wake_at) == (at(hours=2), at(hours=2) + FIRST_TRY)
        assert fine.status == "finished"
        (found,) = seen.shopper.outcome.failures
        assert (found.journey, found.version, found.path, found.run_id, found.error) == (
            *("sick", "v1", "steps/3", sick.id, "TypeError"),
        )
        assert found.where.startswith("test_core_guard.py:")
        # Nothing is left of what the steps before it decided, nor in the trace.
        assert [verdict for _, verdict, _ in seen.trace(sick)] == ["enters", "waits", "fails"]

    def test_it_is_tried_again_less_and_less_often_and_never_spins(self) -> None:
        seen = play(self.sick(Fault())).batch(view()).wake(at(hours=2))
        tries = [seen.run.wake_at]
        while tries[-1] is not None and tries[-1] < at(days=3):
            seen.wake(tries[-1])
            tries.append(seen.run.wake_at)
        gaps = [b - a for a, b in pairwise(tries) if a and b]
        assert gaps[:3] == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)]
        assert gaps == sorted(gaps) and gaps[-1] == LAST_TRY
        assert len(tries) < 25
        assert [verdict for _, verdict, _ in seen.trace()] == ["enters", "waits", "fails"]

    def test_once_mended_it_goes_on_and_everything_happens_once(self) -> None:
        fault = Fault()
        seen = play(self.sick(fault)).batch(view()).wake(at(hours=2))
        fault.mended = True
        seen.wake(at(hours=2) + FIRST_TRY)
        assert seen.templates == ["before", "after"]
        assert (seen.run.failing_since, seen.run.reason) == (None, "")
        assert seen.run.at == "steps/5"
        assert seen.shopper.profile.traits["vip"] is True

    def test_what_it_sends_then_is_as_late_as_it_is(self) -> None:
        """P9: a week of faults does not empty itself at once."""
        fault = Fault()
        seen = play(self.sick(fault)).batch(view()).wake(at(hours=2))
        for days in range(1, 7):
            seen.wake(at(days=days))
        fault.mended = True
        seen.wake(at(days=7))
        assert seen.messages == []
        assert [why for _, verdict, why in seen.trace() if verdict == "skips"] == [
            "overdue by 6 days, 22:00:00"
        ] * 2

    def test_a_purchase_still_ends_it(self) -> None:
        seen = play(self.sick(Fault())).batch(view()).wake(at(hours=2)).batch(order(at(hours=3)))
        assert (seen.run.status, seen.run.goal, seen.run.wake_at) == ("stopped", True, None)

    def test_the_first_step_may_fail_too(self) -> None:
        fault = Fault()
        one = journey(update(vip=fault.at()), send(overdue=overdue()), stops=[stop()])
        seen = play(one, well()).batch(view(), order(at(hours=1)))
        assert {run.status for run in seen.runs} == {"stopped"}
        again = play(one).batch(view())
        assert (again.run.at, again.run.wake_at) == ("steps/0", T0 + FIRST_TRY)
        fault.mended = True
        assert again.wake(T0 + FIRST_TRY).templates == ["hello"]

    def test_an_event_that_came_is_not_forgotten(self) -> None:
        """The click came, what follows it fails: it must not be taken for "time ran out"."""
        fault = Fault()
        one = journey(
            wait_for(
                CLICK,
                hours=1,
                then=[update(vip=fault.at()), send(template="came")],
                otherwise=[send(template="out")],
            )
        )
        seen = play(one).batch(view()).batch(event(CLICK, at(minutes=30)))
        assert (seen.run.at, seen.run.waiting_for) == ("steps/0/then/0", "")
        seen.wake(at(hours=1, minutes=1))
        assert seen.templates == []
        fault.mended = True
        assert seen.wake(at(hours=3)).templates == ["came"]

    def test_a_step_that_is_gone_is_a_fault_of_that_run_only(self) -> None:
        one = journey(wait(hours=2), send(template="sick"), name="sick")
        seen = play(one, well()).batch(view())
        seen.book.versions["sick", "v1"] = dataclasses.replace(one, steps={})
        seen.wake(at(hours=2))
        assert seen.templates == ["well"]
        assert [f.error for f in seen.shopper.outcome.failures] == ["KeyError"]


class TestStop:
    sure = Stop(ORDER, None, True, "stop/1")

    def sick(self, *more: Stop, fault: Fault | None = None) -> Any:
        rule = Stop(ORDER, (fault or Fault()).at("stop/0/if"), True, "stop/0")
        steps = (send(template="now"), wait(hours=2), send(template="sick"))
        return journey(*steps, name="sick", stops=[rule, *more])

    def test_who_bought_gets_nothing_more_though_nobody_can_say_why(self) -> None:
        seen = play(self.sick(), well()).batch(view()).batch(order(at(hours=1), id="o"))
        sick, fine = sorted(seen.runs, key=lambda run: run.journey)
        assert (sick.status, sick.goal, sick.stopped_by) == ("stopped", False, "o")
        assert sick.reason == "in doubt: Order Completed: fault (TypeError)"
        assert fine.status == "stopped"
        assert seen.messages == [] and seen.wake(at(hours=3)).messages == []
        assert [f.path for f in seen.shopper.outcome.failures] == ["stop/0"]

    def test_a_rule_that_can_be_judged_decides(self) -> None:
        seen = play(self.sick(self.sure)).batch(view()).batch(order(at(hours=1)))
        assert (seen.run.goal, seen.run.reason) == (True, "Order Completed")
        assert len(seen.shopper.outcome.failures) == 1

    def test_in_the_history_too(self) -> None:
        late = play(self.sick()).batch(order(at(hours=1))).batch(view(), now=at(hours=1))
        assert late.run.reason == "in doubt: Order Completed was there first (TypeError)"
        merged = play(self.sick()).batch(view())
        merged.shopper.history.add(ORDER, Past(at(hours=1), "o", {}))
        after_merge(merged.book, merged.shopper)
        assert (merged.run.status, merged.run.goal) == ("stopped", False)

    def test_a_fault_beside_the_rules_stops_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever raises while the order is worked: nobody could say that it stops nothing."""
        from engine.core import react

        real = react.stopped

        def stopped(book: Any, journey: Any, *rest: Any) -> bool:
            if journey.name == "sick":
                raise RuntimeError("ours")
            return real(book, journey, *rest)

        monkeypatch.setattr(react, "stopped", stopped)
        one = journey(wait(hours=2), send(), name="sick", stops=[stop(goal=True)])
        seen = play(one, well()).batch(view()).batch(event("Page", at(minutes=1)))
        assert {run.status for run in seen.runs} == {"active"}
        seen.batch(order(at(hours=1)))
        assert {(run.journey, run.status, run.goal) for run in seen.runs} == {
            ("sick", "stopped", False),
            ("well", "stopped", False),
        }


class TestTrigger:
    @pytest.mark.parametrize(
        "sick",
        [
            lambda fault: {"condition": fault.at()},
            lambda fault: {"key": fault.at()},
            # One that looks at more than the event is asked later than one that does not.
            lambda fault: {"condition": dataclasses.replace(fault.at(), source="profile.orders")},
        ],
    )
    def test_nobody_enters_and_the_other_journeys_begin(
        self, sick: Callable[[Fault], dict[str, Any]]
    ) -> None:
        fault = Fault()
        one = journey(send(template="sick"), name="sick")
        trigger = dataclasses.replace(one.trigger, **sick(fault))
        one = dataclasses.replace(one, trigger=trigger)
        seen = play(one, well()).batch(view())
        assert [run.journey for run in seen.runs] == ["well"]
        (found,) = seen.shopper.outcome.failures
        assert found.path in ("trigger/if", "trigger/key") and found.run_id == ""
        fault.mended = True
        assert "sick" in {run.journey for run in seen.batch(view(at(hours=1))).runs}

    def test_a_wait_whose_condition_raises_waits_on(self) -> None:
        one = journey(wait_for(CLICK, hours=1, otherwise=[send(template="out")]))
        step = dataclasses.replace(one.steps["steps/0"], condition=Fault().at("steps/0/if"))  # type: ignore[call-arg]
        one = dataclasses.replace(one, steps={**one.steps, "steps/0": step})
        seen = play(one).batch(view()).batch(event(CLICK, at(minutes=5)))
        assert seen.run.waiting_for == CLICK
        assert [f.path for f in seen.shopper.outcome.failures] == ["steps/0/if"]
        assert seen.wake(at(hours=1)).templates == ["out"]


class TestJump:
    def test_where_it_leads_may_fail(self) -> None:
        from engine.model.journey import Jump

        fault = Fault()
        there = journey(update(x=fault.at()), send(template="there"), name="there", trigger="None")
        here = journey({"kind": Jump, "journey": "there"}, name="here")
        seen = play(here, there).batch(view())
        runs = {run.journey: run for run in seen.runs}
        assert (runs["here"].status, runs["there"].status) == ("finished", "active")
        assert runs["there"].failing_since is not None
        fault.mended = True
        assert seen.wake(at(hours=1)).templates == ["there"]


@pytest.mark.parametrize(
    "said, told",
    [
        ("cannot add 'Anna' to 5", "cannot add … to 5"),
        ('no "x" here', "no … here"),
        ("anna@example.com is not one", "… is not one"),
        ("call +44 20 7946 0018 back", "call … back"),
        ("Anna Berg has no such thing", "… has no such thing"),
        ("a " * 200, ("a " * 100)),
        ("two\nlines", "two lines"),
    ],
)
def test_the_text_of_a_fault_has_nobodys_data(said: str, told: str) -> None:
    seen = play(journey(update(x=Fault(said).at())), traits={"name": "Anna Berg"}).batch(view())
    (found,) = seen.shopper.outcome.failures
    assert found.text == told
    assert told.strip() in seen.trace()[-1][2]


def test_a_fault_costs_a_run_that_has_none_nothing() -> None:
    seen = play(well()).batch(view(), event(VIEW, at(hours=1))).wake(at(hours=3))
    assert seen.shopper.outcome.failures == []
