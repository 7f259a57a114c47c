"""From the text of a journey to the journey that the core runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.core.conditions import names_used
from engine.language.context import Context
from engine.language.fields import Fields, read_text
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.sense import check_sense
from engine.language.steps import compile_steps
from engine.language.tree import Listing, Mapping, Tree, canonical, kind_of, short
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Again, Condition, Journey, Stop, Trigger
from engine.model.policy import Policy

_KEYS = ("journey", "title", "trigger", "stop", "holdout", "steps")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_AFTER = "after "


@dataclass(frozen=True, slots=True)
class JourneySet:
    """The journeys of a folder that can run, by name, and the findings about all of them."""

    journeys: dict[str, Journey]
    diagnostics: list[Diagnostic]


def load_journeys(
    directory: Path, *, policy: Policy | None = None, templates: Path | None = None
) -> JourneySet:
    """Read every ``*.yaml`` (or ``*.yml``) in ``directory``. A bad file hurts only itself (P10)."""
    if not directory.is_dir():
        report = Report(str(directory))
        report.add("J001", Place(1, 1), "there is no such folder", "start Winback in your project")
        return JourneySet({}, report.diagnostics())
    return load_files(journey_files(directory), policy=policy, templates=templates)


def journey_files(directory: Path) -> list[Path]:
    """Where the journeys of a folder are: every ``*.yaml`` and ``*.yml`` that is not hidden."""
    return sorted(
        file
        for file in directory.iterdir()
        if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
    )


def load_files(
    files: Iterable[Path], *, policy: Policy | None = None, templates: Path | None = None
) -> JourneySet:
    """Read these journeys. Two files of one name in one folder: neither runs."""
    journeys: dict[str, Journey] = {}
    diagnostics: list[Diagnostic] = []
    first: dict[tuple[Path, str], Path] = {}
    for file in files:
        journey, found = load_journey(file, policy=policy, templates=templates)
        diagnostics += found
        other = first.setdefault((file.parent, file.stem), file)
        if other != file:
            for one, two in ((file, other), (other, file)):
                report = Report(str(one))
                message = f"the journey '{file.stem}' is in {two.name} too"
                report.add("J020", Place(1, 1), message, "delete one of the two")
                diagnostics += report.diagnostics()
            journeys.pop(file.stem, None)
        elif journey is not None:
            journeys[journey.name] = journey
    return JourneySet(journeys, sorted(diagnostics))


def load_journey(
    source: Path | str | bytes,
    name: str | None = None,
    *,
    policy: Policy | None = None,
    templates: Path | None = None,
) -> tuple[Journey | None, list[Diagnostic]]:
    """Read one journey from a file (Path) or from text. Never raises.

    ``name`` is what it must be called: by default the stem of the file; for text without a name
    any. Without ``policy`` topics are not checked, without ``templates`` templates are not. The
    journey is None if there is an error among the diagnostics.
    """
    if isinstance(source, Path):
        report = Report(str(source))
        name = source.stem if name is None else name
        try:
            content: str | bytes = source.read_bytes()
        except OSError as error:
            report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
            return None, report.diagnostics()
    else:
        report, content = Report(f"{name or 'journey'}.yaml"), source
    tree = parse(content, report)
    if tree is None:
        return None, report.diagnostics()
    context = Context(report, policy, templates)
    journey = _compile(context, tree, name, content)
    if journey is not None:
        check_sense(context, journey)
    return (None if report.failed else journey), report.diagnostics()


def _compile(
    context: Context, tree: Tree, expected: str | None, content: str | bytes
) -> Journey | None:
    report = context.report
    if not isinstance(tree, Mapping):
        message = f"a journey is a mapping of keys, not {kind_of(tree)}"
        report.add("J002", tree.place, message, "start with 'journey: ' and its name")
        return None
    fields = Fields(report, tree, "a journey", _KEYS, ("journey", "trigger", "steps"))
    name = _name(report, fields, expected)
    title = fields.text("title")
    trigger = _trigger(context, fields.get("trigger"))
    stops = _stops(context, fields.get("stop"))
    holdout = fields.percent("holdout")
    steps = fields.get("steps")
    start = compile_steps(context, steps, "steps", None).start if steps is not None else None
    if isinstance(steps, Listing) and not steps.items:
        report.add("J007", steps.place, "a journey needs at least one step")
    if name is None or trigger is None:
        return None
    return Journey(
        name=name,
        version=hashlib.sha256(canonical(tree).encode()).hexdigest()[:12],
        title=title or name,
        trigger=trigger,
        stops=stops,
        holdout=holdout or 0,
        start=start,
        steps=context.steps,
        source=content if isinstance(content, str) else content.decode("utf-8-sig"),
    )


def _name(report: Report, fields: Fields, expected: str | None) -> str | None:
    name, node = fields.text("journey"), fields.get("journey")
    if name is None or node is None:
        return None
    if not _NAME.fullmatch(name) or len(name) > 100:
        hint = "use small letters, digits and '-', at most 100"
        report.add("J010", node.place, f"'{short(name)}' cannot be the name of a journey", hint)
    elif expected is not None and name != expected:
        message = f"the journey '{name}' is in the file '{short(expected)}.yaml'"
        report.add("J010", node.place, message, "give both the same name")
    return name


def _trigger(context: Context, node: Tree | None) -> Trigger | None:
    if node is None:
        return None
    fields = Fields(
        context.report, node, "the trigger", ("event", "if", "key", "again"), ("event",)
    )
    event = context.event(fields, "trigger")
    condition = context.condition(fields.get("if"), "trigger/if")
    key = context.condition(fields.get("key"), "trigger/key")
    if key is not None:
        _check_key(context, key)
    again = _again(context, fields.get("again"))
    return None if event is None else Trigger(event, condition, key, again)


def _check_key(context: Context, key: Condition) -> None:
    foreign = sorted({holder for holder, _ in names_used(key)} - {"event"})
    if foreign or key.history:
        what = f"'{foreign[0]}'" if foreign else "the history"
        place = context.texts["trigger/key"].place
        context.report.add(
            "J015",
            place,
            f"the key cannot depend on {what}",
            "take it from the event: event.product_id",
        )


def _again(context: Context, node: Tree | None) -> Again:
    rule = None if node is None else read_text(context.report, node, "'again'")
    if node is None or rule is None or rule == "never":
        return Again()
    if rule == "always":
        return Again("always")
    if rule.startswith(_AFTER):
        after = context.duration_after(node, len(_AFTER))
        return Again() if after is None else Again("after", after)
    message = f"'again' cannot be '{short(rule)}'"
    context.report.add("J011", node.place, message, "write never, always, or after 30 days")
    return Again()


def _stops(context: Context, node: Tree | None) -> tuple[Stop, ...]:
    if node is None:
        return ()
    items = node.items if isinstance(node, Listing) else [node]
    stops = []
    for index, item in enumerate(items):
        path = f"stop/{index}"
        fields = Fields(context.report, item, "a stop", ("event", "if", "goal"), ("event",))
        event = context.event(fields, path)
        condition = context.condition(fields.get("if"), f"{path}/if")
        goal = fields.boolean("goal")
        if event is not None:
            stops.append(Stop(event, condition, goal or False, path))
    return tuple(stops)
