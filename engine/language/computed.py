"""Free mappings of which a value, written ``= expression``, may be computed."""

from __future__ import annotations

from typing import Any

from engine.language.context import Context
from engine.language.fields import Fields
from engine.language.report import Report
from engine.language.tree import Mapping, Scalar, Tree, plain_value, short
from engine.model.journey import Condition

Values = tuple[tuple[str, Any | Condition], ...]


def check_twice(report: Report, node: Mapping, what: str) -> None:
    """Report the keys of a free mapping that come twice."""
    seen: set[str] = set()
    for entry in node.entries:
        if entry.key.text in seen:
            report.add("J004", entry.key.place, f"'{short(entry.key.text)}' comes twice in {what}")
        seen.add(entry.key.text)


def read_values(context: Context, node: Mapping, what: str, path: str) -> Values:
    """The entries of a mapping, constants typed and expressions compiled."""
    check_twice(context.report, node, what)
    values: list[tuple[str, Any | Condition]] = []
    for key, value in node.entries:
        if _computed(value):
            assert isinstance(value, Scalar)
            skip = len(value.text) - len(value.text[1:].lstrip())
            found = context.condition(value, f"{path}/{key.text}", skip)
            if found is not None:
                values.append((key.text, found))
        else:
            _check_inner(context.report, value)
            values.append((key.text, plain_value(value)))
    return tuple(values)


def given_values(context: Context, fields: Fields, name: str, path: str) -> Values:
    """The mapping under ``name``, which may be left out."""
    node = fields.get(name)
    if node is None:
        return ()
    if not isinstance(node, Mapping):
        hint = f"write {name}: {{product: = key}}"
        context.report.add("J007", node.place, f"'{name}' must be a mapping", hint)
        return ()
    return read_values(context, node, f"'{name}'", f"{path}/{name}")


def _computed(node: Tree) -> bool:
    return isinstance(node, Scalar) and node.text.startswith("=")


def _check_inner(report: Report, node: Tree) -> None:
    """What is written within a list or a mapping is taken as it stands: say so where it would
    surprise."""
    work = [node]
    while work:
        inner = work.pop()
        if _computed(inner) and inner is not node:
            message = "only a value of the outermost mapping can be computed"
            report.add("J011", inner.place, message, "move it up, under a key of its own")
        elif isinstance(inner, Mapping):
            work += [entry.value for entry in inner.entries]
        elif not isinstance(inner, Scalar):
            work += inner.items
