"""What the values and operators of a condition mean.

Shops send ``19.90``, ``"19.90"`` and nothing at all for the same property, so:

* A property that is absent or null is *missing*: false, unequal to everything but ``none``, and
  an error (which makes the condition false) once it is compared by size or calculated with.
* A text that is a number counts as that number beside a number. Two texts are compared as
  texts by ``==`` and ``in``, and by size as numbers if both are numbers.
* Numbers are Decimals and ints, never floats.
* ``+ - * /`` are for numbers; ``~`` joins text. So nothing can be blown up by repetition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from engine.errors import WinbackError

#: Of these any two compare with each other exactly, without conversion.
_EXACT: frozenset[Any] = frozenset({int, Decimal})
_NUMBER = re.compile(r"[ \t]*[+-]?[0-9]{1,60}(?:\.[0-9]{1,60})?[ \t]*", re.ASCII)


class ConditionError(WinbackError):
    """The condition cannot be decided on these facts."""


class Missing:
    """The value of a name that has none. ``path`` is the name as written, "event.price"."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None

    def __hash__(self) -> int:
        return hash(None)

    def __repr__(self) -> str:
        return f"Missing({self.path!r})"


def present(value: Any) -> Any:
    """The value itself; ConditionError if it is missing."""
    if value.__class__ is Missing:
        raise ConditionError(f"{value.path} is missing")
    return value


def item(holder: Any, name: Any, missing: Missing) -> Any:
    """``holder.name`` or ``holder[name]``: looks into mappings and lists, never at attributes."""
    if holder.__class__ is dict or isinstance(holder, Mapping):
        try:
            value = holder.get(name)
        except TypeError:  # a list cannot be a key
            value = None
    elif isinstance(holder, list) and name.__class__ is int:
        value = holder[name] if -len(holder) <= name < len(holder) else None
    elif holder.__class__ is Missing:
        return holder
    else:
        value = None
    return missing if value is None else value


def number(value: Any) -> Decimal | int | None:
    """The value as a number if it is one or is the text of one; else None."""
    kind = value.__class__
    if kind in _EXACT:
        return value  # type: ignore[no-any-return]
    if kind is float:
        as_decimal = Decimal(str(value))
        return as_decimal if as_decimal.is_finite() else None
    if kind is str and _NUMBER.fullmatch(value):
        return Decimal(value.strip())
    return None


def equal(a: Any, b: Any) -> bool:
    """``a == b``."""
    if a.__class__ is not b.__class__ and not (isinstance(a, bool) or isinstance(b, bool)):
        x, y = number(a), number(b)
        if x is not None and y is not None:
            return x == y
    return bool(a == b)


def unequal(a: Any, b: Any) -> bool:
    """``a != b``."""
    return not equal(a, b)


def contains(a: Any, b: Any) -> bool:
    """``a in b``: one of a list, a key of a mapping, a piece of a text. Nothing is in nothing."""
    if isinstance(b, list | tuple):
        kind = a.__class__
        return a in b or any(each.__class__ is not kind and equal(a, each) for each in b)
    if isinstance(b, str):
        return isinstance(a, str) and a in b
    if isinstance(b, Mapping):
        return isinstance(a, str) and a in b
    if b.__class__ is Missing or b is None:
        return False
    raise ConditionError(f"cannot look for something in {shown(b)}")


def not_contains(a: Any, b: Any) -> bool:
    """``a not in b``."""
    return not contains(a, b)


def shown(value: Any) -> str:
    """The value for a message, short and without markup."""
    if value.__class__ is Missing:
        return f"{value.path}, which is missing"
    if isinstance(value, str):
        return f"'{value[:40]}…'" if len(value) > 40 else f"'{value}'"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and len(value) >= 10:
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def comparable(a: Any, b: Any) -> tuple[Any, Any]:
    """Both sides of a comparison by size, as numbers, moments or texts; else ConditionError."""
    present(a)
    present(b)
    x, y = number(a), number(b)
    if x is not None and y is not None:
        return x, y
    if isinstance(a, datetime | date) or isinstance(b, datetime | date):
        start, end = _moment(a), _moment(b)
        if start is not None and end is not None:
            return start, end
    elif isinstance(a, str) and isinstance(b, str):
        return a, b
    raise ConditionError(f"cannot compare {shown(a)} with {shown(b)} by size")


def less(a: Any, b: Any) -> bool:
    """``a < b``."""
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return bool(a < b)
    x, y = comparable(a, b)
    return bool(x < y)


def at_most(a: Any, b: Any) -> bool:
    """``a <= b``."""
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return bool(a <= b)
    x, y = comparable(a, b)
    return bool(x <= y)


def more(a: Any, b: Any) -> bool:
    """``a > b``."""
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return bool(a > b)
    x, y = comparable(a, b)
    return bool(x > y)


def at_least(a: Any, b: Any) -> bool:
    """``a >= b``."""
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return bool(a >= b)
    x, y = comparable(a, b)
    return bool(x >= y)


def count(value: Any) -> Decimal | int:
    """The value as a number; ConditionError if it is none."""
    present(value)
    result = number(value)
    if result is None:
        raise ConditionError(f"{shown(value)} is not a number")
    return result


def add(a: Any, b: Any) -> Any:
    return count(a) + count(b)


def subtract(a: Any, b: Any) -> Any:
    return count(a) - count(b)


def multiply(a: Any, b: Any) -> Any:
    return count(a) * count(b)


def divide(a: Any, b: Any) -> Any:
    """``a / b``, exact to 28 digits."""
    return Decimal(count(a)) / _divisor(b)


def floor_divide(a: Any, b: Any) -> Any:
    return Decimal(count(a)) // _divisor(b)


def modulo(a: Any, b: Any) -> Any:
    return Decimal(count(a)) % _divisor(b)


def _divisor(value: Any) -> Decimal:
    result = Decimal(count(value))
    if not result:
        raise ConditionError("cannot divide by zero")
    return result


def negative(a: Any) -> Any:
    return -count(a)


def positive(a: Any) -> Any:
    return count(a)


def text(value: Any) -> str:
    """The value as text, for ``~`` and the text filters."""
    present(value)
    if isinstance(value, bool) or value is None:
        return shown(value)
    if isinstance(value, Mapping | list | tuple):
        raise ConditionError(f"{shown(value)} is not a text")
    return str(value)


def joined(*values: Any) -> str:
    """``a ~ b``."""
    return "".join([text(value) for value in values])
