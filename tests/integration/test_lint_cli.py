"""winback lint, as a person and as a program meets it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import validate

from engine.cli.main import group

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
journey: win-back
trigger:
  event: Order Completed
  again: always
stop: {event: Order Completed, goal: true}
steps:
  - wait: 30 days
  - send: email
    template: win-back
"""
CART = """\
journey: cart
title: "वापस आइए"
trigger: {event: Cart Viewed}
stop: {event: Order Completed}
steps:
  - wait: 1 hour
  - update: {शहर: दिल्ली, tier: "= price > 3"}
  - wiat: 2 hours
"""
FINDING = {
    "type": "object",
    "required": ["file", "line", "column", "severity", "code", "message", "hint"],
    "properties": {
        "line": {"type": "integer", "minimum": 1},
        "column": {"type": "integer", "minimum": 1},
        "severity": {"enum": ["error", "warning"]},
        "code": {"type": "string", "pattern": "^J[0-9]{3}$"},
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "journeys").mkdir()
    (tmp_path / "templates" / "win-back").mkdir(parents=True)
    (tmp_path / "templates" / "win-back" / "email.en.mjml").write_text("<mjml></mjml>")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "winback.yaml").write_text("shop: {name: Chai & Co}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project: Path, **journeys: str) -> None:
    for name, text in journeys.items():
        (project / "journeys" / f"{name.replace('_', '-')}.yaml").write_text(text, encoding="utf-8")


def lint(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["lint", *arguments], standalone_mode=False)


def code_of(result: Result) -> int:
    assert result.exception is None, result.exception
    return int(result.return_value or 0)


def test_nothing_to_say(project: Path) -> None:
    write(project, win_back=GOOD)
    result = lint()
    assert code_of(result) == 0
    assert result.output == "1 journey: 0 errors, 0 warnings\n"


def test_the_line_and_a_caret_under_the_place(project: Path) -> None:
    write(project, cart=CART, win_back=GOOD)
    result = lint()
    assert code_of(result) == 1
    assert result.output.splitlines() == [
        "journeys/cart.yaml:7:36 error J014 unknown name 'price' — did you mean 'event.price'?",
        '    7 │   - update: {शहर: दिल्ली, tier: "= price > 3"}',
        "      │                                 ^",
        "journeys/cart.yaml:8:5 error J012 unknown step 'wiat' — did you mean 'wait'?",
        "    8 │   - wiat: 2 hours",
        "      │     ^",
        "2 journeys: 2 errors, 0 warnings",
        "Each code is explained by: winback lint --explain CODE",
    ]


def test_brackets_in_a_line_are_not_markup(project: Path) -> None:
    write(project, a="journey: a\ntrigger: {event: X}\nsteps: [{split: {'[red]x[/]': []}}]\n")
    assert "'[red]x[/]' is not a share" in lint().output


def test_a_pipe_gets_whole_lines(project: Path) -> None:
    long = "x" * 200
    write(project, a=f"journey: a\ntrigger: {{event: X}}\nsteps:\n  - wiat: 1 day # {long}\n")
    assert f"    4 │   - wiat: 1 day # {long}" in lint().output.splitlines()


def test_warnings_count_only_when_asked(project: Path) -> None:
    write(project, win_back=GOOD.replace("stop: {event: Order Completed, goal: true}\n", ""))
    result = lint()
    assert code_of(result) == 0
    assert "journeys/win-back.yaml:7:5 warning J051" in result.output
    assert "1 journey: 0 errors, 1 warning" in result.output
    assert code_of(lint("--strict")) == 1


def test_json_for_programs(project: Path) -> None:
    write(project, cart=CART)
    result = lint("--json")
    assert code_of(result) == 1
    answer = json.loads(result.output)
    assert (answer["files"], answer["errors"], answer["warnings"]) == (1, 2, 0)
    for finding in answer["diagnostics"]:
        validate(finding, FINDING)
    assert answer["diagnostics"][1] == {
        "file": "journeys/cart.yaml",
        "line": 8,
        "column": 5,
        "severity": "error",
        "code": "J012",
        "message": "unknown step 'wiat'",
        "hint": "did you mean 'wait'?",
    }


def test_files_and_folders_may_be_named(project: Path) -> None:
    write(project, cart=CART, win_back=GOOD)
    assert code_of(lint("journeys/win-back.yaml")) == 0
    assert code_of(lint("journeys/cart.yaml")) == 1
    assert code_of(lint("journeys")) == 1


def test_the_template_and_the_rules_are_those_of_the_project(project: Path) -> None:
    write(project, win_back=GOOD.replace("template: win-back", "template: winback"))
    assert "there is no template 'winback' — did you mean 'win-back'?" in lint().output
    write(project, win_back=GOOD + "    topic: news\n")
    assert "unknown topic 'news' — there are offers, orders" in lint().output
    (project / "config" / "winback.yaml").write_text("topics: {news: {consent: opt-in}}\n")
    assert code_of(lint()) == 0


def test_the_rules_are_checked_too(project: Path) -> None:
    write(project, win_back=GOOD)
    (project / "config" / "winback.yaml").write_text("shop: {currency: Euro}\n")
    result = lint()
    assert code_of(result) == 1
    assert "config/winback.yaml:1:18 error J011 'currency' cannot be 'Euro'" in result.output


def test_project_dir(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, cart=CART)
    monkeypatch.chdir(project.parent)
    arguments = ["--project-dir", str(project), "lint"]
    result = CliRunner().invoke(group, arguments, standalone_mode=False)
    assert code_of(result) == 1
    assert f"{project.name}/journeys/cart.yaml:8:5 error J012" in result.output


def test_explain(project: Path) -> None:
    result = lint("--explain", "j012")
    assert code_of(result) == 0
    assert result.output.startswith("J012 (error): unknown step\n\nA step begins with one of:")
    answer = json.loads(lint("--explain", "J051", "--json").output)
    assert (answer["code"], answer["severity"]) == ("J051", "warning")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--explain", "J999"], "There is no code 'J999'"),
        (["absent.yaml"], "'absent.yaml' does not exist"),
        ([], "There is no folder journeys"),
        (["--jsn"], "No such option"),
    ],
)
def test_wrong_usage_is_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "lint", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_exit_code_of_the_real_command(project: Path) -> None:
    write(project, cart=CART)
    result = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "lint"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert not re.search(r"\x1b", result.stdout), "no colours into a pipe"
    assert "J012" in result.stdout


def test_the_shipped_journeys_are_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    if not list((ROOT / "journeys").glob("*.yaml")):
        pytest.fail("no journeys are shipped")
    monkeypatch.chdir(ROOT)
    result = lint("--strict")
    assert code_of(result) == 0, result.output
