"""The steps of a journey: from nested lists to a flat map with links.

A path names the step's place in the YAML: ``steps/3/branch/0/steps/1``. After a nested list the
flow goes on at the step after the one that holds the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from engine.language.actions import FLAT
from engine.language.context import Context
from engine.language.fields import Fields, did_you_mean, read_list
from engine.language.report import Place, Report
from engine.language.tree import Mapping, Scalar, Tree, kind_of, short
from engine.language.waits import read_wait
from engine.model.journey import AnyStep, Arm, Branch, Split, WaitFor

#: The keys of each kind of step, the one that names it first.
KINDS: dict[str, tuple[str, ...]] = {
    "wait": ("wait",),
    "wait for": ("wait for", "then", "else"),
    "send": (
        *("send", "template", "topic", "if overdue", "on_unknown", "when quiet", "when capped"),
        *("offer", "if none left"),
    ),
    "branch": ("branch",),
    "split": ("split",),
    "update": ("update",),
    "audience": ("audience",),
    "emit": ("emit",),
    "webhook": ("webhook", "if overdue"),
    "offer": ("offer", "if none left"),
    "jump": ("jump",),
    "exit": ("exit",),
}
#: Beside these keys ``offer`` is what a message offers, and no step of its own.
_OF_A_MESSAGE = frozenset({"send", "template", "topic", "on unknown"})
_ENDS = ("exit", "jump")
_STEP_NAME = re.compile(r"[^/\s](?:[^/\n]{0,58}[^/\s])?")
#: What a kind of step needs besides its own key.
REQUIRED = {"send": ("template",)}
WAIT_FOR = ("event", "if", "at most")
SHARE = ("percent", "name", "steps")
_SHARE = re.compile(r"([0-9]{1,3}) ?%?(?: +(.*)|)", re.DOTALL)

_Result = tuple[AnyStep | None, bool]


class Flow(NamedTuple):
    """A compiled list: the path it begins at, and whether it can be walked to its end."""

    start: str | None
    goes_on: bool


def compile_steps(context: Context, node: Tree, prefix: str, after: str | None) -> Flow:
    """Compile a list of steps whose paths begin with ``prefix``; ``after`` follows its last."""
    items = read_list(context.report, node, "steps")
    goes_on = True
    for index, item in enumerate(items):
        path = f"{prefix}/{index}"
        if not goes_on:
            context.report.add(
                "J019", item.place, "this step is never reached", "every way before it exits"
            )
            break
        following = f"{prefix}/{index + 1}" if index + 1 < len(items) else after
        goes_on = _compile_step(context, item, path, following)
    return Flow(f"{prefix}/0" if items else after, goes_on)


def _compile_step(context: Context, node: Tree, path: str, following: str | None) -> bool:
    """Compile one step; whether what follows it can be reached."""
    context.places[path] = node.place
    kind = _kind(context, node)
    if kind is None:
        return True
    required = (kind, *REQUIRED.get(kind, ()))
    fields = Fields(context.report, node, f"step '{kind}'", (*KINDS[kind], "name"), required)
    _name(context, fields, path)
    step: AnyStep | None
    if kind in _NESTED:
        step, goes_on = _NESTED[kind](context, fields, path, following)
    else:
        step, goes_on = FLAT[kind](context, fields, path, following), kind not in _ENDS
    if step is not None:
        context.steps[path] = step
    return goes_on


def _name(context: Context, fields: Fields, path: str) -> None:
    """What the step is called in plans, reports and tests."""
    name, node = fields.text("name"), fields.get("name")
    if name is None or node is None:
        return
    if not name.isprintable() or not _STEP_NAME.fullmatch(name):
        hint = "use a word or a few, without '/', at most 60 letters"
        context.report.add("J029", node.place, f"'{short(name)}' cannot name a step", hint)
    elif name in context.names:
        line = context.places[context.names[name]].line
        message = f"another step is called '{short(name)}'"
        context.report.add("J029", node.place, message, f"it stands in line {line}")
    else:
        context.names[name] = path


def _kind(context: Context, node: Tree) -> str | None:
    report = context.report
    if not isinstance(node, Mapping) or not node.entries:
        word = node.text if isinstance(node, Scalar) else ""
        hint = f"write '{word}: …'" if word in KINDS else "write for example 'wait: 2 hours'"
        report.add("J007", node.place, f"a step must be a mapping, not {kind_of(node)}", hint)
        return None
    named = [entry.key for entry in node.entries if entry.key.text.replace("_", " ") in KINDS]
    if any(entry.key.text.replace("_", " ") in _OF_A_MESSAGE for entry in node.entries):
        named = [key for key in named if key.text != "offer"]
    kinds = list(dict.fromkeys(key.text.replace("_", " ") for key in named))
    if not kinds:
        first = node.entries[0].key
        hint = did_you_mean(first.text, KINDS, otherwise=f"steps are {', '.join(KINDS)}")
        report.add("J012", first.place, f"unknown step '{short(first.text)}'", hint)
        return None
    if len(kinds) > 1:
        message = f"'{kinds[0]}' and '{kinds[1]}' are two steps"
        other = next(key for key in named if key.text.replace("_", " ") == kinds[1])
        report.add("J013", other.place, message, f"begin a new entry: '- {kinds[1]}: …'")
        return None
    return kinds[0]


def _wait_for(context: Context, fields: Fields, path: str, following: str | None) -> _Result:
    then, otherwise = (
        Flow(following, True) if nested is None else compile_steps(context, nested, way, following)
        for nested, way in ((fields.get(name), f"{path}/{name}") for name in ("then", "else"))
    )
    goes_on = then.goes_on or otherwise.goes_on
    node = fields.get("wait for")
    if node is None:
        return None, goes_on
    what = Fields(context.report, node, "'wait for'", WAIT_FOR, ("event", "at most"))
    event = context.event(what, path)
    condition = context.condition(what.get("if"), f"{path}/wait for/if")
    at_most = read_wait(context.report, what.get("at most"))
    if event is None or at_most is None:
        return None, goes_on
    step = WaitFor(path, following, event, at_most, condition, then.start, otherwise.start)
    return step, goes_on


def _branch(context: Context, fields: Fields, path: str, following: str | None) -> _Result:
    node = fields.get("branch")
    arms: list[Arm] = []
    goes_on, has_else = False, False
    for index, item in enumerate(read_list(context.report, node, "'branch'") if node else ()):
        if has_else:
            message = "this arm is never reached"
            context.report.add("J019", item.place, message, "put 'else' last")
            break
        place = f"{path}/branch/{index}"
        has_else = isinstance(item, Mapping) and any(e.key.text == "else" for e in item.entries)
        keys = ("else",) if has_else else ("if", "steps")
        arm = Fields(context.report, item, "an arm of a branch", keys, keys)
        steps = arm.get(keys[-1])
        flow = Flow(following, True)
        if steps is not None:
            flow = compile_steps(context, steps, f"{place}/{keys[-1]}", following)
        goes_on = goes_on or flow.goes_on
        condition = context.condition(arm.get("if"), f"{place}/if")
        if has_else or condition is not None:
            arms.append(Arm(flow.start, condition))
    return Branch(path, following, tuple(arms)), goes_on or not has_else


class _Share(NamedTuple):
    place: Place
    percent: int | None
    name: str
    steps: Tree | None


def _split(context: Context, fields: Fields, path: str, following: str | None) -> _Result:
    node = fields.get("split")
    if node is None:
        return None, True
    arms: list[Arm] = []
    goes_on = False
    shares = _shares(context.report, node)
    for index, share in enumerate(shares):
        flow = Flow(following, True)
        if share.steps is not None:
            place = f"{path}/split/{index}/steps"
            flow = compile_steps(context, share.steps, place, following)
        goes_on = goes_on or flow.goes_on
        arms.append(Arm(flow.start, weight=share.percent or 0, name=share.name))
    if not isinstance(node, Scalar) and all(share.percent is not None for share in shares):
        _check_sum(context.report, node, shares)
    return Split(path, following, tuple(arms)), goes_on or not arms


def _check_sum(report: Report, node: Tree, shares: list[_Share]) -> None:
    total = sum(arm.percent or 0 for arm in shares)
    if total != 100:
        hint = "an empty list is an arm that gets nothing: {90%: [...], 10%: []}"
        report.add("J009", node.place, f"the shares add up to {total}%, not to 100%", hint)
    for arm in shares:
        if arm.percent == 0:
            report.add("J009", arm.place, "a share of 0% is never taken", "delete this arm")


def _shares(report: Report, node: Tree) -> list[_Share]:
    if isinstance(node, Mapping):
        return [_keyed_share(report, node, index) for index in range(len(node.entries))]
    shares = []
    for item in read_list(report, node, "'split'"):
        arm = Fields(report, item, "an arm of a split", SHARE, ("percent", "steps"))
        percent, name = arm.percent("percent"), arm.text("name")
        shares.append(_Share(item.place, percent, name or "", arm.get("steps")))
    return shares


def _keyed_share(report: Report, split: Mapping, index: int) -> _Share:
    key, steps = split.entries[index]
    found = _SHARE.fullmatch(key.text.strip())
    if found is None or int(found[1]) > 100:
        hint = "write '50%' or '50% with coupon' before the steps"
        report.add("J009", key.place, f"'{short(key.text)}' is not a share", hint)
        return _Share(key.place, None, "", steps)
    if any(entry.key.text == key.text for entry in split.entries[:index]):
        hint = f"name the arms: {{{found[1]}% a: [...], {found[1]}% b: [...]}}"
        report.add("J004", key.place, f"'{short(key.text)}' comes twice in 'split'", hint)
    return _Share(key.place, int(found[1]), (found[2] or "").strip(), steps)


_NESTED: dict[str, Callable[[Context, Fields, str, str | None], _Result]] = {
    "wait for": _wait_for,
    "branch": _branch,
    "split": _split,
}
