"""Free mappings whose values, written ``= expression``, may be computed."""

from __future__ import annotations

from typing import Any

from engine.language.context import Context
from engine.language.fields import Fields
from engine.language.report import Report
from engine.language.tree import Listing, Mapping, Tree, plain_value, short
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
    """The entries of a mapping, constants typed and expressions compiled, however deep."""
    check_twice(context.report, node, what)
    return tuple(
        (key.text, _value(context, value, what, f"{path}/{key.text}"))
        for key, value in node.entries
    )


def _value(context: Context, node: Tree, what: str, path: str) -> Any:
    if isinstance(node, Mapping):
        return dict(read_values(context, node, what, path))
    if isinstance(node, Listing):
        return [
            _value(context, item, what, f"{path}/{index}") for index, item in enumerate(node.items)
        ]
    if node.text.startswith("="):
        skip = len(node.text) - len(node.text[1:].lstrip())
        return context.condition(node, path, skip)
    return plain_value(node)


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
