"""P10 on a real PostgreSQL: one journey raises, and an order in the same batch still counts."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from engine.core.guard import FIRST_TRY
from engine.intake.lanes import lane_of
from engine.model.journey import Journey, Stop
from engine.runtime.audit import audit
from engine.runtime.drain import drain
from engine.runtime.explain import explain
from engine.store import failures as failures_store
from engine.store.failures import Fault
from tests.integration.runtime_kit import LEFT, Make, Pipeline
from tests.unit.core.build import (
    ORDER,
    at,
    audience,
    event,
    journey,
    order,
    send,
    stop,
    update,
    view,
    wait,
)
from tests.unit.test_core_guard import Fault as Raises

JOURNEY = LEFT
WHO = ("user:1", "email:anna@example.com")


def sick(raises: Raises) -> Journey:
    return journey(
        *(wait(hours=1), send(template="before"), audience("add"), update(vip=raises.at())),
        *(send(template="after"),),
        name="sick",
        stops=[stop(goal=True)],
    )


def faults(shop: Pipeline) -> list[Fault]:
    with shop.database.connection() as connection:
        return failures_store.found(connection)


def run_of(shop: Pipeline, name: str, who: str = "user:1") -> tuple[object, ...]:
    (row,) = shop.rows(
        "select status, at, wake_at, failing_since, reason from enrollment"
        " where journey = %s and profile_id = %s",
        *(name, shop.profile(who)),
    )
    return row


def test_the_order_behind_a_fault_takes_effect_for_all_journeys(make: Make) -> None:
    """The timer of one journey raises while the batch with the order in it is drained."""
    shop = make(sick(Raises()), LEFT)
    shop.drain(view(who=WHO))
    bought = order(at(hours=1.5), who=WHO, revenue=20, currency="EUR")
    done = shop.drain(bought, view(at(hours=1.6), product="p2", who=WHO))
    assert done.refused == 0
    assert shop.one("select count(*) from rejected") == 0
    assert shop.rows("select orders, lifetime_value from profile") == [(1, {"EUR": 20})]
    # It ended both, the failing journey's run among them; what came later began.
    assert shop.runs() == [
        ("left-behind", "p1", "stopped"),
        ("left-behind", "p2", "active"),
        ("sick", "", "stopped"),
    ]
    assert shop.messages() == []
    assert shop.rows("select wanted from audience_member") == []
    (found,) = faults(shop)
    assert (found.journey, found.path, found.error, found.n) == ("sick", "steps/3", "TypeError", 1)


def test_a_timer_that_raises_holds_up_nobody_and_is_not_lost(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    raises = Raises("anna@example.com cannot be added")
    shop = make(sick(raises), LEFT)
    shop.drain(view(who=WHO), view(who=("user:2",)))
    with caplog.at_level(logging.ERROR):
        woken = shop.at(at(hours=2)).wake()
    assert (woken.woken, woken.failed, woken.due) == (2, 2, 2)
    assert [template for template, _, _ in shop.messages()] == ["left", "left"]
    # Logged once, with nobody's address; counted each time.
    (line,) = [record for record in caplog.records if "fails at" in record.getMessage()]
    assert "sick (version v1) fails at steps/3: TypeError: … cannot be added" in line.getMessage()
    assert "anna" not in caplog.text
    # The next tick finds nothing to do: it does not spin.
    assert shop.wake().woken == 0
    assert shop.at(at(hours=2, minutes=4)).wake().woken == 0
    # An hour late already, so it is tried again in an hour.
    assert run_of(shop, "sick") == (
        *("active", "steps/1", at(hours=3), at(hours=1), "fails at steps/3: TypeError"),
    )
    (found,) = faults(shop)
    assert (found.n, found.standing) == (2, 2)


def test_mended_it_goes_on_where_it_stood(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    raises = Raises()
    shop = make(sick(raises))
    shop.drain(view(who=WHO))
    shop.at(at(hours=1)).wake()
    assert run_of(shop, "sick")[:2] == ("active", "steps/1")
    raises.mended = True
    shop.at(at(hours=1) + FIRST_TRY).wake()
    assert run_of(shop, "sick") == ("finished", None, None, None, "finished")
    assert sorted(template for template, _, _ in shop.messages()) == ["after", "before"]
    marks = shop.one("select trace from enrollment")
    assert [mark[1] for mark in marks] == [
        *("enters", "waits", "fails", "sends", "add", "updates", "sends"),
    ]


def test_a_stop_that_raises_lets_nothing_more_go(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """P3: the message waits at the gate, the order comes, its rule raises."""
    caplog.set_level(logging.CRITICAL)
    rule = Stop(ORDER, Raises().at("stop/0/if"), True, "stop/0")
    one = journey(send(template="now"), audience("add"), name="sick", stops=[rule])
    shop = make(one)
    shop.drain(event("Identify", kind="identify", who=WHO, email="anna@example.com"))
    shop.drain(view(who=WHO))
    assert shop.messages() == [("now", "due", "")]
    shop.drain(order(at(minutes=1), who=WHO))
    assert shop.messages()[0][1] == "cancelled"
    assert shop.rows("select wanted from audience_member") == [(False,)]
    assert shop.deliver().sent == 0 and shop.email.handed == []
    assert shop.rows("select status, goal, reason from enrollment") == [
        ("stopped", False, "in doubt: Order Completed: fault (TypeError)")
    ]


def test_a_trigger_that_raises_spoils_no_batch(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked before the shoppers are loaded, for all of them at once."""
    caplog.set_level(logging.CRITICAL)
    one = journey(send(template="sick"), name="sick")
    trigger = dataclasses.replace(one.trigger, condition=Raises().at("trigger/if"))
    shop = make(dataclasses.replace(one, trigger=trigger), LEFT)
    who = [f"user:{n}" for n in range(20)]
    who = [name for name in who if lane_of(name) == lane_of(who[0])]
    shop.accept(*[view(who=(name,)) for name in who], order(at(hours=1), who=(who[0],)))
    done = drain(shop.shell, lane_of(who[0]))
    assert (done.taken, done.refused, done.failed) == (len(who) + 1, 0, len(who))
    assert len(shop.runs()) == len(who)
    assert shop.rows("select distinct journey from enrollment") == [("left-behind",)]
    (found,) = faults(shop)
    assert (found.path, found.n) == ("trigger/if", len(who))


def test_audit_and_explain_tell_of_it(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The audit judges by the same rule, which raises there as well: no violation, not judged."""
    caplog.set_level(logging.CRITICAL)
    rule = Stop(ORDER, Raises().at("stop/0/if"), True, "stop/0")
    doubtful = journey(send(template="now"), name="doubtful", stops=[rule])
    shop = make(doubtful, sick(Raises()))
    shop.drain(view(who=WHO))
    shop.at(at(hours=1)).wake()
    shop.drain(view(at(hours=1), who=("user:2",)), order(at(hours=1.5), who=("user:2",)))
    report = audit(shop.database, shop.shell.book())
    assert report.ok, report.findings
    assert report.unjudged >= 1
    assert {(f.journey, f.path, f.standing) for f in report.failing} == {
        ("doubtful", "stop/0", 0),
        ("sick", "steps/3", 1),
    }
    with shop.database.connection() as connection:
        told = explain(connection, "user:1", "GB")
    (story,) = [story for story in told.stories if story.run.journey == "sick"]
    assert story.run.failing_since == at(hours=1)
    assert told.failed == {story.run.id}
    assert [(line.path, line.verdict) for line in story.lines][-1] == ("steps/3", "fails")
