"""The values of the language as JSON Schema (2020-12), from the tables that the loader reads by.

Editors hand over what they take a scalar for, so a text may come as a number or as true. Patterns
keep to what ECMA 262 and Python have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.core.durations import UNITS
from engine.language.events import NAMES, OTHERS_ONLY
from engine.language.moments import DAYS, ISO

Schema = dict[str, Any]

_UNIT = "|".join("".join(f"[{c}{c.upper()}]" for c in unit) for unit in UNITS)
#: Where a pattern goes on after it: "skip after 12 hours".
_DURATION = rf"\s*(?:[0-9]{{1,9}}\s*(?:{_UNIT})[sS]?\s*)+"
_TIME = r"^\s*(?:[01]?[0-9]|2[0-3]):[0-5][0-9]\s*$"
_EVERY = ("day", "month")


def say(schema: Schema, description: str) -> Schema:
    """The schema with what editors show beside the key."""
    return {**schema, "description": description}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def text(pattern: str = r"\S") -> Schema:
    """Text that holds the pattern, which binds both ends itself where it must."""
    return {"type": ["string", "number", "boolean"], "pattern": pattern}


def choice(values: Iterable[str]) -> Schema:
    return {"enum": list(values)}


def listing(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def mapping(
    keys: Sequence[str], forms: Mapping[str, Schema], required: Iterable[str] = (), **more: Any
) -> Schema:
    """A mapping of the loader's ``keys``, each in its form, and no others.

    In keys of several words ``_`` and a space are the same: the loader's spelling is what editors
    offer, the other one is taken too. Raises ``ValueError`` where the forms are not those of the
    keys.
    """
    if set(keys) != set(forms):
        raise ValueError(f"forms for other keys: {sorted(set(keys) ^ set(forms))}")
    schema: Schema = {
        "type": "object",
        "properties": {key: forms[key] for key in keys},
        "additionalProperties": False,
    }
    twins = {_other(key): forms[key] for key in keys if _other(key) != key}
    if twins:
        schema["patternProperties"] = {f"^{key}$": form for key, form in twins.items()}
    plain = [key for key in required if _other(key) == key]
    if plain:
        schema["required"] = plain
    either = [
        {"anyOf": [{"required": [key]}, {"required": [_other(key)]}]}
        for key in required
        if _other(key) != key
    ]
    return {**schema, **({"allOf": either} if either else {}), **more}


def one_of(keys: Sequence[str], forms: Mapping[str, Schema]) -> Schema:
    """A mapping with exactly one of the ``keys``."""
    return mapping(keys, forms, minProperties=1, maxProperties=1)


def _other(key: str) -> str:
    return key.replace("_", " ") if "_" in key else key.replace(" ", "_")


#: What every part of the schema may refer to.
FORMS: dict[str, Schema] = {
    "text": text(),
    "boolean": {"enum": [True, False, "true", "false"]},
    "duration": {
        "type": "string",
        "pattern": f"^{_DURATION}$",
        "examples": ["2 hours", "30 days", "1 day 12 hours"],
        "description": "Such as 2 hours, 30 days, 1 day 12 hours.",
    },
    "shift": {
        "type": "string",
        "pattern": rf"^ *[+-]? *{_DURATION}$",
        "examples": ["-3 days", "12 hours"],
    },
    "percent": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 100},
            {"type": "string", "pattern": r"^\s*(?:100|0?[0-9]{1,2}) ?%?\s*$"},
        ]
    },
    "discount": {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 100},
            {"type": "string", "pattern": r"^\s*(?:100|0?[1-9][0-9]|0{0,2}[1-9]) ?%?\s*$"},
        ]
    },
    "time": {"type": "string", "pattern": _TIME, "examples": ["09:00", "18:30"]},
    "moment": {"type": "string", "pattern": rf"^\s*{ISO.pattern}\s*$", "examples": ["2026-11-01"]},
    "date": {
        "type": "string",
        "pattern": rf"^\s*(?:{ISO.pattern}\s*$|[^0-9\s])",
        "examples": ["profile.subscription_ends", "2026-11-27 10:00"],
    },
    "data-date": {"type": "string", "pattern": r"^\s*[^0-9\s]", "examples": ["profile.birthday"]},
    "days": {
        "anyOf": [
            choice(DAYS),
            listing(choice(DAYS), minItems=1, uniqueItems=True),
        ]
    },
    "schedule": {
        "anyOf": [
            choice((*_EVERY, *DAYS)),
            listing(choice(DAYS), minItems=1, uniqueItems=True),
            listing(choice(_EVERY), minItems=1, maxItems=1),
        ]
    },
    "event": {"anyOf": [choice(NAMES), ref("text")]},
    "emitted": {
        "anyOf": [
            choice(name for name in NAMES if name not in OTHERS_ONLY),
            {**text(), "not": choice(sorted(OTHERS_ONLY))},
        ]
    },
    "condition": {
        **text(),
        "description": "A condition, such as event.price >= 20 and profile.orders > 1.",
    },
    "again": {
        "anyOf": [
            choice(("never", "always")),
            {"type": "string", "pattern": f"^after {_DURATION}$"},
        ],
        "examples": ["never", "always", "after 30 days"],
    },
    "overdue": {
        "anyOf": [
            choice(("send",)),
            {"type": "string", "pattern": f"^(?:skip|next window) after {_DURATION}$"},
        ],
        "examples": ["send", "skip after 12 hours", "next window after 2 hours"],
    },
    "values": {
        "type": "object",
        "description": "Values by name; one that begins with = is computed: = profile.orders + 1.",
    },
}
