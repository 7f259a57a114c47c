"""From Jinja's syntax tree to Python's: only what is named here exists in a condition."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from jinja2 import nodes

from engine.core.conditions.filters import FILTERS, TESTS
from engine.core.conditions.syntax import ConditionSyntaxError
from engine.core.conditions.values import Missing, shown
from engine.core.durations import DurationError, parse_duration

#: What a condition may speak of, and the functions it may call with their parameters.
NAMES: Final = ("event", "trigger", "key", "profile", "now")
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "bought": ("product_id", "within"),
    "did": ("event_name", "within"),
    "count": ("event_name", "within"),
}
#: Deeper than any condition a person can read.
DEEPEST: Final = 60

_ORDER = "Order Completed"
COMPARE: Final[Mapping[str, str]] = {
    "eq": "equal",
    "ne": "unequal",
    "lt": "less",
    "lteq": "at_most",
    "gt": "more",
    "gteq": "at_least",
    "in": "contains",
    "notin": "not_contains",
}
ARITHMETIC: Final[Mapping[type[nodes.Expr], str]] = {
    nodes.Add: "add",
    nodes.Sub: "subtract",
    nodes.Mul: "multiply",
    nodes.Div: "divide",
    nodes.FloorDiv: "floor_divide",
    nodes.Mod: "modulo",
    nodes.Neg: "negative",
    nodes.Pos: "positive",
}


@dataclass(slots=True)
class Translator:
    """Jinja nodes to Python's; collects the constants and what history is asked for."""

    constants: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, timedelta | None] = field(default_factory=dict)
    windows: set[tuple[str, timedelta]] = field(default_factory=set)

    def looks_back(self) -> tuple[tuple[str, timedelta | None], ...]:
        return tuple(sorted(self.asked.items(), key=lambda pair: pair[0]))

    def value(self, node: nodes.Expr, depth: int) -> ast.expr:
        if depth > DEEPEST:
            raise ConditionSyntaxError("the condition is nested too deep", node.lineno)
        down = depth + 1
        match node:
            case nodes.Const():
                return self._literal(node.value, node)
            case nodes.Name():
                return self._name(node)
            case nodes.Getattr():
                missing = self._keep(Missing(_written(node)))
                return _call("item", self.value(node.node, down), ast.Constant(node.attr), missing)
            case nodes.Getitem(arg=nodes.Slice()):
                raise ConditionSyntaxError(
                    "a piece of a list cannot be taken", node.lineno, "use first, last or [0]"
                )
            case nodes.Getitem():
                missing = self._keep(Missing(_written(node)))
                return _call(
                    "item", self.value(node.node, down), self.value(node.arg, down), missing
                )
            case nodes.And() | nodes.Or():
                kind = type(node)
                sides = [self.value(each, down) for each in _flat(node, kind)]
                return ast.BoolOp(ast.And() if kind is nodes.And else ast.Or(), sides)
            case nodes.Not():
                return ast.UnaryOp(ast.Not(), self.value(node.node, down))
            case nodes.Compare():
                return self._compare(node, down)
            case nodes.CondExpr():
                other = self.value(node.expr2, down) if node.expr2 else ast.Constant(None)
                return ast.IfExp(self.value(node.test, down), self.value(node.expr1, down), other)
            case nodes.Pow():
                raise ConditionSyntaxError("'**' is not part of conditions", node.lineno)
            case nodes.BinExpr() | nodes.UnaryExpr():
                sides = [self.value(each, down) for each in _operands(node)]
                return _call(ARITHMETIC[type(node)], *sides)
            case nodes.Concat():
                return _call("joined", *[self.value(each, down) for each in node.nodes])
            case nodes.List() | nodes.Tuple():
                return ast.List([self.value(each, down) for each in node.items], ast.Load())
            case nodes.Dict():
                return self._dict(node, down)
            case nodes.Filter():
                return self._filter(node, down)
            case nodes.Test():
                return self._test(node, down)
            case nodes.Call():
                return self._function(node, down)
        raise ConditionSyntaxError(
            f"{type(node).__name__.lower()} is not part of conditions", node.lineno
        )

    def _keep(self, value: Any) -> ast.expr:
        name = f"_k{len(self.constants)}"
        self.constants[name] = value
        return ast.Name(name, ast.Load())

    def _literal(self, value: Any, node: nodes.Expr) -> ast.expr:
        if isinstance(value, float):
            exact = Decimal(str(value))
            if not exact.is_finite():
                raise ConditionSyntaxError("this number is too large", node.lineno)
            return self._keep(exact)
        return ast.Constant(value)

    def _name(self, node: nodes.Name) -> ast.expr:
        if node.name in FUNCTIONS:
            raise ConditionSyntaxError(
                f"'{node.name}' is a function", node.lineno, f"write {node.name}(…)"
            )
        if node.name not in NAMES:
            near = get_close_matches(node.name, NAMES, n=1, cutoff=0.7)
            hint = near[0] if near else f"event.{node.name}"
            raise ConditionSyntaxError(
                f"unknown name '{node.name}'", node.lineno, f"did you mean '{hint}'?"
            )
        return ast.Subscript(_facts(), ast.Constant(node.name), ast.Load())

    def _compare(self, node: nodes.Compare, depth: int) -> ast.expr:
        parts, left = [], node.expr
        for operand in node.ops:
            sides = self.value(left, depth), self.value(operand.expr, depth)
            parts.append(_call(COMPARE[operand.op], *sides))
            left = operand.expr
        return parts[0] if len(parts) == 1 else ast.BoolOp(ast.And(), [*parts])

    def _dict(self, node: nodes.Dict, depth: int) -> ast.expr:
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const):
                raise ConditionSyntaxError("the keys of { } must be constants", pair.key.lineno)
        keys: list[ast.expr | None] = [self.value(pair.key, depth) for pair in node.items]
        return ast.Dict(keys, [self.value(pair.value, depth) for pair in node.items])

    def _filter(self, node: nodes.Filter, depth: int) -> ast.expr:
        if node.name not in FILTERS or node.node is None:
            raise _unknown("filter", node.name, FILTERS, node)
        function, parameters = FILTERS[node.name]
        given = _arguments(node, f"filter '{node.name}'", parameters)
        for name, argument in given.items():
            if not (name.startswith("default") or isinstance(argument, nodes.Const)):
                raise ConditionSyntaxError(f"'{name}' must be a constant", argument.lineno)
            expected = int if name == "precision" else str
            if name in ("d", "attribute", "precision") and type(constant(argument)) is not expected:
                kind = "a whole number" if expected is int else "a text in quotes"
                raise ConditionSyntaxError(f"'{name}' must be {kind}", argument.lineno)
        if node.name == "map" and not given:
            raise ConditionSyntaxError(
                "map needs an attribute", node.lineno, 'map(attribute="price")'
            )
        keywords = [ast.keyword(name, self.value(value, depth)) for name, value in given.items()]
        return ast.Call(self._keep(function), [self.value(node.node, depth)], keywords)

    def _test(self, node: nodes.Test, depth: int) -> ast.expr:
        if node.name not in TESTS:
            raise _unknown("test", node.name, TESTS, node)
        given = _arguments(node, f"test '{node.name}'", ("seq",) if node.name == "in" else ())
        if node.name == "in" and not given:
            raise ConditionSyntaxError("'is in' needs a list", node.lineno)
        values = [self.value(each, depth) for each in (node.node, *given.values())]
        return ast.Call(self._keep(TESTS[node.name]), values, [])

    def _function(self, node: nodes.Call, depth: int) -> ast.expr:
        if not isinstance(node.node, nodes.Name):
            raise ConditionSyntaxError(
                "only bought(), did() and count() can be called", node.lineno, "filters use |"
            )
        name = node.node.name
        if name not in FUNCTIONS:
            raise _unknown("function", name, FUNCTIONS, node.node)
        given = _arguments(node, f"{name}()", FUNCTIONS[name])
        within = self._keep(self._within(given.get("within")))
        about = given.get("product_id" if name == "bought" else "event_name")
        if name == "bought":
            self._ask(_ORDER, within)
            if about is not None and not (isinstance(about, nodes.Const) and about.value is None):
                return _call("bought", _facts(), self.value(about, depth), within)
            return _call("did", _facts(), ast.Constant(_ORDER), within)
        event = constant(about) if about is not None else None
        if not isinstance(event, str):
            raise ConditionSyntaxError(
                f"{name}() needs the name of an event in quotes",
                (about or node.node).lineno,
                f'{name}("Product Viewed", within="7 days")',
            )
        self._ask(event, within)
        return _call(name, _facts(), ast.Constant(event), within)

    def _within(self, node: nodes.Expr | None) -> timedelta | None:
        if node is None or (isinstance(node, nodes.Const) and node.value is None):
            return None
        written = constant(node)
        if not isinstance(written, str):
            raise ConditionSyntaxError(
                "'within' must be a duration in quotes", node.lineno, 'within="30 days"'
            )
        try:
            return parse_duration(written)
        except DurationError as error:
            raise ConditionSyntaxError(str(error), node.lineno, error.hint) from error

    def _ask(self, event: str, within: ast.expr) -> None:
        assert isinstance(within, ast.Name)
        window: timedelta | None = self.constants[within.id]
        if window is not None:
            self.windows.add((event, window))
        known = self.asked.get(event, timedelta(0))
        self.asked[event] = None if window is None or known is None else max(known, window)


def _written(node: nodes.Expr) -> str:
    """A name as its author wrote it, for messages."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            return f"{_written(node.node)}.{node.attr}"
        case nodes.Getitem():
            inside = shown(node.arg.value) if isinstance(node.arg, nodes.Const) else "…"
            return f"{_written(node.node)}[{inside}]"
    return "the value"


def _flat(node: nodes.Expr, kind: type[nodes.Expr]) -> list[nodes.Expr]:
    """``a or b or c`` is one choice of three, not a nest of two."""
    sides = []
    while type(node) is kind:
        assert isinstance(node, nodes.BinExpr)
        sides.append(node.right)
        node = node.left
    return [node, *reversed(sides)]


def _operands(node: nodes.BinExpr | nodes.UnaryExpr) -> Sequence[nodes.Expr]:
    return (node.left, node.right) if isinstance(node, nodes.BinExpr) else (node.node,)


def _arguments(
    node: nodes.Call | nodes.Filter | nodes.Test, what: str, parameters: Sequence[str]
) -> dict[str, nodes.Expr]:
    """The arguments by name; positions count as the parameter that stands there."""
    if node.dyn_args or node.dyn_kwargs or len(node.args) > len(parameters):
        place = node.node if isinstance(node, nodes.Call) else node
        raise ConditionSyntaxError(
            f"{what} takes at most {len(parameters)} argument(s)", place.lineno
        )
    given: dict[str, nodes.Expr] = dict(zip(parameters, node.args, strict=False))
    for keyword in node.kwargs:
        name = str(keyword.key)
        if name not in parameters or name in given:
            known = f"it knows {', '.join(parameters)}" if parameters else ""
            raise ConditionSyntaxError(
                f"{what} has no argument '{name}'", keyword.value.lineno, known
            )
        given[name] = keyword.value
    return given


def _unknown(
    what: str, name: str, known: Mapping[str, Any], node: nodes.Expr
) -> ConditionSyntaxError:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(known))}"
    return ConditionSyntaxError(f"unknown {what} '{name}'", node.lineno, hint)


def _facts() -> ast.expr:
    return ast.Name("facts", ast.Load())


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [*arguments], [])


def constant(node: nodes.Expr) -> Any:
    return node.value if isinstance(node, nodes.Const) else None
