"""Reads the keys of a mapping, each as the kind of value that its place expects.

Every reader reports what is wrong and gives None, so that one mistake never hides the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache

from engine.core.conditions import ConditionSyntaxError, compile_condition
from engine.core.durations import DurationError, parse_duration
from engine.language.report import Place, Report
from engine.language.tree import Entry, Listing, Mapping, Scalar, Tree, is_null, kind_of, short
from engine.model.journey import Condition

_PERCENT = re.compile(r"([0-9]{1,3}) ?%?")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that looks most like the word, if any does."""
    by_small = {each.lower().replace("_", " "): each for each in known}
    near = get_close_matches(word.lower().replace("_", " "), by_small, n=1, cutoff=0.6)
    return by_small[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint that names the nearest of ``known``; else ``otherwise``."""
    near = nearest(word, known)
    return otherwise if near is None else f"did you mean '{near}'?"


class Fields:
    """A mapping whose keys are known. In keys of several words ``_`` and a space are the same.

    Reports a key that comes twice, is not ``known``, or is ``required`` and missing. Something
    that is no mapping is reported, reads as empty and is not ``sound``.
    """

    def __init__(
        self,
        report: Report,
        node: Tree,
        what: str,
        known: Sequence[str],
        required: Sequence[str] = (),
    ) -> None:
        self.report = report
        self.what = what
        self.place = node.place
        self.sound = isinstance(node, Mapping)
        self._entries: dict[str, Entry] = {}
        self._meant: set[str] = set()
        self._known = {_same(name): name for name in known}
        if not isinstance(node, Mapping):
            report.add("J007", node.place, f"{what} must be a mapping, not {kind_of(node)}")
            return
        for entry in node.entries:
            self._take(entry)
        for name in required:
            if _same(name) not in self._entries and name not in self._meant:
                report.add("J006", node.place, f"{what} needs '{name}'", f"add '{name}: …'")

    def _take(self, entry: Entry) -> None:
        name = _same(entry.key.text)
        if name not in self._known:
            there = f"{self.what} knows {', '.join(self._known.values())}"
            near = nearest(entry.key.text, self._known.values())
            hint = there if near is None else f"did you mean '{near}'?"
            self._meant |= {near} if near else set()
            message = f"unknown key '{short(entry.key.text)}' in {self.what}"
            self.report.add("J005", entry.key.place, message, hint)
        elif name in self._entries:
            first = self._entries[name].key.place.line
            message = f"'{short(entry.key.text)}' comes twice in {self.what}"
            self.report.add("J004", entry.key.place, message, f"it stands in line {first} already")
        else:
            self._entries[name] = entry

    def __contains__(self, name: str) -> bool:
        return _same(name) in self._entries

    def meant(self, name: str) -> bool:
        """Whether a misspelt key was taken to mean this one, so that it is not missing too."""
        return name in self._meant

    def get(self, name: str) -> Tree | None:
        entry = self._entries.get(_same(name))
        return None if entry is None else entry.value

    def key_place(self, name: str) -> Place:
        """Where the key stands; without it, where the mapping begins."""
        entry = self._entries.get(_same(name))
        return self.place if entry is None else entry.key.place

    def text(self, name: str) -> str | None:
        node = self.get(name)
        return None if node is None else read_text(self.report, node, f"'{name}'")

    def choice(self, name: str, choices: Sequence[str], code: str = "J011") -> str | None:
        node = self.get(name)
        return None if node is None else read_choice(self.report, node, f"'{name}'", choices, code)

    def duration(self, name: str) -> timedelta | None:
        node = self.get(name)
        return None if node is None else read_duration(self.report, node)

    def percent(self, name: str) -> int | None:
        node = self.get(name)
        return None if node is None else read_percent(self.report, node)

    def boolean(self, name: str) -> bool | None:
        value = self.choice(name, ("true", "false"))
        return None if value is None else value == "true"

    def condition(self, name: str, path: str) -> Condition | None:
        node = self.get(name)
        return None if node is None else read_condition(self.report, node, path)


def _same(key: str) -> str:
    return key.replace("_", " ")


def read_text(report: Report, node: Tree, what: str) -> str | None:
    if isinstance(node, Scalar) and node.text.strip() and not is_null(node):
        return node.text
    report.add("J007", node.place, f"{what} must be a text, not {kind_of(node)}")
    return None


def read_list(report: Report, node: Tree, what: str) -> list[Tree]:
    if isinstance(node, Listing):
        return node.items
    report.add(
        "J007",
        node.place,
        f"{what} must be a list, not {kind_of(node)}",
        "begin each entry with '- ', or write []",
    )
    return []


def read_choice(
    report: Report, node: Tree, what: str, choices: Sequence[str], code: str = "J011"
) -> str | None:
    value = read_text(report, node, what)
    if value is None or value in choices:
        return value
    hint = did_you_mean(value, choices, otherwise=f"choose from {', '.join(choices)}")
    unknown = {"J017": "channel"}.get(code)
    verb = f"unknown {unknown}" if unknown else f"{what} cannot be"
    message = f"{verb} '{short(value)}'"
    report.add(code, node.place, message, hint)
    return None


def read_duration(report: Report, node: Tree) -> timedelta | None:
    value = read_text(report, node, "a duration")
    if value is None:
        return None
    try:
        return parse_duration(value)
    except DurationError as error:
        report.add("J008", node.place, short(str(error)), error.hint)
        return None


def read_percent(report: Report, node: Tree) -> int | None:
    value = read_text(report, node, "a percentage")
    if value is None:
        return None
    found = _PERCENT.fullmatch(value.strip())
    if found is None or int(found[1]) > 100:
        message = f"'{short(value)}' is not a percentage"
        report.add("J009", node.place, message, "write a whole number from 0% to 100%")
        return None
    return int(found[1])


def read_condition(report: Report, node: Tree, path: str, skip: int = 0) -> Condition | None:
    """Compile the text after its first ``skip`` characters."""
    if not isinstance(node, Scalar):
        report.add("J007", node.place, f"a condition must be a text, not {kind_of(node)}")
        return None
    try:
        return _compiled(node.text[skip:], path)
    except ConditionSyntaxError as error:
        place = node.place if error.offset is None else node.at(error.offset + skip)
        report.add("J014", place, short(str(error)), error.hint)
        return None


@lru_cache(maxsize=4096)
def _compiled(source: str, path: str) -> Condition:
    # Many journeys ask the same at the same place (``key in event.product_ids``), and to compile
    # takes as long as to read the rest of the journey.
    return compile_condition(source, path)


def read_entries(report: Report, node: Tree | None, what: str) -> list[Entry]:
    """The entries of a mapping whose keys are free, each key once."""
    if node is None:
        return []
    if not isinstance(node, Mapping):
        report.add("J007", node.place, f"{what} must be a mapping")
        return []
    seen: dict[str, Entry] = {}
    for entry in node.entries:
        if entry.key.text in seen:
            report.add("J004", entry.key.place, f"'{short(entry.key.text)}' comes twice in {what}")
        seen.setdefault(entry.key.text, entry)
    return list(seen.values())
