"""Whatever journeys a shop writes: they load, lint has its say, editors agree, and nobody is sent
more than the worst case that lint tells.

``EXAMPLES_TIMES=20`` looks at twenty times as many.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, note, settings
from jsonschema import Draft202012Validator

from engine.cli.main import group
from engine.core.decision import Outcome
from engine.core.gate import Verdict
from engine.core.shopper import Shopper
from engine.core.together import Figures, worst_case
from engine.language import load_policy
from engine.language.folders import load_journeys
from engine.language.reader import parse
from engine.language.report import Report
from engine.language.schema import journey_schema
from engine.language.tree import plain_value
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.policy import Policy
from engine.runtime.simulate import Observer, Simulation
from tests.property.event_streams import Told, streams
from tests.property.journey_texts import journeys

pytestmark = pytest.mark.timeout(0)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Draft202012Validator(journey_schema())
RULES = """
topics:
  offers: {consent: opt-out}
  orders: {consent: none}
quiet hours: {sms: "20:00-09:00", email: "02:00-04:00"}
caps: [{messages: 3, within: 2 days}, {messages: 1, within: 12 hours, channel: sms}]
"""
DAYS = 7
WITHIN = timedelta(days=DAYS)
#: The worst case counts days of 24 hours; in March some have 23.
A_WEEK = WITHIN - timedelta(hours=1)

#: Shopper, or shopper, journey and key -> when they were sent a message, by which channel.
Sent = dict[Any, list[tuple[datetime, str]]]


def looked_at(examples: int) -> settings:
    return settings(
        max_examples=examples * int(os.environ.get("EXAMPLES_TIMES", "1")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("project")
    for name in ("journeys", "config"):
        (made / name).mkdir()
    (made / "templates").symlink_to(ROOT / "templates", target_is_directory=True)
    (made / "config/winback.yaml").write_text(RULES)
    return made


def written(project: Path, texts: dict[str, str]) -> None:
    for file in (project / "journeys").iterdir():
        file.unlink()
    for name, text in texts.items():
        note(text)
        (project / f"journeys/{name}.yaml").write_text(text, encoding="utf-8")


@looked_at(100)
@given(texts=journeys(most=4))
def test_they_load_and_editors_agree(project: Path, texts: dict[str, str]) -> None:
    written(project, texts)
    policy, _ = load_policy(project / "config/winback.yaml")
    found = load_journeys(project / "journeys", policy=policy, templates=project / "templates")
    assert found.journeys.keys() == texts.keys()
    assert [str(each) for each in found.diagnostics if each.severity == "error"] == []
    for text in texts.values():
        tree = parse(text, Report("x"))
        assert tree is not None
        wrong = [error.message for error in SCHEMA.iter_errors(plain_value(tree))]
        assert wrong == []


@looked_at(3)
@given(texts=journeys(most=4))
def test_lint_has_its_say(project: Path, texts: dict[str, str]) -> None:
    """As somebody types it; it checks the templates each time, which takes a second."""
    written(project, texts)
    found = CliRunner().invoke(group, ["--project-dir", str(project), "lint", "--json"])
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert (report["files"], report["errors"]) == (len(texts), 0)


@looked_at(120)
@given(texts=journeys(), told=streams(most=40, mixed=False, late=False))
def test_nobody_is_sent_more_than_the_worst_case(
    project: Path, texts: dict[str, str], told: list[Told]
) -> None:
    written(project, texts)
    policy, _ = load_policy(project / "config/winback.yaml")
    found = load_journeys(project / "journeys", policy=policy).journeys
    assert found.keys() == texts.keys()
    if any(each.trigger.calendar and each.trigger.calendar.yearly for each in found.values()):
        return  # that they change their birthday is not reckoned with
    worst = worst_case(found, policy, WITHIN)
    for one in told:
        note(one.line.decode())

    by_shopper, by_run = sent(found, policy, told, bare=True)
    holds(by_shopper, worst.before)
    for each in worst.journeys:
        holds({k: s for k, s in by_run.items() if k[1] == each.journey}, each.figures)
    by_shopper, _ = sent(found, policy, told, bare=False)
    holds(by_shopper, worst.after)


def sent(
    found: dict[str, Journey], policy: Policy, told: list[Told], *, bare: bool
) -> tuple[Sent, Sent]:
    seen = Seen()
    simulation = Simulation(found.values(), policy, bare=bare, observer=seen)
    simulation.run(
        sorted((one.event for one in told), key=lambda event: event.order_key), timedelta(days=30)
    )
    by_shopper: Sent = defaultdict(list)
    by_run: Sent = defaultdict(list)
    for message in seen.messages:
        # Before a merge two are written to.
        if message.channel != "webhook" and message.profile_id not in seen.merges:
            said = (message.due_at, message.channel)
            by_shopper[message.profile_id].append(said)
            key = seen.keys[message.enrollment_id]
            by_run[message.profile_id, message.journey, key].append(said)
    return by_shopper, by_run


class Seen(Observer):
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.keys: dict[str, str] = {}
        self.merges: set[int] = set()

    def merged(self, gone: int, into: int) -> None:
        self.merges |= {gone, into}

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.keys.update((id, run.key) for id, run in outcome.enrollments.items())

    def judged(self, message: Message, verdict: Verdict) -> None:
        if verdict.action == "send":
            self.messages.append(message)


def holds(sent: Sent, figures: Figures) -> None:
    """No week of anybody has more messages than the figures say."""
    for who, messages in sent.items():
        for channel in {name for _, name in messages} | {"*"}:
            times = sorted(at for at, name in messages if channel in (name, "*"))
            most = max(bisect_left(times, at + A_WEEK) - first for first, at in enumerate(times))
            figure = figures[channel]
            assert figure is None or most <= figure, (who, channel, most, figure, messages)
