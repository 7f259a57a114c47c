"""Conditions: Jinja expressions, compiled once to a Python function and called for every event.

Jinja's own ``compile_expression`` builds a template context for each call, which costs 20 times
as much as the comparison it is for. So Jinja's parser gives the syntax tree, only the nodes
named here are translated, each to a call of a function of engine.core.conditions.values, and
CPython compiles the result. There is no other sandbox: what is not named here does not exist.

Missing values, numbers and texts: see engine.core.conditions.values. ``bought``, ``did`` and
``count`` look at ``facts["history"]``, an engine.core.history.History, up to ``facts["now"]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from engine.core.conditions.build import function
from engine.core.conditions.syntax import ConditionSyntaxError, parse
from engine.core.conditions.translate import FUNCTIONS, NAMES, Translator, constant
from engine.core.conditions.values import ConditionError, Missing
from engine.model.journey import Condition

__all__ = [
    "FUNCTIONS",
    "NAMES",
    "ConditionError",
    "ConditionSyntaxError",
    "Missing",
    "compile_condition",
    "holds",
    "names_used",
]


def compile_condition(source: str, path: str) -> Condition:
    """Compile an expression; ``path`` is its place in the YAML. Raises ConditionSyntaxError.

    Calling ``condition.test(facts)`` gives the value, or raises ConditionError where it is
    missing or cannot be worked out.
    """
    translator = Translator()
    body = translator.value(parse(source), 0)
    test = function(body, translator.constants)
    windows = tuple(sorted(translator.windows))
    return Condition(source, test, path, translator.looks_back(), windows)


def holds(condition: Condition, facts: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the condition is true; if it cannot be decided, False and the reason in words."""
    try:
        return bool(condition.test(facts)), ""
    except ConditionError as error:
        return False, str(error)


@lru_cache(maxsize=4096)
def names_used(condition: Condition) -> frozenset[tuple[str, str]]:
    """The facts a condition reads: ``{("event", "price"), ("key", "")}``; "" is the whole."""
    found: set[tuple[str, str]] = set()
    inner: set[int] = set()
    for node in [*_walk(parse(condition.source))]:
        held = getattr(node, "node", None)
        if isinstance(node, nodes.Getattr | nodes.Getitem) and isinstance(held, nodes.Name):
            name = node.attr if isinstance(node, nodes.Getattr) else constant(node.arg)
            found.add((held.name, name if isinstance(name, str) else ""))
            inner.add(id(held))
        elif isinstance(node, nodes.Call):
            inner.add(id(node.node))
        elif isinstance(node, nodes.Name) and id(node) not in inner:
            found.add((node.name, ""))
    return frozenset(found)


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)
