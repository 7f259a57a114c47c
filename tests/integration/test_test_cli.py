"""winback test, as a person, a program and a CI server meet it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import group

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("cart-left-behind", "product-left-behind", "win-back")
JOURNEY = """\
journey: viewed
trigger: {event: Product Viewed, again: always}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 2 hours
  - send: email
    template: viewed
    topic: orders
"""
GOOD = """\
- scenario: A mail after two hours
  profile: {email: asha@example.org}
  events: [{at: 2026-03-02 10:00, event: Product Viewed}]
  expect:
    - {at: +2 hours, send: email, template: viewed}
- scenario: Bought in time
  profile: {email: asha@example.org}
  events:
    - {event: Product Viewed}
    - {at: +1 hour, event: Order Completed}
  expect: [{at: +1 hour, exit: goal}]
"""
BAD = GOOD.replace("+2 hours", "+3 hours")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "journeys" / "tests").mkdir(parents=True)
    (tmp_path / "config" / "winback.yaml").write_text(
        "shop: {name: A shop}\ntopics: {orders: {title: Orders, consent: none}}\n"
    )
    (tmp_path / "journeys" / "viewed.yaml").write_text(JOURNEY)
    (tmp_path / "journeys" / "tests" / "viewed.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def winback(*words: str) -> Result:
    return CliRunner().invoke(group, ["test", *words], env={"COLUMNS": "200"})


def test_all_pass(project: Path) -> None:
    told = winback()
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert re.fullmatch(
        r"pass A mail after two hours  journeys/tests/viewed.yaml:1  \d+\.\d ms", lines[0]
    )
    assert re.search(r"^viewed +4/4 +100 %", told.stdout, re.M)
    assert re.fullmatch(r"2 scenarios: 2 passed, 0 failed, in \d+ ms", lines[-1])


def test_a_failure_shows_the_place_what_nearly_fits_and_the_timeline(project: Path) -> None:
    (project / "journeys" / "tests" / "viewed.yaml").write_text(BAD)
    told = winback()
    assert told.exit_code == 1
    assert "FAIL A mail after two hours  journeys/tests/viewed.yaml:1" in told.stdout
    assert (
        "  journeys/tests/viewed.yaml:5 expected: at: +3 hours, send: email, template: viewed "
        "(2026-03-02 13:00), but it did not happen\n"
        "      did you mean 2026-03-02 12:00? It happened then, 1 hour earlier\n"
    ) in told.stdout
    assert re.search(r"2026-03-02 10:00 +event +Product Viewed", told.stdout)
    assert re.search(r"2026-03-02 10:00 +steps/0 +waits +until 2026-03-02 12:00", told.stdout)
    assert re.search(r"2026-03-02 12:00 +steps/1 +sent +email viewed", told.stdout)
    assert "2 scenarios: 1 passed, 1 failed" in told.stdout


def test_only_those_that_hold_a_word(project: Path) -> None:
    told = winback("-k", "BOUGHT")
    assert told.exit_code == 0
    assert "1 scenario: 1 passed" in told.stdout and "A mail after" not in told.stdout
    assert winback("-k", "viewed.yaml").stdout.count("pass ") == 2
    told = winback("-k", "refund")
    assert told.exit_code == 2
    assert "No scenario to run: none of 2 holds 'refund'." in told.stderr


def test_coverage_that_is_asked_for_and_missed(project: Path) -> None:
    assert winback("--coverage", "100").exit_code == 0
    told = winback("--coverage", "100", "-k", "bought")
    assert told.exit_code == 1
    assert re.search(r"^viewed +3/4 +75 % +steps/1 *$", told.stdout, re.M)
    assert "viewed is covered 75.0 %, not 100 %." in told.stderr
    assert winback("--coverage", "75", "-k", "bought").exit_code == 0
    assert winback("--coverage", "101").exit_code == 2


def test_json(project: Path) -> None:
    (project / "journeys" / "tests" / "viewed.yaml").write_text(BAD)
    told = winback("--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert (document["passed"], document["failed"], document["errors"]) == (1, 1, [])
    failed, passed = document["scenarios"]
    assert passed["ok"] and passed["failures"] == [] and passed["line"] == 6
    assert failed["failures"][0]["line"] == 5
    assert failed["failures"][0]["hint"].startswith("did you mean 2026-03-02 12:00?")
    assert failed["timeline"][0] == {
        "at": "2026-03-02T10:00:00+00:00",
        "journey": "",
        "path": "",
        "verdict": "event",
        "why": "Product Viewed",
    }
    assert document["coverage"] == [
        {"journey": "viewed", "points": 4, "percent": 100.0, "missing": []}
    ]


def test_junit(project: Path) -> None:
    (project / "journeys" / "tests" / "viewed.yaml").write_text(BAD)
    told = winback("--junit", "results.xml")
    assert told.exit_code == 1
    root = ElementTree.parse(project / "results.xml").getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("2", "1")
    (case,) = [case for case in root.iter("testcase") if len(case)]
    assert case.attrib["classname"] == "journeys.tests.viewed"
    told = winback("--junit", "no/such/folder.xml")
    assert told.exit_code == 1
    assert "no/such/folder.xml" in told.stderr


def test_a_mistake_in_one_file_fails_but_does_not_hide_the_others(project: Path) -> None:
    (project / "journeys" / "tests" / "typo.yaml").write_text("- {scenario: A, expcet: nothing}\n")
    (project / "journeys" / "broken.yaml").write_text("journey: broken\nsteps: []\n")
    told = winback()
    assert told.exit_code == 1
    assert "journeys/tests/typo.yaml:1:17 error J005 unknown key 'expcet'" in told.stderr
    assert "journeys/broken.yaml:1:1 error J006" in told.stderr
    assert "2 scenarios: 2 passed, 0 failed" in told.stdout


def test_a_project_without_scenarios_is_wrong_usage(project: Path) -> None:
    (project / "journeys" / "tests" / "viewed.yaml").unlink()
    told = winback()
    assert told.exit_code == 2
    assert "No scenario to run: there is none." in told.stderr
    (project / "journeys" / "tests").rmdir()
    told = winback()
    assert told.exit_code == 2
    assert "There is no folder journeys/tests" in told.stderr


def test_another_folder_of_journeys(project: Path) -> None:
    draft = project / "drafts"
    draft.mkdir()
    (draft / "viewed.yaml").write_text(JOURNEY.replace("2 hours", "3 hours"))
    assert winback("--journeys", "drafts", "journeys/tests").exit_code == 1
    (draft / "tests").mkdir()
    (draft / "tests" / "viewed.yaml").write_text(BAD)
    assert winback("--journeys", "drafts").exit_code == 0


def test_it_touches_no_database_and_no_network(project: Path) -> None:
    """In a process of its own: what it loads is what it can reach."""
    code = (
        "import sys; from click.testing import CliRunner; from engine.cli.main import group\n"
        "told = CliRunner().invoke(group, ['test']); assert told.exit_code == 0, told.output\n"
        "print([m for m in ('psycopg', 'redis', 'flask', 'rq', 'urllib3') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=env, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "[]", ran.stderr


def shipped(*words: str) -> Result:
    files = [str(ROOT / "journeys" / "tests" / f"{name}.yaml") for name in SHIPPED]
    return CliRunner().invoke(group, ["--project-dir", str(ROOT), "test", *files, *words])


def test_the_shipped_journeys_are_proven_to_the_last_branch() -> None:
    told = shipped("--coverage", "100", "--json")
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert {each["journey"] for each in document["coverage"]} == set(SHIPPED)
    assert sum(each["milliseconds"] for each in document["scenarios"]) < 1000


def test_the_examples_for_marketers_pass(tmp_path: Path) -> None:
    readme = (ROOT / "journeys" / "tests" / "README.md").read_text("utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", readme, re.M | re.S)
    assert len(examples) >= 2
    for number, example in enumerate(examples):
        (tmp_path / f"{number}.yaml").write_text(example, "utf-8")
    told = CliRunner().invoke(group, ["--project-dir", str(ROOT), "test", str(tmp_path)])
    assert told.exit_code == 0, told.output


def test_every_key_is_explained_to_marketers() -> None:
    from engine.testing.scenario import expected, parse

    readme = (ROOT / "journeys" / "tests" / "README.md").read_text("utf-8")
    for key in {*parse._KEYS, *parse._COUNTED, *expected._KEYS}:
        assert f"`{key}" in readme or f"{key}:" in readme, key
