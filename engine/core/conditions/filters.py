"""The filters and tests of a condition: Jinja's names, for our values, and only these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from engine.core.conditions.values import (
    ConditionError,
    Missing,
    contains,
    count,
    item,
    less,
    more,
    number,
    present,
    shown,
    text,
)

_DIGITS = 60


def _sequence(value: Any) -> Sequence[Any]:
    present(value)
    if not isinstance(value, list | tuple):
        raise ConditionError(f"{shown(value)} is not a list")
    return value


def _attribute(value: Any, name: str | None) -> Any:
    return value if name is None else item(value, name, Missing(name))


def length(value: Any) -> int:
    present(value)
    if not isinstance(value, str | Mapping | list | tuple):
        raise ConditionError(f"{shown(value)} has no length")
    return len(value)


def otherwise(value: Any, default_value: Any = "", boolean: Any = False) -> Any:
    if value.__class__ is Missing or value is None or (boolean and not value):
        return default_value
    return value


def to_int(value: Any, default: Any = None) -> Any:
    """Cut off after the point. Refuses 1e999999, which would fill the memory with zeros."""
    if default is not None and number(value) is None:
        return default
    result = count(value)
    if isinstance(result, Decimal) and result.adjusted() > _DIGITS:
        raise ConditionError(f"{shown(value)} is too large")
    return int(result)


def to_number(value: Any, default: Any = None) -> Any:
    if default is not None and number(value) is None:
        return default
    return Decimal(count(value))


def rounded(value: Any, precision: int = 0) -> Decimal:
    """Half up, as on a price tag."""
    return Decimal(count(value)).quantize(Decimal(1).scaleb(-precision), rounding=ROUND_HALF_UP)


def first(value: Any) -> Any:
    return item(list(_sequence(value)), 0, Missing("the first of an empty list"))


def last(value: Any) -> Any:
    return item(list(_sequence(value)), -1, Missing("the last of an empty list"))


def join(value: Any, d: str = "", attribute: str | None = None) -> str:
    return d.join([text(_attribute(each, attribute)) for each in _sequence(value)])


def total(value: Any, attribute: str | None = None) -> Any:
    return sum(count(_attribute(each, attribute)) for each in _sequence(value))


def smallest(value: Any, attribute: str | None = None) -> Any:
    return _extreme(value, attribute, less, "smallest")


def largest(value: Any, attribute: str | None = None) -> Any:
    return _extreme(value, attribute, more, "largest")


def _extreme(
    value: Any, attribute: str | None, better: Callable[[Any, Any], bool], word: str
) -> Any:
    best: Any = Missing(f"the {word} of an empty list")
    for each in _sequence(value):
        candidate = _attribute(each, attribute)
        if best.__class__ is Missing or better(candidate, best):
            best = present(candidate)
    return best


def mapped(value: Any, attribute: str) -> list[Any]:
    return [_attribute(each, attribute) for each in _sequence(value)]


#: Each with the names of its parameters after the value, as in Jinja. All but a default must be
#: constants, so that no event can choose a separator or a precision.
FILTERS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "abs": (lambda value: abs(count(value)), ()),
    "count": (length, ()),
    "d": (otherwise, ("default_value", "boolean")),
    "default": (otherwise, ("default_value", "boolean")),
    "first": (first, ()),
    "float": (to_number, ("default",)),
    "int": (to_int, ("default",)),
    "join": (join, ("d", "attribute")),
    "last": (last, ()),
    "length": (length, ()),
    "lower": (lambda value: text(value).lower(), ()),
    "map": (mapped, ("attribute",)),
    "max": (largest, ("attribute",)),
    "min": (smallest, ("attribute",)),
    "round": (rounded, ("precision",)),
    "string": (text, ()),
    "sum": (total, ("attribute",)),
    "trim": (lambda value: text(value).strip(), ()),
    "upper": (lambda value: text(value).upper(), ()),
}


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float | Decimal)


TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: value.__class__ is not Missing,
    "false": lambda value: value is False,
    "in": contains,
    "mapping": lambda value: isinstance(value, Mapping),
    "none": lambda value: value is None or value.__class__ is Missing,
    "number": _is_number,
    "sequence": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
    "undefined": lambda value: value.__class__ is Missing,
}
