"""Journeys that somebody has broken: the shipped ones with pieces moved, misspelt and torn out.

In the tree (a key renamed, a step put elsewhere, a value of another journey) and in the text (lines
indented, halves joined, bytes turned).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from engine.language.reader import parse
from engine.language.report import Report
from engine.language.tree import plain_value
from tests.property.journey_texts import written

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *sorted((ROOT / "journeys").glob("*.yaml")),
    *sorted((ROOT / "journeys" / "cookbook").glob("*.yaml")),
    *sorted((ROOT / "tests" / "journeys" / "answers").glob("*.yaml")),
]
TEXTS = [file.read_text(encoding="utf-8") for file in FILES]


def _tree(text: str) -> Any:
    tree = parse(text, Report("x"))
    assert tree is not None
    return plain_value(tree)


TREES: list[dict[str, Any]] = [_tree(text) for text in TEXTS]

Path_ = tuple[Any, ...]


def _places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every place in a tree, the root left out."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from _places(child, (*path, key))


def _at(tree: Any, path: Path_) -> Any:
    for key in path:
        tree = tree[key]
    return tree


KEYS = sorted({path[-1] for tree in TREES for path in _places(tree) if isinstance(path[-1], str)})
PIECES: dict[Any, list[Any]] = {}
for _one in TREES:
    for _path in _places(_one):
        PIECES.setdefault(_path[-1], []).append(_at(_one, _path))
_ALL_PIECES = [piece for pieces in PIECES.values() for piece in pieces]

HOSTILE: tuple[Any, ...] = (
    *("", " ", "-", "~", "null", "true", "no", "0", "-1", "1e400", "NaN", "٣", "९ days", "\u2028"),
    *("0 days", "1 day 1 day", "99999999999 weeks", "1.5 hours", "1 month", "-1 day", "1day"),
    *("24:00", "9", "09:00:00", "2026-02-30", "0001-01-01", "9999-12-31T23:59+23:59", "now"),
    *(
        "event.",
        "event.price >",
        "key in",
        "(((((",
        "a" * 300,
        "not " * 200 + "key",
        "'",
        "{{ x }}",
    ),
    *("event.__class__", "''.join([])", "range(10**9)", "key|map|map", "profile['a']['b']"),
    *("bought(within='x')", "count()", "did(event)", "9" * 400, "1/0", "1 if", "= ", "= key +"),
    *("../../etc/passwd", "https://a@b:c/", "http://[::1", "mailto:x", "generate", "generate wb"),
    *("101%", "-5%", "50 % a", "%", "google/", "meta/ A", "x/y", "<<", "*a", "&a b", "!!python/x"),
    *(None, True, False, 0, -1, 3.5, 10**30, [], {}, [[]], {"": ""}, [None], {"a": {"a": {}}}),
)


@st.composite
def trees(draw: DrawFn) -> str:
    """A shipped journey with a few things wrong in its structure, as text."""
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 5))):
        _mutate(draw, tree)
    return written(tree, draw(st.booleans()))


def _mutate(draw: DrawFn, tree: dict[str, Any]) -> None:
    places = list(_places(tree))
    if not places:
        return
    path = draw(st.sampled_from(places))
    holder, key = _at(tree, path[:-1]), path[-1]
    match draw(st.integers(0, 7)):
        case 0:
            del holder[key]
        case 1:
            holder[key] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
        case 2:
            pieces = PIECES.get(key, _ALL_PIECES)
            holder[key] = copy.deepcopy(draw(st.sampled_from(pieces)))
        case 3:
            holder[key] = copy.deepcopy(draw(st.sampled_from(_ALL_PIECES)))
        case 4:
            _put_beside(holder, key, draw(st.sampled_from(KEYS)), holder[key])
        case 5:
            other = _at(tree, draw(st.sampled_from(places)))
            _put_beside(holder, key, draw(st.sampled_from(KEYS)), other)
        case 6:
            holder[key] = draw(st.sampled_from(([holder[key]], {"if": holder[key]})))
        case _:
            name = draw(st.sampled_from(KEYS) | st.text(max_size=6))
            if isinstance(holder, dict):
                holder[name] = holder.pop(key)
            else:
                holder[key] = {name: holder[key]}


def _put_beside(holder: Any, key: Any, name: str, value: Any) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    else:
        holder[name] = copy.deepcopy(value)


@st.composite
def texts(draw: DrawFn) -> str:
    """A shipped journey whose lines or letters were hurt."""
    lines = draw(st.sampled_from(TEXTS)).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 7)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 2:
                lines[at] = " " * draw(st.integers(1, 4)) + lines[at]
            case 3:
                lines[at] = lines[at][draw(st.integers(1, 4)) :]
            case 4:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(_scraps) + lines[at][cut:]
            case 5:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut]
            case 6:
                other = draw(st.sampled_from(TEXTS)).splitlines(keepends=True)
                lines[at:] = other[draw(st.integers(0, len(other) - 1)) :]
            case _:
                value = json.dumps(draw(st.sampled_from(HOSTILE)))
                before, colon, _ = lines[at].partition(":")
                lines[at] = f"{before}{colon} {value}\n"
        lines = lines or ["\n"]
    return "".join(lines)


_scraps = st.sampled_from(
    [*"\t:-{}[]'\"|>&*!%@`#,?~=\0\x85\ufeff\u2028", "\n", "\r\n", ": ", " #", "---\n", "- ", "क"]
) | st.text(max_size=4)


@st.composite
def contents(draw: DrawFn) -> bytes:
    """A file of bytes: a shipped journey with some turned, or anything."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(TEXTS)).encode())
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(content) - 1))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        content = content or bytearray(b" ")
    encoding = draw(st.sampled_from(("", "", "utf-16", "utf-32", "latin-1")))
    return bytes(content).decode("latin-1").encode(encoding) if encoding else bytes(content)
