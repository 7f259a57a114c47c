"""Journeys compiled: paths, links, defaults, versions, and folders of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.core.conditions import holds
from engine.language import load_files, load_journey, load_journeys
from engine.language.context import DEFAULT_TOPICS
from engine.model.journey import (
    Again,
    AudienceStep,
    Branch,
    Condition,
    Exit,
    Journey,
    Overdue,
    Send,
    Split,
    Stop,
    Update,
    Wait,
    WaitFor,
)
from engine.model.policy import Policy

ANSWERS = Path(__file__).parents[1] / "journeys" / "answers"

WHOLE = """
journey: product-left-behind
title: "जो देखा और छोड़ दिया / جو چھوڑ دیا"
trigger:
  event: Product Viewed
  if: event.price >= 20 and not bought(event.product_id, within="90 days")
  key: event.product_id             # one run per shopper and product
  again: after 30 days
stop:
  - event: Order Completed
    if: key in event.product_ids
    goal: true
  - event: Order Completed
holdout: 10%
steps:
  - wait: 1 day 12 hours
  - send: email
    template: product-left-behind
    if overdue: skip after 12 hours
    offer: {coupon: WINTER10, percent: 10, more than: 19.90, valid: 3 days, code: "007", x: null}
  - wait for: {event: Email Clicked, if: "event.url", at most: 1 day}
    then: [{exit: came back}]
    else: []
  - branch:
      - if: profile.lifetime_value >= 500
        steps:
          - send: sms
            template: product-left-behind
            topic: orders
            on unknown: retry
            if_overdue: send
          - wait: 1 hour
      - if: profile.orders > 3
        steps: []
      - else:
          - split: {50% a: [{wait: 3 hours}], 50% b: []}
  - split: [{percent: 30, name: calm, steps: []}, {percent: 70%, steps: [{exit: the rest}]}]
  - update: {vip: yes, big: true, count: 3, tier: "= 'gold' if profile.orders > 3 else 'silver'"}
  - audience: {add: google/left-behind}
  - audience: {remove: meta/left-behind}
"""


def compiled(text: str) -> Journey:
    journey, found = load_journey(text)
    assert journey is not None, [str(finding) for finding in found]
    return journey


@pytest.fixture(scope="module")
def journey() -> Journey:
    return compiled(WHOLE)


def test_head(journey: Journey) -> None:
    assert journey.name == "product-left-behind"
    assert journey.title == "जो देखा और छोड़ दिया / جو چھوڑ دیا"
    assert journey.holdout == 10
    assert journey.start == "steps/0"
    assert journey.source == WHOLE
    trigger = journey.trigger
    assert (trigger.event, trigger.again) == ("Product Viewed", Again("after", timedelta(days=30)))
    assert trigger.condition is not None and trigger.key is not None
    assert trigger.condition.path == "trigger/if"
    assert trigger.condition.history == (("Order Completed", timedelta(days=90)),)
    assert trigger.key.test({"event": {"product_id": 7}}) == 7
    goal, plain = journey.stops
    assert (goal.event, goal.goal, goal.path) == ("Order Completed", True, "stop/0")
    assert goal.condition is not None and goal.condition.path == "stop/0/if"
    assert plain == Stop("Order Completed", None, False, "stop/1")


def test_steps_are_flat_and_rejoin(journey: Journey) -> None:
    links = {path: step.next for path, step in journey.steps.items()}
    assert links == {
        "steps/0": "steps/1",
        "steps/1": "steps/2",
        "steps/2": "steps/3",
        "steps/2/then/0": "steps/3",
        "steps/3": "steps/4",
        "steps/3/branch/0/steps/0": "steps/3/branch/0/steps/1",
        "steps/3/branch/0/steps/1": "steps/4",
        "steps/3/branch/2/else/0": "steps/4",
        "steps/3/branch/2/else/0/split/0/steps/0": "steps/4",
        "steps/4": "steps/5",
        "steps/4/split/1/steps/0": "steps/5",
        "steps/5": "steps/6",
        "steps/6": "steps/7",
        "steps/7": None,
    }
    assert all(step.path == path for path, step in journey.steps.items())


def test_each_step(journey: Journey) -> None:
    steps = journey.steps
    assert steps["steps/0"] == Wait("steps/0", "steps/1", timedelta(hours=36))
    mail = steps["steps/1"]
    assert isinstance(mail, Send)
    assert (mail.channel, mail.topic, mail.on_unknown) == ("email", "offers", "hold")
    assert mail.overdue == Overdue("skip", timedelta(hours=12))
    assert mail.offer == {
        "coupon": "WINTER10",
        "percent": 10,
        "more than": Decimal("19.90"),
        "valid": "3 days",
        "code": "007",
        "x": None,
    }
    wait = steps["steps/2"]
    assert isinstance(wait, WaitFor)
    assert (wait.event, wait.at_most) == ("Email Clicked", timedelta(days=1))
    assert (wait.then, wait.otherwise) == ("steps/2/then/0", "steps/3")
    assert wait.condition is not None and wait.condition.path == "steps/2/wait for/if"
    branch = steps["steps/3"]
    assert isinstance(branch, Branch)
    assert [arm.goto for arm in branch.arms] == [
        "steps/3/branch/0/steps/0",
        "steps/4",
        "steps/3/branch/2/else/0",
    ]
    assert [arm.condition is None for arm in branch.arms] == [False, False, True]
    text = steps["steps/3/branch/0/steps/0"]
    assert isinstance(text, Send)
    assert (text.channel, text.topic, text.on_unknown) == ("sms", "orders", "retry")
    assert text.overdue.rule == "send"
    keyed, listed = steps["steps/3/branch/2/else/0"], steps["steps/4"]
    assert isinstance(keyed, Split) and isinstance(listed, Split)
    assert [(arm.weight, arm.name, arm.goto) for arm in keyed.arms] == [
        (50, "a", "steps/3/branch/2/else/0/split/0/steps/0"),
        (50, "b", "steps/4"),
    ]
    assert [(arm.weight, arm.name, arm.goto) for arm in listed.arms] == [
        (30, "calm", "steps/5"),
        (70, "", "steps/4/split/1/steps/0"),
    ]
    update = steps["steps/5"]
    assert isinstance(update, Update)
    *constants, (name, computed) = update.changes
    assert constants == [("vip", "yes"), ("big", True), ("count", 3)], "YAML 1.2: yes is a text"
    assert name == "tier" and isinstance(computed, Condition)
    assert computed.test({"profile": {"orders": 4}}) == "gold"
    assert steps["steps/6"] == AudienceStep("steps/6", "steps/7", "add", "google/left-behind")
    assert steps["steps/7"] == AudienceStep("steps/7", None, "remove", "meta/left-behind")
    assert steps["steps/2/then/0"] == Exit("steps/2/then/0", "steps/3", "came back")


def test_defaults() -> None:
    short = compiled("journey: a\ntrigger: {event: X}\nsteps: [{send: sms, template: t}]")
    assert (short.title, short.holdout, short.stops) == ("a", 0, ())
    assert short.trigger.again == Again("never")
    step = short.steps["steps/0"]
    assert isinstance(step, Send)
    assert step.overdue == Overdue("skip", timedelta(days=1))
    assert (step.topic, step.on_unknown, step.offer) == ("offers", "hold", {})


def test_then_may_be_left_out() -> None:
    text = "journey: a\ntrigger: {event: X}\nsteps:\n  - wait for: {event: Y, at most: 1 day}\n"
    step = compiled(text).steps["steps/0"]
    assert isinstance(step, WaitFor)
    assert (step.then, step.otherwise, step.next) == (None, None, None)


def test_the_version_is_of_the_content() -> None:
    version = compiled(WHOLE).version
    assert len(version) == 12 and int(version, 16) >= 0
    same = [
        WHOLE.replace("# one run per shopper and product", ""),
        WHOLE.replace("- wait: 1 day 12 hours", "-   wait: '1 day 12 hours'"),
        WHOLE.replace("journey: product-left-behind\n", "") + "journey: product-left-behind\n",
        WHOLE.replace("\n", "\r\n"),
    ]
    assert [compiled(text).version for text in same] == [version] * len(same)
    other = [
        WHOLE.replace("12 hours", "13 hours"),
        WHOLE.replace("percent: 10,", 'percent: "10",'),
        WHOLE.replace("50% a: [{wait: 3 hours}], 50% b: []", "50% b: [], 50% a: [{wait: 3 hours}]"),
        WHOLE.replace("yes", "no"),
        WHOLE.replace("दिया", "दी"),
    ]
    versions = [compiled(text).version for text in other]
    assert len({version, *versions}) == len(other) + 1


def test_the_version_stands_still_over_releases() -> None:
    """Runs in flight are pinned to it: if this changes, every running journey is a new one."""
    assert load_journey(ANSWERS / "win-back.yaml")[0].version == "7171e3966f5c"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["win-back", "left-behind"])
def test_the_answers_run(name: str) -> None:
    journey, found = load_journey(ANSWERS / f"{name}.yaml")
    assert journey is not None
    assert [finding for finding in found if finding.severity == "error"] == []
    assert [type(step) for step in journey.steps.values()] == [Wait, Send]


def test_a_bad_journey_hurts_only_itself(tmp_path: Path) -> None:
    good = (ANSWERS / "win-back.yaml").read_text()
    (tmp_path / "win-back.yaml").write_text(good)
    (tmp_path / "broken.yaml").write_text("journey: broken\nsteps: [")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00journey")
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")
    (tmp_path / "folder.yaml").mkdir()
    found = load_journeys(tmp_path)
    assert list(found.journeys) == ["win-back"]
    blamed = {Path(finding.file).name: finding.message for finding in found.diagnostics}
    assert blamed == {
        "broken.yaml": "not YAML: expected the node content, but found 'the end'",
        "binary.yml": "this is not UTF-8",
        "folder.yaml": "cannot be opened: Is a directory",
    }


def test_one_journey_in_two_files(tmp_path: Path) -> None:
    good = (ANSWERS / "win-back.yaml").read_text()
    for suffix in ("yaml", "yml"):
        (tmp_path / f"win-back.{suffix}").write_text(good)
    found = load_journeys(tmp_path)
    assert found.journeys == {}
    assert [(Path(d.file).name, d.code, d.message) for d in found.diagnostics] == [
        ("win-back.yaml", "J020", "the journey 'win-back' is in win-back.yml too"),
        ("win-back.yml", "J020", "the journey 'win-back' is in win-back.yaml too"),
    ]


def test_files_may_be_named(tmp_path: Path) -> None:
    found = load_files([ANSWERS / "win-back.yaml", tmp_path / "absent.yaml"])
    assert list(found.journeys) == ["win-back"]
    assert [d.message for d in found.diagnostics] == ["cannot be opened: No such file or directory"]


def test_no_folder(tmp_path: Path) -> None:
    found = load_journeys(tmp_path / "journeys")
    assert found.journeys == {}
    assert [d.message for d in found.diagnostics] == ["there is no such folder"]


def test_topics_are_those_of_the_shop() -> None:
    text = "journey: a\ntrigger: {event: X}\nsteps: [{send: sms, template: t, topic: news}]"
    policy = Policy(topics={"news": replace(DEFAULT_TOPICS["orders"], name="news")})
    assert load_journey(text, policy=policy)[1] == []
    journey, found = load_journey(text.replace(", topic: news", ""), policy=policy)
    assert journey is None
    assert found[0].code == "J016" and found[0].hint == "add 'topic: …' with one of news"


def test_a_transactional_message_needs_no_stop() -> None:
    text = "journey: a\ntrigger: {event: X}\nsteps: [{send: email, template: t, topic: orders}]"
    assert load_journey(text)[1] == []


def test_conditions_of_a_journey_hold() -> None:
    journey = compiled(WHOLE)
    condition = journey.stops[0].condition
    assert condition is not None
    assert holds(condition, {"key": "7", "event": {"product_ids": ["7"]}}) == (True, "")
    assert holds(condition, {"key": "7", "event": {}}) == (False, "")
