"""The cookbook: every recipe is sound, explained, ready to be copied, and proven by scenarios that
notice when it is changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.language import journey_files, load_journeys, load_policy, load_segments
from engine.model.journey import (
    Again,
    AnyStep,
    Branch,
    Journey,
    OfferStep,
    Send,
    Wait,
    WaitFor,
    WaitUntil,
)
from engine.model.message import Email, Message
from engine.rendering import Renderer
from engine.runtime.simulate_segments import Segments
from engine.testing.scenario.model import Scenario
from engine.testing.scenario.parse import load_scenarios
from engine.testing.scenario.run import run

ROOT = Path(__file__).resolve().parents[2]
COOKBOOK = ROOT / "journeys" / "cookbook"
POLICY = load_policy(ROOT / "config" / "winback.yaml")[0]
FOUND = load_journeys(COOKBOOK, policy=POLICY, templates=ROOT / "templates")
RECIPES = FOUND.journeys
SEGMENTS = Segments.of(load_segments(ROOT / "config" / "segments", policy=POLICY))
PAGE = (COOKBOOK / "README.md").read_text(encoding="utf-8")
#: What a provider or Winback itself tells, and no shop has to send.
OURS = ("Email Clicked", "Calendar Reached", "Segment Entered", "Segment Left")
BEGUN = datetime(2026, 11, 24, 10, tzinfo=UTC)


def winback(*words: str) -> Any:
    told = CliRunner().invoke(group, ["--project-dir", str(ROOT), *words, "--json"])
    assert told.exit_code == 0, told.output
    return json.loads(told.output)


def test_lint_finds_nothing() -> None:
    assert winback("lint", str(COOKBOOK), "--strict")["files"] == len(RECIPES) >= 15
    assert [str(finding) for finding in FOUND.diagnostics] == []


def test_its_scenarios_pass_and_come_to_every_step_and_branch() -> None:
    told = winback("test", "--journeys", str(COOKBOOK), "--coverage", "100")
    assert told["errors"] == []
    assert {each["journey"] for each in told["coverage"] if each["percent"] == 100} == set(RECIPES)
    assert {scenario.journeys for scenario in scenarios()} == {(name,) for name in RECIPES}


@lru_cache
def scenarios() -> tuple[Scenario, ...]:
    files = journey_files(COOKBOOK / "tests")
    found = load_scenarios(files, POLICY, RECIPES, SEGMENTS.rules)
    assert [str(finding) for finding in found.diagnostics] == []
    return tuple(found.scenarios)


def test_no_recipe_is_live_until_it_is_copied() -> None:
    live = load_journeys(ROOT / "journeys", policy=POLICY, templates=ROOT / "templates")
    assert live.journeys and not live.journeys.keys() & RECIPES.keys()


def test_all_of_them_can_be_copied_beside_those_that_are_shipped(tmp_path: Path) -> None:
    for folder in ("journeys", "templates", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in journey_files(COOKBOOK):
        shutil.copy(file, tmp_path / "journeys")
    for file in journey_files(COOKBOOK / "tests"):
        shutil.copy(file, tmp_path / "journeys" / "tests")
    for command in ("lint", "test"):
        told = CliRunner().invoke(group, ["--project-dir", str(tmp_path), command])
        assert told.exit_code == 0, told.output


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading of the page: its cells by the recipe of each row."""
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return {re.sub(r"\[(.+)\]\(\1\.yaml\)", r"\1", row[0]): row[1:] for row in cells[2:]}


def test_the_page_lists_every_recipe_and_what_it_shows() -> None:
    table = rows("Which one")
    assert table.keys() == RECIPES.keys()
    for name, (_, _, shows) in table.items():
        for shown in re.findall(r"`([^`]+)`", shows):
            pattern = ".*".join(re.escape(part.strip(" }")) for part in shown.split("…"))
            assert re.search(pattern, RECIPES[name].source), f"{name}: {shown}"


def events(journey: Journey) -> set[str]:
    """All that a shop must send for a recipe to work."""
    conditions = [journey.trigger.condition, *(stop.condition for stop in journey.stops)]
    for step in journey.steps.values():
        if isinstance(step, Branch):
            conditions += [arm.condition for arm in step.arms]
    asked = {name for each in conditions if each is not None for name, _ in each.history}
    named = {journey.trigger.event, *(stop.event for stop in journey.stops)}
    waits = {step.event for step in journey.steps.values() if isinstance(step, WaitFor)}
    return (asked | named | waits) - set(OURS)


def test_the_page_says_which_events_a_shop_must_send() -> None:
    table = rows("What your shop must send")
    assert table.keys() == RECIPES.keys()
    for name, (sent, _) in table.items():
        assert set(re.findall(r"`([^`]+)`", sent)) == events(RECIPES[name]), name


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_begins_with_what_it_is_for_and_what_it_needs(name: str) -> None:
    source = RECIPES[name].source
    head = " ".join(re.findall(r"^# ?(.*)$", source.split("\njourney:")[0], re.M))
    why, _, needs = head.partition("Your shop must send")
    assert len(why.split()) >= 15 and needs
    # A shop that has orders sends them anyhow.
    for event in events(RECIPES[name]) - {"Order Completed", "Product Viewed"}:
        assert event in needs, event
    assert re.search(r"^ +# ", source, re.M), "say why, beside the step"


def mutants() -> Iterator[Any]:
    """Every recipe, changed in one place."""
    for name, journey in RECIPES.items():
        trigger = journey.trigger
        if trigger.condition is not None:
            changed = replace(journey, trigger=replace(trigger, condition=None))
            yield pytest.param(changed, id=f"{name}: no if")
        # What comes back after months no scenario lives to see.
        again = Again("never" if trigger.again.rule == "always" else "always")
        changed = replace(journey, trigger=replace(trigger, again=again))
        yield pytest.param(changed, id=f"{name}: again {again.rule}")
        for number, stop in enumerate(journey.stops):
            others = journey.stops[:number] + journey.stops[number + 1 :]
            yield pytest.param(replace(journey, stops=others), id=f"{name}: no {stop.path}")
        for path, step in journey.steps.items():
            for what, other in _others(step):
                steps = {**journey.steps, path: other}
                yield pytest.param(replace(journey, steps=steps), id=f"{name}: {path} {what}")


def _others(step: AnyStep) -> Iterator[tuple[str, AnyStep]]:
    if isinstance(step, Wait):
        yield "longer", replace(step, duration=step.duration + timedelta(days=1))
    elif isinstance(step, WaitUntil) and step.at is not None:
        yield "later", replace(step, at=step.at.replace(hour=step.at.hour + 1))
        if step.weekdays:
            yield "any day", replace(step, weekdays=())
        if step.shift:
            yield "not shifted", replace(step, shift=timedelta(0))
    elif isinstance(step, WaitFor):
        yield "shorter", replace(step, at_most=timedelta(minutes=1))
        if step.condition is not None:
            yield "for any", replace(step, condition=None)
    elif isinstance(step, Send):
        yield "another template", replace(step, template="another")
        if step.topic == "orders":
            yield "as an offer", replace(step, topic="offers")
    elif isinstance(step, OfferStep) and "percent" in step.terms:
        yield "more", replace(step, terms={**step.terms, "percent": 50})
    elif isinstance(step, Branch):
        yield "never", replace(step, arms=())


@pytest.mark.parametrize("changed", list(mutants()))
def test_its_scenarios_notice_a_change(changed: Journey) -> None:
    mine = [scenario for scenario in scenarios() if changed.name in scenario.journeys]
    results = [run(scenario, {changed.name: changed}, POLICY, SEGMENTS)[0] for scenario in mine]
    assert not all(result.ok for result in results)


@lru_cache
def renderer() -> Renderer:
    return Renderer(
        ROOT / "templates", POLICY, public_url="https://shop.example", secret="a secret of tests"
    )


def mail(step: Send, locale: str, offer: dict[str, Any]) -> Email:
    message = Message(
        id="0b1c2d3e-0000-0000-0000-000000000001",
        enrollment_id="e",
        profile_id=1,
        journey="j",
        version="v",
        step=step.path,
        channel=step.channel,
        template=step.template,
        topic=step.topic,
        event_id="x",
        created_at=BEGUN,
        due_at=BEGUN,
        offer=offer,
    )
    made = renderer().render(message, {"email": "asha@example.org", "locale": locale}, {})
    assert isinstance(made, Email)
    return made


def mails() -> Iterator[Any]:
    """Every template by what it is about."""
    steps = [step for journey in RECIPES.values() for step in journey.steps.values()]
    sends = [step for step in steps if isinstance(step, Send) and step.channel == "email"]
    for step in {(step.template, step.topic): step for step in sends}.values():
        yield pytest.param(step, id=f"{step.template}-{step.topic}")


@pytest.mark.parametrize("step", list(mails()))
def test_a_mail_says_truly_why_it_comes(step: Send) -> None:
    about_offers = POLICY.topics[step.topic].consent != "none"
    for locale, agreed, ordered in (
        ("en", "agreed to offers", "because you ordered"),
        ("hi", "सहमति दी थी", "ऑर्डर किया था"),
        ("ur", "اجازت دی تھی", "آرڈر کیا تھا"),
    ):
        made = mail(step, locale, {})
        for part in (made.html, made.text):
            assert (agreed in part) == about_offers
            assert (ordered in part) != about_offers


def offered() -> Iterator[Any]:
    """The mails that show what an offer step made."""
    for name, journey in RECIPES.items():
        for offer in journey.steps.values():
            following = journey.steps.get(offer.next or "")
            if isinstance(offer, OfferStep) and isinstance(following, Send):
                yield pytest.param(offer, following, id=f"{name}-{following.template}")


@pytest.mark.parametrize("locale", ["en", "hi", "ur"])
@pytest.mark.parametrize(("offer", "step"), list(offered()))
def test_the_mail_shows_the_code_of_the_run_and_its_end(
    offer: OfferStep, step: Send, locale: str
) -> None:
    assert offer.valid is not None
    end = BEGUN + offer.valid
    terms = {
        **offer.terms,
        "coupon": f"{offer.generate}-7KQ2MXPA",
        "ends_at": end.isoformat(),
    }
    made = mail(step, locale, terms)
    for part in (made.html, made.text):
        assert terms["coupon"] in part
        assert f"{offer.terms['percent']}%" in part
        assert str(end.day) in part
