"""winback lint, as a person and as a program meets it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
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
MAIL = """\
---
subject: "Hello"
---
<mjml><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>
"""
WORST = """\
At most, one shopper gets within 7 days:
                 email  in all
  win-back           1       1
  together           1       1
  with the caps      1       1  no cap holds anything back
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
        "code": {"type": "string", "pattern": "^[JST][0-9]{3}$"},
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "journeys").mkdir()
    (tmp_path / "templates" / "win-back").mkdir(parents=True)
    (tmp_path / "templates" / "win-back" / "email.en.mjml").write_text(MAIL)
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
    assert result.output == WORST + "1 journey: 0 errors, 0 warnings\n"


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
        *WORST.splitlines(),
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


def test_the_worst_case_for_programs(project: Path) -> None:
    write(
        project,
        win_back=GOOD.replace("always", "always\n  key: event.order_id"),
        cart=GOOD.replace("journey: win-back", "journey: cart"),
    )
    (project / "config" / "winback.yaml").write_text("caps: [{messages: 1, within: 7 days}]\n")
    answer = json.loads(lint("--json").output)["worst_case"]
    assert answer == {
        "within": "7 days",
        "journeys": [
            {"journey": "cart", "for_each": None, "messages": {"email": 1, "*": 1}},
            {"journey": "win-back", "for_each": "event.order_id", "messages": {"email": 1, "*": 1}},
        ],
        "before_caps": {"email": None, "*": None},
        "after_caps": {"email": 1, "*": 1},
        "binding_caps": [{"messages": 1, "within": "7 days", "channel": "*", "topic": "*"}],
    }


def test_the_worst_case_names_keys_caps_and_what_no_cap_holds(project: Path) -> None:
    write(
        project,
        win_back=GOOD.replace("always", "always\n  key: event.order_id"),
        care=GOOD.replace("journey: win-back", "journey: care") + "    topic: orders\n",
    )
    (project / "config" / "winback.yaml").write_text("caps: [{messages: 1, within: 1 day}]\n")
    lines = lint().output.splitlines()
    assert lines[2:7] == [
        "  care                      1         1",
        "  win-back                  1         1  for each event.order_id",
        "  together           no bound  no bound  no bound but that of the caps",
        "  with the caps             7         7  held by: 1 in 1 day",
        "  and without a cap         1         1  topics that need no consent",
    ]


def test_many_journeys_are_counted(project: Path) -> None:
    names = [f"j{number:02}" for number in range(15)]
    write(
        project, **{name: GOOD.replace("journey: win-back", f"journey: {name}") for name in names}
    )
    output = lint().output
    assert "j11" in output and "j12" not in output
    assert "and 3 more journeys" in output
    assert re.search(r"together +15 +15\n", output)


def test_rivals_for_a_cap(project: Path) -> None:
    (project / "config" / "winback.yaml").write_text("caps: [{messages: 1, within: 7 days}]\n")
    write(project, a=GOOD.replace(": win-back\ntr", ": a\ntr"), win_back=GOOD)
    result = lint()
    assert "journeys/a.yaml:3:10 warning J067 together with 'win-back'" in result.output
    assert (code_of(result), code_of(lint("--strict"))) == (0, 1)
    write(project, win_back="priority: 1\n" + GOOD)
    assert code_of(lint("--strict")) == 0


def test_templates_are_checked_where_they_are_written(project: Path) -> None:
    write(project, win_back=GOOD)
    template = project / "templates" / "win-back" / "email.en.mjml"
    template.write_text(MAIL.replace("Hi", "{{ event.totl }} {{ offer.coupon }}"))
    lines = lint().output.splitlines()
    assert lines[0].startswith("templates/win-back/email.en.mjml:4:51 warning T003 'event.totl'")
    assert lines[0].endswith("did you mean 'total'?")
    assert lines[2].index("^") == lines[1].index("event.totl")
    assert lines[3].startswith("templates/win-back/email.en.mjml:4:68 warning T004 'offer.coupon'")
    template.write_text(MAIL.replace("Hi", "{{ event.total"))
    result = lint()
    assert code_of(result) == 1
    assert "templates/win-back/email.en.mjml:4:1 error T002" in result.output


def test_a_broken_journey_does_not_hide_its_template(project: Path) -> None:
    write(project, win_back=GOOD.replace("wait: 30 days", "wiat: 30 days"))
    (project / "templates" / "win-back" / "email.en.mjml").write_text("{{")
    assert [f["code"] for f in json.loads(lint("--json").output)["diagnostics"]] == ["J012", "T002"]


def test_sarif_beside_what_is_printed(project: Path) -> None:
    write(project, cart=CART)
    (project / "out").mkdir()
    result = lint("--sarif", "out/lint.sarif")
    assert code_of(result) == 1
    assert "journeys/cart.yaml:8:5 error J012" in result.output
    run = json.loads((project / "out" / "lint.sarif").read_text())["runs"][0]
    assert [found["ruleId"] for found in run["results"]] == ["J014", "J012"]
    both = lint("--sarif", "out/lint.sarif", "--json")
    assert len(json.loads(both.output)["diagnostics"]) == 2


def test_sarif_that_cannot_be_written(project: Path) -> None:
    write(project, win_back=GOOD)
    with pytest.raises(click.UsageError, match="cannot be written: No such file"):
        CliRunner().invoke(
            group, ["lint", "--sarif", "no/x"], standalone_mode=False, catch_exceptions=False
        )


@pytest.mark.parametrize("arguments", [["--schema"], ["--schema", "journeys"]])
def test_the_schema_that_is_published(project: Path, arguments: list[str]) -> None:
    result = lint(*arguments)
    assert code_of(result) == 0
    assert result.output == (ROOT / "journeys" / "journey.schema.json").read_text("utf-8")


def test_the_schema_of_the_rules(project: Path) -> None:
    assert json.loads(lint("--schema", "rules").output)["title"] == "The shop's rules of Winback"


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
        (["--schema", "templates"], "'templates' is not one of"),
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


def test_segments_are_linted_along_and_alone(project: Path) -> None:
    folder = project / "config" / "segments"
    folder.mkdir()
    (folder / "lookers.yaml").write_text(
        "segment: lookers\nwho:\n  - did: Page\n    whithin: 3 days\n"
    )
    (folder / "good.yaml").write_text("segment: good\nwho: {in journey: win-bak}\n")
    welcome = "journey: welcome\ntrigger: {segment: {entered: god}}\nsteps: [{exit: hello}]\n"
    write(project, win_back=GOOD, welcome=welcome)
    result = lint()
    assert code_of(result) == 1
    lines = result.output.splitlines()
    for line in (
        "config/segments/lookers.yaml:4:5 error J005 unknown key 'whithin' in rule 'did' — did you"
        " mean 'within'?",
        "config/segments/good.yaml:2:19 warning S051 there is no journey 'win-bak' — did you mean"
        " 'win-back'?",
        "journeys/welcome.yaml:2:30 warning S052 there is no segment 'god' — did you mean 'good'?",
        "2 journeys, 2 segments: 1 error, 2 warnings",
    ):
        assert line in lines
    alone = lint("config/segments/good.yaml")
    assert code_of(alone) == 0 and "0 journeys, 1 segment: 0 errors" in alone.output
    both = json.loads(lint("config/segments", "--json").output)
    assert (both["files"], both["errors"]) == (2, 1)
    assert "good" not in lint("journeys/win-back.yaml").output
    assert '"A segment of Winback"' in lint("--schema", "segments").output
