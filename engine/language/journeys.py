"""From the text of a journey to the journey that the core runs."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from engine.language.context import Context
from engine.language.fields import Fields
from engine.language.moments import read_moment, read_timezone
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.sense import check_sense
from engine.language.steps import compile_steps
from engine.language.tree import Listing, Mapping, Tree, canonical, kind_of, short
from engine.language.triggers import add_without, read_trigger
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Change, Journey, Stop
from engine.model.policy import Policy

#: What a journey says, what it must say, and what a stop says.
KEYS = (
    *("journey", "title", "owner", "priority", "starts", "ends", "timezone", "on change"),
    *("trigger", "stop", "holdout", "steps"),
)
REQUIRED = ("journey", "trigger", "steps")
STOP = ("event", "if", "goal")
CHANGES = ("finish", "move", "leave")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PRIORITY = re.compile(r"[+-]?[0-9]{1,4}")


class ReadJourney(NamedTuple):
    """A journey as it was read: None with an error in its ``report``; ``places`` of its steps."""

    journey: Journey | None
    report: Report
    places: dict[str, Place]


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
    found = read_journey(source, name, policy=policy, templates=templates)
    return found.journey, found.report.diagnostics()


def read_journey(
    source: Path | str | bytes,
    name: str | None = None,
    *,
    policy: Policy | None = None,
    templates: Path | None = None,
) -> ReadJourney:
    """As ``load_journey``, for those who have more to say about the journey."""
    if isinstance(source, Path):
        report = Report(str(source))
        name = source.stem if name is None else name
        try:
            content: str | bytes = source.read_bytes()
        except OSError as error:
            report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
            return ReadJourney(None, report, {})
    else:
        report, content = Report(f"{name or 'journey'}.yaml"), source
    tree = parse(content, report)
    if tree is None:
        return ReadJourney(None, report, {})
    context = Context(report, policy, templates)
    journey = _compile(context, tree, name, content)
    if journey is not None:
        check_sense(context, journey)
    return ReadJourney(None if report.failed else journey, report, context.places)


def _compile(
    context: Context, tree: Tree, expected: str | None, content: str | bytes
) -> Journey | None:
    report = context.report
    if not isinstance(tree, Mapping):
        message = f"a journey is a mapping of keys, not {kind_of(tree)}"
        report.add("J002", tree.place, message, "start with 'journey: ' and its name")
        return None
    fields = Fields(report, tree, "a journey", KEYS, REQUIRED)
    name = _name(report, fields, expected)
    title = fields.text("title")
    begin = fields.get("trigger")
    trigger, without = (None, None) if begin is None else read_trigger(context, begin)
    stops = _stops(context, fields.get("stop"))
    holdout = fields.percent("holdout")
    steps = fields.get("steps")
    start = compile_steps(context, steps, "steps", None).start if steps is not None else None
    if isinstance(steps, Listing) and not steps.items:
        report.add("J007", steps.place, "a journey needs at least one step")
    if start is not None and without is not None:
        start = add_without(context, without, start)
    when = _when(context, fields)
    owner, priority, change = fields.text("owner"), _priority(fields), _change(fields)
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
        priority=priority,
        starts=when.starts,
        ends=when.ends,
        owner=owner or "",
        timezone=when.timezone,
        change=change,
        names=context.names,
    )


class _When(NamedTuple):
    starts: datetime | None
    ends: datetime | None
    timezone: str


def _when(context: Context, fields: Fields) -> _When:
    node = fields.get("timezone")
    zone = "" if node is None else read_timezone(context.report, node) or ""
    shop = "UTC" if context.policy is None else context.policy.shop.timezone
    starts, ends = (
        None if value is None else read_moment(context.report, value, f"'{name}'", zone or shop)
        for name, value in ((name, fields.get(name)) for name in ("starts", "ends"))
    )
    context.places["ends"] = fields.key_place("ends")
    return _When(starts, ends, zone)


def _priority(fields: Fields) -> int:
    text, node = fields.text("priority"), fields.get("priority")
    if text is None or node is None:
        return 0
    if not _PRIORITY.fullmatch(text):
        message = f"'priority' cannot be '{short(text)}'"
        fields.report.add("J011", node.place, message, "write a whole number, -9999 to 9999")
        return 0
    return int(text)


def _change(fields: Fields) -> Change:
    match fields.choice("on change", CHANGES):
        case "move":
            return Change("move")
        case "leave":
            return Change("leave")
    return Change()


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


def _stops(context: Context, node: Tree | None) -> tuple[Stop, ...]:
    if node is None:
        return ()
    items = node.items if isinstance(node, Listing) else [node]
    stops = []
    for index, item in enumerate(items):
        path = f"stop/{index}"
        fields = Fields(context.report, item, "a stop", STOP, ("event",))
        event = context.event(fields, path)
        condition = context.condition(fields.get("if"), f"{path}/if")
        goal = fields.boolean("goal")
        if event is not None:
            stops.append(Stop(event, condition, goal or False, path))
    return tuple(stops)
