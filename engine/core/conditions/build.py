"""From Python's syntax tree to a function, and what that function can reach."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from engine.core.conditions import values
from engine.core.conditions.translate import ARITHMETIC, COMPARE
from engine.core.history import bought_product, past


def _bought(facts: Mapping[str, Any], product: Any, within: timedelta | None) -> bool:
    return bought_product(facts["history"], values.text(product), within, facts["now"])


def _did(facts: Mapping[str, Any], event: str, within: timedelta | None) -> bool:
    return any(True for _ in past(facts["history"], event, within, facts["now"]))


def _count(facts: Mapping[str, Any], event: str, within: timedelta | None) -> int:
    return sum(1 for _ in past(facts["history"], event, within, facts["now"]))


#: What compiled conditions can reach: this, their own constants, and nothing else.
_REACHABLE: Final[Mapping[str, Any]] = {
    "__builtins__": {},
    "ArithmeticError": ArithmeticError,
    "KeyError": KeyError,
    "RecursionError": RecursionError,
    "_Missing": values.Missing,
    "_present": values.present,
    "_wrong": values.ConditionError,
    "bought": _bought,
    "did": _did,
    "count": _count,
    **{
        name: getattr(values, name)
        for name in ("item", "joined", *COMPARE.values(), *ARITHMETIC.values())
    },
}
_TEMPLATE: Final = """
def test(facts):
    try:
        value = BODY
    except KeyError as fact:
        raise _wrong(f"{fact.args[0]} is missing") from fact
    except (ArithmeticError, RecursionError) as error:
        raise _wrong("cannot be worked out with these numbers") from error
    return _present(value) if value.__class__ is _Missing else value
"""


class _Fill(ast.NodeTransformer):
    def __init__(self, body: ast.expr) -> None:
        self.body = body

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.body if node.id == "BODY" else node


def function(body: ast.expr, constants: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
    module = ast.fix_missing_locations(_Fill(body).visit(ast.parse(_TEMPLATE)))
    scope = {**_REACHABLE, **constants}
    exec(compile(module, "<condition>", "exec"), scope)
    function: Callable[[Mapping[str, Any]], Any] = scope["test"]
    return function
