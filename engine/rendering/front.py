"""The block of YAML at the top of a template, between two lines ``---``."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from engine.errors import RenderError
from engine.model.texts import Transliterate

#: What a mail's block may say; ``layout`` that of a mail in Markdown.
MAIL, MARKDOWN, SMS = (
    ("subject", "preheader"),
    ("subject", "preheader", "layout"),
    ("transliterate",),
)
_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_HOW: dict[Any, Transliterate] = {True: "latin", False: "no", "all": "all"}


class Front(NamedTuple):
    """What the block says, each with its line; the ``body`` below it, and the body's first line."""

    values: dict[str, tuple[Any, int]]
    body: str
    first_line: int


def mail_front(name: str, source: str) -> Front:
    """That of a mail: texts, a subject among them. Raises ``RenderError``."""
    if not _FRONT.match(source):
        raise RenderError(
            "It must begin with a block between two lines '---' that gives the subject, such "
            'as: subject: "{{ event.name }} is waiting for you"',
            file=name,
            line=1,
        )
    found = _read(name, source, MARKDOWN if name.endswith(".md") else MAIL)
    if not found.values.get("subject", ("", 0))[0]:
        raise RenderError("The block at the top gives no subject.", file=name, line=1)
    for key, (value, line) in found.values.items():
        if not isinstance(value, str):
            raise RenderError(f"Put the {key} in quotes.", file=name, line=line)
    return found


def sms_front(name: str, source: str) -> tuple[Transliterate | None, str, int]:
    """Of a text message: how it is transliterated (None: as the shop says), the body, and the
    body's first line. There need be no block. Raises ``RenderError``."""
    if not _FRONT.match(source):
        return None, source, 1
    found = _read(name, source, SMS)
    if "transliterate" not in found.values:
        return None, found.body, found.first_line
    value, line = found.values["transliterate"]
    if not isinstance(value, bool | str) or value not in _HOW:
        words = "transliterate can be true, false or all."
        raise RenderError(words, file=name, line=line)
    return _HOW[value], found.body, found.first_line


def _read(name: str, source: str, known: tuple[str, ...]) -> Front:
    found = _FRONT.match(source)
    assert found
    try:
        front: Any = YAML(typ="rt").load(found[1])
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise RenderError(
            f"The block at the top is no YAML: {error.problem}. A text with {{{{ … }}}} or ': ' "
            "in it needs quotes.",
            file=name,
            line=mark.line + 2 if mark else 1,
        ) from error
    values: dict[str, tuple[Any, int]] = {}
    for key, value in front.items() if isinstance(front, CommentedMap) else ():
        line = front.lc.key(key)[0] + 2
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            there = " and ".join(filter(None, (", ".join(known[:-1]), known[-1])))
            hint = f": did you mean {near[0]}?" if near else f": there is {there}."
            raise RenderError(f"{key} is not known here{hint}", file=name, line=line)
        values[str(key)] = (value, line)
    return Front(values, source[found.end() :], source[: found.end()].count("\n") + 1)
