"""What was written in a YAML file, and where. Scalars stay text until their place types them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from engine.language.report import Place


@dataclass(slots=True)
class Scalar:
    """``text`` with quotes and escapes undone; ``plain`` if it was written without quotes.
    ``raw`` is the one line as written, "" where it took several."""

    place: Place
    text: str
    plain: bool
    style: str = ""
    raw: str = ""
    indent: int = 0

    def at(self, offset: int) -> Place:
        """The place of a character of ``text`` in the file; of folded text, its start."""
        line, column = self.place
        if self.style == "|":
            before = self.text[:offset]
            row = before.count("\n")
            return Place(line + 1 + row, self.indent + len(before) - (before.rfind("\n") + 1) + 1)
        if not self.raw:
            return self.place
        if self.plain:
            return Place(line, column + offset)
        position = 1
        for _ in range(offset):
            position += _width(self.raw, position)
        return Place(line, column + position)


def _width(raw: str, position: int) -> int:
    """How many characters of a quoted text stand for the one at ``position``."""
    if raw[0] == "'":
        return 2 if raw[position : position + 2] == "''" else 1
    if raw[position : position + 1] != "\\":
        return 1
    return 2 + {"x": 2, "u": 4, "U": 8}.get(raw[position + 1 : position + 2], 0)


@dataclass(slots=True)
class Listing:
    place: Place
    items: list[Tree]


@dataclass(slots=True)
class Mapping:
    place: Place
    entries: list[Entry]


class Entry(NamedTuple):
    key: Scalar
    value: Tree


Tree = Scalar | Listing | Mapping


#: How YAML 1.2 (core schema) writes that there is nothing.
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def is_null(node: Tree) -> bool:
    """Whether a node says, without quotes, that there is nothing."""
    return isinstance(node, Scalar) and node.plain and node.text in _NULLS


def kind_of(node: Tree) -> str:
    """What a node is, for messages."""
    if isinstance(node, Scalar):
        return "nothing" if is_null(node) else f"'{short(node.text)}'"
    return "a list" if isinstance(node, Listing) else "a mapping"


def short(text: str) -> str:
    """Printable and no longer than a line can bear."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= 60 else clean[:60] + "…"


def plain_value(node: Tree) -> Any:
    """The node as YAML 1.2 (core schema) means it; numbers with a fraction are Decimals."""
    if isinstance(node, Mapping):
        return {entry.key.text: plain_value(entry.value) for entry in node.entries}
    if isinstance(node, Listing):
        return [plain_value(item) for item in node.items]
    return _typed(node.text) if node.plain else node.text


def _typed(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text[0] in "tT"
    digits = text[1:] if text[0] in "+-" else text
    if not digits.isascii() or len(digits) > 40:
        return text
    if digits.isdigit():
        return int(text)
    whole, point, fraction = digits.partition(".")
    if point and (whole + fraction).isdigit():
        return Decimal(text)
    return text


def canonical(node: Tree) -> str:
    """The content without comments, quotes, layout and order of keys: what a version is of.
    The arms of a split keep their order, for the shares are dealt out in it."""
    return json.dumps(_canonical(node), ensure_ascii=True, separators=(",", ":"))


def _canonical(node: Tree, *, ordered: bool = False) -> Any:
    if isinstance(node, Mapping):
        pairs = [
            [entry.key.text, _canonical(entry.value, ordered=entry.key.text == "split")]
            for entry in node.entries
        ]
        return {"map": pairs if ordered else sorted(pairs, key=lambda pair: str(pair[0]))}
    if isinstance(node, Listing):
        return [_canonical(item) for item in node.items]
    value = plain_value(node)
    return str(value) if isinstance(value, Decimal) else value
