"""Values as YAML on one line, as a person would write them, and as ``plain_value`` reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

#: Words, and times as scenarios say them: what needs no quotes even within braces.
_PLAIN = re.compile(
    r"[A-Za-z_/][\w./@+ -]*(?<! )"
    r"|\+[0-9]+ [a-z][a-z0-9 ]*(?<! )"
    r"|(?:day [0-9]+ at|[0-9]{4}-[0-9]{2}-[0-9]{2}) [0-9]{2}:[0-9]{2}(?::[0-9]{2})?"
)
_TAKEN = frozenset({"true", "false", "null"})


def flow(value: Any) -> str:
    """``{a: 1, b: [x, y]}``. Times as ISO 8601, what JSON does not know as text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        number = Decimal(str(value))
        return f"{number:f}" if number.is_finite() else text(str(value))
    return text(value.isoformat() if isinstance(value, datetime) else str(value))


def text(value: str) -> str:
    """A text with quotes where it needs them; a JSON string is a YAML 1.2 string."""
    plain = _PLAIN.fullmatch(value)
    if plain and value.lower() not in _TAKEN and value.isascii():
        return value
    return json.dumps(value, ensure_ascii=False)


def moment(at: datetime, zone: ZoneInfo) -> str:
    """By the clock on the wall, seconds where there are any; with its offset where the wall says
    the same twice (autumn)."""
    local = at.astimezone(zone).replace(microsecond=0)
    wall = local.replace(tzinfo=None)
    if wall.replace(tzinfo=zone).astimezone(UTC) != local.astimezone(UTC):
        return local.isoformat()
    return f"{wall:%Y-%m-%d %H:%M:%S}" if wall.second else f"{wall:%Y-%m-%d %H:%M}"
