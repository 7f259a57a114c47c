"""journeys/README.md, held to what the loader knows: nothing is missing, and all of it runs."""

from __future__ import annotations

import re
import shlex
import shutil
import typing
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from ruamel.yaml import YAML

from engine.cli.main import group
from engine.core.conditions import FUNCTIONS
from engine.core.conditions.filters import FILTERS, TESTS
from engine.core.conditions.translate import NAMES
from engine.core.decision import Outcome
from engine.core.shopper import Shopper
from engine.intake.segment import read_recorded
from engine.language import fields, load_journey, load_journeys, load_policy
from engine.language.moments import DAYS
from engine.language.report import Report
from engine.language.steps import KINDS
from engine.language.tree import Tree
from engine.model.journey import Again, AnyStep, Calendar, Change, Journey, Overdue, WaitUntil
from engine.runtime.simulate import Observer, Simulation
from engine.testing.scenario.parse import parse_scenarios
from engine.testing.scenario.run import run

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "journeys" / "README.md"
PAGES = (README, ROOT / "journeys" / "cookbook" / "README.md")
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
PROSE = re.sub(r"^```.*?^```", "", TEXT, flags=re.DOTALL | re.MULTILINE)
#: What stands in `…` or **…** outside of the examples.
TOLD = " ".join(found[1] or found[2] for found in re.finditer(r"`([^`]+)`|\*\*([^*]+)\*\*", PROSE))
POLICY = load_policy(ROOT / "config" / "winback.yaml")[0]

SHIPPED = [file.stem for file in (ROOT / "journeys").glob("*.yaml")]

#: After all that the examples are about: no event lies in the future.
LATER = datetime(2026, 12, 1, tzinfo=UTC)

#: Around an example that is not a whole journey: what it does not say itself.
AROUND = {
    "trigger": "trigger: {event: Product Viewed, key: event.product_id, again: always}\n",
    "stop": "stop: {event: Order Completed, goal: true}\n",
    "steps": "steps: [{send: email, template: product-left-behind}]\n",
}

_NAMED = re.compile(r"^journey: (\S+)", re.MULTILINE)


def whole(block: str) -> str:
    """The example as a journey that can be loaded."""
    if _NAMED.search(block):
        return block
    if block.startswith("- "):
        block = "steps:\n" + "".join(f"  {line}\n" for line in block.splitlines())
    said = block.split(":")[0]
    return "journey: example\n" + block + "".join(v for k, v in AROUND.items() if k != said)


def is_scenario(block: str) -> bool:
    return block.startswith("- scenario:")


JOURNEYS = [whole(block) for block in BLOCKS if not is_scenario(block)]


def load(text: str, folder: Path) -> Journey:
    """The journey, beside those that it jumps to, without a finding."""
    name = next(_NAMED.finditer(text))[1]
    for other in re.findall(r"jump: (\S+)", text):
        shutil.copy(ROOT / "journeys" / f"{other}.yaml", folder)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    found = load_journeys(folder, policy=POLICY, templates=ROOT / "templates")
    assert [str(finding) for finding in found.diagnostics] == []
    return found.journeys[name]


class Seen(typing.NamedTuple):
    """By the place that a mapping has: the keys known there, those in the examples; and what the
    examples say, of which choices."""

    known: dict[str, set[str]]
    used: dict[str, set[str]]
    choices: dict[str, set[str]]
    journeys: list[Journey]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """All examples, read by the loader while somebody watches what it asks for."""
    found = Seen(defaultdict(set), defaultdict(set), defaultdict(set), [])
    begin, choose = fields.Fields.__init__, fields.read_choice

    def watched(self: Any, report: Report, node: Tree, what: str, known: Any, *more: Any) -> None:
        begin(self, report, node, what, known, *more)
        if Path(report.file).stem not in SHIPPED:
            found.known[what] |= set(known)
            found.used[what] |= {name for name in known if name in self}

    def choosing(
        report: Report, node: Tree, what: str, choices: Sequence[str], *more: Any
    ) -> str | None:
        found.choices[what] |= set(choices)
        return choose(report, node, what, choices, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields.Fields, "__init__", watched)
        patch.setattr(fields, "read_choice", choosing)
        for text in JOURNEYS:
            found.journeys.append(load(text, tmp_path_factory.mktemp("journeys")))
    yield found


def test_every_key_is_in_an_example(seen: Seen) -> None:
    steps = {f"step '{kind}'": set(keys) for kind, keys in KINDS.items()}
    for what, known in seen.known.items():
        # Any step may have a name; to show it once is enough.
        assert seen.used[what] - {"name"} == steps.get(what, known) - {"name"}, what
    assert steps.keys() <= seen.known.keys()
    assert any("name" in seen.used[what] for what in steps)


def test_every_key_is_explained(seen: Seen) -> None:
    keys = {key for known in seen.known.values() for key in known}
    assert {key for key in keys if not re.search(rf"(?<!\w){re.escape(key)}(?!\w)", TOLD)} == set()


def test_every_choice_is_explained(seen: Seen) -> None:
    choices = {choice for found in seen.choices.values() for choice in found} - {"true", "false"}
    choices |= {str(choice) for choice in get_args(typing.get_type_hints(Change)["rule"])}
    choices |= {"day", "month", *set(DAYS) & {"weekdays", "weekend"}}
    assert {choice for choice in choices if not re.search(rf"\b{choice}\b", TOLD)} == set()


def test_every_form_is_in_an_example(seen: Seen) -> None:
    steps = [step for journey in seen.journeys for step in journey.steps.values()]
    assert {type(step) for step in steps} == set(get_args(AnyStep))
    for kind, name in ((Again, "rule"), (Overdue, "rule")):
        found = {
            getattr(value, name)
            for holder in [*steps, *(journey.trigger for journey in seen.journeys)]
            for value in (getattr(holder, field.name) for field in fields_of(holder))
            if isinstance(value, kind)
        }
        assert found == set(get_args(typing.get_type_hints(kind)[name])), kind
    for kind in get_args(AnyStep):
        for name, hint in typing.get_type_hints(kind).items():
            if typing.get_origin(hint) is typing.Literal:
                said = {getattr(step, name) for step in steps if isinstance(step, kind)}
                assert said == set(get_args(hint)), f"{kind.__name__}.{name}"
    calendars: list[Calendar] = [j.trigger.calendar for j in seen.journeys if j.trigger.calendar]
    assert {calendar.date is None for calendar in calendars} == {True, False}
    untils = [step for step in steps if isinstance(step, WaitUntil)]
    assert any(u.weekdays for u in untils) and any(u.at and not u.weekdays for u in untils)
    assert any(u.date and u.shift for u in untils)
    assert {stop.goal for journey in seen.journeys for stop in journey.stops} == {True, False}


def test_all_that_a_condition_can_say_is_explained() -> None:
    section = TOLD[TOLD.index("event.price >= 20") :]
    for word in (*NAMES, *FUNCTIONS, *TESTS, *(name for name in FILTERS if name != "d")):
        assert re.search(rf"\b{word}\b", section), word
    for parameters in FUNCTIONS.values():
        assert "within" in parameters
    assert "within=" in section


@lru_cache
def story() -> tuple[bytes, ...]:
    """A spring in the life of one shopper, to which every example has something to say."""
    told: list[tuple[str, str, str]] = [
        ("2026-03-02T09:00", "Order Completed", '"products": [{"product_id": "p9"}], "price": 9'),
        (
            "2026-03-10T09:00",
            "Product Viewed",
            '"product_id": "p1", "price": 40, "category": "hats"',
        ),
        ("2026-03-10T09:05", "Product Added to Wishlist", '"product_id": "p2"'),
        ("2026-03-10T09:06", "Segment Entered", '"segment": "big-spenders"'),
        ("2026-03-10T09:07", "Segment Left", '"segment": "subscribers"'),
    ]
    traits = '"email": "asha@example.org", "birthday": "1990-05-20", "consent": {"email": true}'
    return (
        b'{"type": "identify", "userId": "asha", "messageId": "0", "traits": {%s},'
        b' "timestamp": "2026-03-01T09:00:00Z"}' % traits.encode(),
        *(
            f'{{"type": "track", "userId": "asha", "messageId": "{number}", "event": "{name}",'
            f' "properties": {{{said}}}, "timestamp": "{at}:00Z"}}'.encode()
            for number, (at, name, said) in enumerate(told, 1)
        ),
    )


class Passed(Observer):
    """Notes the paths at which something was decided."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.paths |= {mark.path for marks in outcome.traces.values() for mark in marks}


@pytest.mark.parametrize("text", JOURNEYS)
def test_every_example_runs(text: str, tmp_path: Path) -> None:
    journey = load(text, tmp_path)
    passed = Passed()
    simulation = Simulation([journey], POLICY, observer=passed)
    for body in story():
        simulation.feed(read_recorded(body, LATER, "US"))
    simulation.finish(timedelta(days=400))
    paths = passed.paths
    assert simulation.tallies[journey.name].enrolled >= 1
    first = journey.start
    assert first is not None
    assert any(path == first or path.startswith(f"{first}/") for path in paths), paths


@pytest.mark.parametrize("block", [block for block in BLOCKS if is_scenario(block)])
def test_every_scenario_shown_passes(block: str, tmp_path: Path) -> None:
    journeys = {j.name: j for j in (load(text, tmp_path) for text in JOURNEYS)}
    report = Report("README.md")
    scenarios = parse_scenarios(block, report, POLICY, journeys)
    assert [str(finding) for finding in report.diagnostics()] == [] and scenarios
    for scenario in scenarios:
        result, _ = run(scenario, journeys, POLICY)
        assert result.failures == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_command_is_real(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    spans = [*re.findall(r"`(winback [^`]+)`", text), *re.findall(r"^(winback .+)$", text, re.M)]
    assert spans
    for span in spans:
        words = shlex.split(span.split(" #")[0])
        command = group.get_command(click.Context(group), words[1])
        assert command is not None, span
        options = {name for each in command.params for name in each.opts}
        assert {word for word in words[2:] if word.startswith("-")} <= options, span


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert links
    for link in links:
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in found}


def test_the_checks_at_every_change_are_real_commands() -> None:
    (block,) = re.findall(r"^```yml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    steps = YAML(typ="safe", pure=True).load(block)["jobs"]["check"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert len(runs) == 3 and re.search(r"^setup:", (ROOT / "Makefile").read_text(), re.M)
    for words in (shlex.split(each.removeprefix(".venv/bin/")) for each in runs[1:]):
        command = group.get_command(click.Context(group), words[1])
        assert words[0] == "winback" and command is not None
        options = {name for each in command.params for name in each.opts}
        assert {word for word in words[2:] if word.startswith("-")} <= options
    written = next(each.split()[-1] for each in runs if "--sarif" in each)
    assert [step["with"]["sarif_file"] for step in steps if "sarif" in str(step.get("with"))] == [
        written
    ]


def test_every_journey_names_its_schema_and_none_gets_a_new_version_by_it() -> None:
    files = [*(ROOT / "journeys").glob("*.yaml"), *(ROOT / "journeys" / "cookbook").glob("*.yaml")]
    assert len(files) >= 18
    for file in files:
        first, _, rest = file.read_text("utf-8").partition("\n")
        found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
        assert found is not None, file
        assert (file.parent / found[1]).resolve() == ROOT / "journeys" / "journey.schema.json"
        with_it, without = (load_journey(text, file.stem)[0] for text in (f"{first}\n{rest}", rest))
        assert with_it is not None and without is not None
        assert with_it.version == without.version


def test_it_is_read_in_twelve_minutes() -> None:
    # At 240 words in a minute; an example is looked at, not read.
    assert len(re.findall(r"\w[\w'.-]*", PROSE)) <= 2880
