"""What journeys of one folder mean for each other, and how soon their steps can follow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.language import load_files, load_journey, load_journeys
from engine.language.ways import soonest


def write(folder: Path, **jumps: str) -> None:
    for name, target in jumps.items():
        last = f"jump: {target}" if target else "exit: done"
        text = f"journey: {name}\ntrigger: {{event: X}}\nsteps:\n  - wait: 1 day\n  - {last}\n"
        (folder / f"{name}.yaml").write_text(text)


def findings(folder: Path) -> list[tuple[str, str, str]]:
    return [
        (Path(found.file).stem, found.code, found.message)
        for found in load_journeys(folder).diagnostics
    ]


def test_a_jump_that_leads_somewhere(tmp_path: Path) -> None:
    write(tmp_path, a="b", b="c", c="")
    assert findings(tmp_path) == []


def test_jumps_in_a_circle_are_told_to_each_of_them(tmp_path: Path) -> None:
    write(tmp_path, a="b", b="c", c="b", d="a")
    assert findings(tmp_path) == [
        ("b", "J063", "this jump comes back: b → c → b"),
        ("c", "J063", "this jump comes back: c → b → c"),
    ]


def test_a_jump_to_a_journey_with_errors_is_no_second_finding(tmp_path: Path) -> None:
    write(tmp_path, a="b", b="")
    (tmp_path / "b.yaml").write_text("journey: b\ntrigger: {event: X}\n")
    assert [name for name, _, _ in findings(tmp_path)] == ["b"]
    assert list(load_journeys(tmp_path).journeys) == ["a"]


def test_a_journey_that_jumps_to_nothing_runs_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, cart="win-bak", **{"win-back": ""})
    found = load_journeys(tmp_path)
    assert sorted(found.journeys) == ["cart", "win-back"]
    [finding] = found.diagnostics
    assert (finding.severity, finding.code, finding.hint) == (
        "warning",
        "J062",
        "did you mean 'win-back'?",
    )
    assert (finding.line, finding.column) == (5, 11)


def test_one_file_alone_knows_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, a="b", b="")
    assert load_files([tmp_path / "a.yaml"]).diagnostics == []


WAYS = """
journey: a
trigger: {event: X}
steps:
  - send: email
    template: t
    topic: orders
  - wait for: {event: Y, at most: 2 days}
    then:
      - wait: 5 days
      - exit: came
  - wait: {until: "18:00"}
  - branch:
      - if: profile.vip
        steps: []
      - else: [{wait: 3 days}]
  - split: {50% a: [{wait: 1 hour}], 50% b: [{jump: b}]}
  - exit: done
"""


def test_the_least_time_between_steps() -> None:
    journey, _ = load_journey(WAYS)
    assert journey is not None
    hours = {
        path: passed // timedelta(hours=1)
        for path, passed in soonest(journey, journey.steps["steps/0"]).items()
    }
    assert hours == {
        "steps/1": 0,
        "steps/1/then/0": 0,
        "steps/1/then/1": 120,
        "steps/2": 48,
        "steps/3": 48,
        "steps/3/branch/1/else/0": 48,
        "steps/4": 48,
        "steps/4/split/0/steps/0": 48,
        "steps/4/split/1/steps/0": 48,
        "steps/5": 49,
    }, "an exit leads nowhere, nor does a jump; the sixth step is reached by an arm alone"


def test_fifty_branches_do_not_multiply() -> None:
    """Each doubles the ways through the journey; the time must not."""
    branch = "  - branch:\n      - if: profile.vip\n        steps: [{wait: 1 day}]\n"
    journey, _ = load_journey(f"journey: a\ntrigger: {{event: X}}\nsteps:\n{branch * 50}")
    assert journey is not None
    found = soonest(journey, journey.steps["steps/0"])
    assert found["steps/49"] == timedelta(0)
    assert len(found) == 2 * 49


TEMPLATES = {
    "plain/email.en.mjml": "Hello",
    "own/email.en.mjml": "{{ offer.coupon }}",
    "by-include/email.en.mjml": '{% include "_deal.mjml" %}',
    "by-layout/email.en.mjml": "{% extends '_layout.mjml' %}",
    "_deal.mjml": '{% include "_coupon.mjml" %}',
    "_coupon.mjml": "{{ offer.coupon }}",
    "_layout.mjml": '{% include "_layout.mjml" %} {{ offer }}',
    "other-channel/email.en.mjml": "Hello",
    "other-channel/sms.en.txt": "{{ offer.coupon }}",
}


@pytest.mark.parametrize(
    "template, shown",
    [
        ("plain", False),
        ("own", True),
        ("by-include", True),
        ("by-layout", True),
        ("other-channel", False),
    ],
)
def test_whether_a_template_shows_the_offer(tmp_path: Path, template: str, shown: bool) -> None:
    for name, text in TEMPLATES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    text = (
        "journey: a\ntrigger: {event: X}\nstop: {event: Order Completed}\nsteps:\n"
        "  - offer: {coupon: W, valid: 1 day}\n"
        f"  - {{send: email, template: {template}}}\n"
    )
    found = load_journey(text, templates=tmp_path)[1]
    assert [finding.code for finding in found] == ([] if shown else ["J059"])
