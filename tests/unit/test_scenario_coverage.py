"""Coverage counts what scenarios came to, and JUnit XML is what CI servers take."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from engine.model.diagnostic import Diagnostic
from engine.testing.scenario.coverage import Coverage, measure
from engine.testing.scenario.junit import junit
from engine.testing.scenario.model import Result
from tests.scenario_kit import VIEWED, journey, played, story

ALL = {
    "trigger: starts",
    "trigger/if: refuses",
    "trigger/again: refuses",
    "stop/0: stops",
    "stop/1: stops",
    "steps/0",
    "steps/1",
    "steps/2: came",
    "steps/2: time ran out",
    "steps/2/then/0",
    "steps/3",
}


def covered(*texts: str, by: str = VIEWED) -> Coverage:
    marks = [mark for text in texts for mark in played(text, by)[1].marks]
    known = journey(by)
    (found,) = measure({known.name: known}, marks)
    return found


def test_without_scenarios_all_is_missing() -> None:
    found = covered()
    assert {str(point) for point in found.missing} == ALL
    assert found.percent == 0


def test_each_story_adds_what_it_came_to() -> None:
    plain = story("{send: email}", "{send: sms}")
    missing = {"trigger/if: refuses", "trigger/again: refuses", "stop/0: stops", "stop/1: stops"}
    missing |= {"steps/2: came", "steps/2/then/0"}
    found = covered(plain)
    assert {str(point) for point in found.missing} == missing
    assert found.percent == pytest.approx(100 * 5 / 11)

    clicked = story("{send: email}", events="{at: +3 hours, event: Email Clicked}")
    cheap = story(price=1)
    again = story(
        *("{send: email}", "{send: sms}"),
        events="{at: +1 minute, event: Product Viewed, properties: {product_id: p1, price: 50}}",
    )
    bought = [
        story(
            "{exit: goal}",
            events=f"{{at: +1 hour, event: Order Completed, properties: {{product_id: {what}}}}}",
        )
        for what in ("p1", "p2")
    ]
    assert {str(p) for p in covered(plain, clicked, cheap).missing} == {
        *("trigger/again: refuses", "stop/0: stops", "stop/1: stops"),
    }
    assert covered(plain, clicked, cheap, again, *bought).percent == 100


def test_a_withheld_message_covers_no_step() -> None:
    held = story("{skip: email}", "{skip: sms}", more="holdout: on")
    missing = {str(point) for point in covered(held).missing}
    assert {"steps/1", "steps/3"} <= missing
    assert "steps/0" not in missing


BRANCHES = """\
journey: branches
trigger: {event: Product Viewed, again: always}
steps:
  - branch:
      - if: profile.vip
        steps: [{update: {seen: true}}]
      - if: profile.orders > 2
        steps: [{update: {seen: 2}}]
  - branch:
      - if: profile.vip
        steps: []
      - else: [{update: {seen: 3}}]
  - split: {50% calm: [], 50%: [{update: {seen: 4}}]}
"""


@pytest.mark.parametrize(
    ("profile", "arm", "came"),
    [
        (
            "{vip: true}",
            "calm",
            {"steps/0/branch/0: taken", "steps/1/branch/0: taken", "steps/2: calm"},
        ),
        ("{orders: 3}", "50%", {"steps/0/branch/1: taken", "steps/1: else", "steps/2: 50%"}),
        ("{}", "calm", {"steps/0: none holds", "steps/1: else", "steps/2: calm"}),
    ],
)
def test_arms(profile: str, arm: str, came: set[str]) -> None:
    text = story("{exit: finished}", profile=profile, more=f"arms: {{steps/2: {arm}}}")
    found = covered(text, by=BRANCHES)
    arms = {str(point) for point in found.points if not str(point).endswith("/0")}
    ways = {
        *("steps/0/branch/0: taken", "steps/0/branch/1: taken", "steps/0: none holds"),
        *("steps/1/branch/0: taken", "steps/1: else", "steps/2: calm", "steps/2: 50%"),
    }
    assert ways <= arms
    reached = {str(point) for point in found.reached}
    assert reached & ways == came


# Attributes (required, allowed) and children of each element: Jenkins' junit-10.xsd, which
# Maven's and pytest's reports obey too.
RULES: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file"},
        {"testcase", "properties", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
}
TIME = re.compile(r"[0-9]{0,3}\.[0-9]*")


def valid(document: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(document)
    assert root.tag == "testsuites"
    for element in root.iter():
        required, allowed, children = RULES[element.tag]
        assert required <= set(element.attrib) <= required | allowed
        assert {child.tag for child in element} <= children
        assert "time" not in element.attrib or TIME.fullmatch(element.attrib["time"])
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for kind in ("failure", "error"):
            assert int(suite.attrib[f"{kind}s"]) == len(suite.findall(f"testcase/{kind}"))
    for name in ("tests", "failures", "errors"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root)
    return root


def results() -> list[Result]:
    good = story("{send: email}", "{send: sms}")
    bad = story("{at: +3 hours, send: email}", "{send: sms}").replace("A story", "A < B & \\x07")
    return [played(text)[0] for text in (good, bad.replace("A <", '"A <').replace("x07", 'x07"'))]


def test_junit_is_valid_and_says_what_failed() -> None:
    wrong = Diagnostic("b.yaml", 1, 2, "error", "J001", "not YAML")
    mild = Diagnostic("c.yaml", 1, 2, "warning", "J051", "hm")
    root = valid(junit(results(), [wrong, mild]))
    assert [suite.attrib["name"] for suite in root] == ["a.yaml", "b.yaml"]
    passed, failed = root[0]
    assert passed.attrib["name"] == "A story" and len(passed) == 0
    assert failed.attrib["name"] == "A < B & �"  # a bell cannot be in XML
    message, text = failed[0].attrib["message"], failed[0].text or ""
    assert message.startswith("expected: at: +3 hours, send: email")
    assert text.startswith(f"a.yaml:6: {message}\n    did you mean 2026-03-02 12:00?")
    assert re.search(
        r"^2026-03-02 12:00  viewed  steps/1 \(reminder\)  sent  +email viewed$", text, re.M
    )
    (error,) = root[1][0]
    assert error.attrib["message"] == "b.yaml:1:2 error J001 not YAML"


def test_junit_of_nothing_is_valid() -> None:
    assert len(valid(junit([], []))) == 0
