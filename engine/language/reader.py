"""YAML text to the tree, by the events of ruamel.yaml's parser. Never raises."""

from __future__ import annotations

import re

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from engine.language.report import Place, Report
from engine.language.tree import Entry, Listing, Mapping, Scalar, Tree, kind_of, short

#: A journey is a page or two. The parser is pure Python: this bounds its time to seconds.
LARGEST = 256 * 1024
DEEPEST = 50

#: What the two parsers do not read alike to the last column, or may not.
_UNLIKE = re.compile(
    r"""
    \r(?!\n) | [\t\x85\u2028\u2029\ufeff]     # tabs, line ends other than the common ones
    | [|>][-+0-9]*[ ]*(?:\#|\r?$)            # block scalars
    | :[\[\]{},] | [\s'"\]}]:(?!\s|\Z)        # colons without a blank after them, but for 22:00
    | (?:^|[-:{\[,])[ ]*\?(?:[\s\[\]{},]|\Z)   # keys marked as such
    | ^(?:%|---|\.\.\.)                       # marks of documents
    """,
    re.MULTILINE | re.VERBOSE,
)


def parse(content: bytes | str, report: Report) -> Tree | None:
    """The tree of the one document in ``content``, or None after reporting why not."""
    text = _decode(content, report)
    if text is None:
        return None
    return _parse_fast(text) or _parse_exactly(text, report)


def _parse_fast(text: str) -> Mapping | None:
    """By ruamel's parser in C, which takes a tenth of the time (where it is not installed, by the
    other). None wherever there is something to say or to doubt: it reads YAML 1.1, and its words
    are others."""
    if _UNLIKE.search(text):
        return None
    builder = _Builder(text, Report(""))
    try:
        for event in YAML(typ="safe").parse(text):
            if not builder.take(event):
                return None
    except Exception:  # whatever it is, the exact parser says it
        return None
    return builder.root if isinstance(builder.root, Mapping) else None


def _parse_exactly(text: str, report: Report) -> Tree | None:
    builder = _Builder(text, report)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if not builder.take(event):
                return None
    except MarkedYAMLError as error:
        # A quote that is never closed is found at the end of the file: say where it opens.
        at_end = "end of stream" in str(error.problem)
        mark = (error.context_mark if at_end else None) or error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        report.add("J001", place, _reason(error), _advice(text, place))
        return None
    except ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        report.add("J001", place, "this character cannot be in YAML", "delete it")
        return None
    except Exception as error:
        # The parser is not ours and this is any text at all: whatever it trips over is a
        # finding about the file, and must not keep the other journeys from running (P10).
        report.add(
            "J001", Place(1, 1), f"cannot be read ({type(error).__name__})", "check the YAML"
        )
        return None
    if builder.root is None:
        report.add("J002", Place(1, 1), "the file is empty", "start with 'journey: ' and its name")
    return builder.root


def _decode(content: bytes | str, report: Report) -> str | None:
    if len(content) > LARGEST:
        report.add("J001", Place(1, 1), f"the file is larger than {LARGEST // 1024} KB")
        return None
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = bytes(error.object[: error.start]).decode("utf-8", "replace")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        report.add("J001", place, "this is not UTF-8", "save the file with the encoding UTF-8")
        return None


def _reason(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "not YAML")
    problem = problem.replace("<stream end>", "the end").replace("end of stream", "end of the file")
    return f"not YAML: {short(problem)}"


def _advice(text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not with tabs"
    if "{{" in line:
        return "put the value in quotes"
    if line.count(": ") > 1 and "{" not in line:
        return "put a value that holds ': ' in quotes"
    return "look at the indentation and quotes here and in the line above"


def _tag(name: str) -> str:
    return short(name.replace("tag:yaml.org,2002:", "!!"))


class _Builder:
    """Builds the tree from the parser's events, without recursion: no input is too deep."""

    def __init__(self, text: str, report: Report) -> None:
        self.root: Tree | None = None
        self._lines = text.splitlines()
        self._report = report
        self._open: list[Listing | Mapping] = []
        self._keys: list[Scalar | None] = []
        self._documents = 0

    def take(self, event: Event) -> bool:
        """Take in the next event; False after reporting that the file cannot be used."""
        place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                return self._refuse(
                    "J002", place, "a second document begins here", "one file, one document"
                )
        elif isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            return self._refuse(
                "J003", place, "anchors (&, *) are not used here", "write it out, or quote the text"
            )
        elif tag := getattr(event, "tag", None):
            return self._refuse(
                "J003",
                place,
                f"tags ({_tag(str(tag))}) are not used here",
                "delete the tag, or quote the text",
            )
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            node: Listing | Mapping = (
                Listing(place, []) if isinstance(event, SequenceStartEvent) else Mapping(place, [])
            )
            if len(self._open) >= DEEPEST:
                return self._refuse("J001", place, f"nested deeper than {DEEPEST}", "take it apart")
            if not self._put(node):
                return False
            self._open.append(node)
            self._keys.append(None)
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, ScalarEvent):
            return self._put(self._scalar(event, place))
        return True

    def _put(self, node: Tree) -> bool:
        if not self._open:
            self.root = node
            return True
        holder = self._open[-1]
        if isinstance(holder, Listing):
            holder.items.append(node)
            return True
        key = self._keys[-1]
        if key is not None:
            if isinstance(node, Scalar) and node.plain and not node.text:
                node.place = key.place  # the parser finds "nothing" only where the next line is
            holder.entries.append(Entry(key, node))
            self._keys[-1] = None
        elif isinstance(node, Scalar) and node.plain and node.text == "<<":
            return self._refuse(
                "J003", node.place, "merge keys (<<) are not used here", "write it out"
            )
        elif isinstance(node, Scalar):
            self._keys[-1] = node
        else:
            return self._refuse(
                "J001", node.place, f"{kind_of(node)} cannot be a key", "put the value in quotes"
            )
        return True

    def _scalar(self, event: ScalarEvent, place: Place) -> Scalar:
        plain = not event.style
        scalar = Scalar(place, event.value, plain, event.style or "")
        if event.style == "|":
            content = self._line(place.line + 1)
            scalar.indent = len(content) - len(content.lstrip(" "))
        elif event.start_mark.line == event.end_mark.line:
            scalar.raw = self._line(place.line)[place.column - 1 : event.end_mark.column]
        return scalar

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""

    def _refuse(self, code: str, place: Place, message: str, hint: str = "") -> bool:
        self._report.add(code, place, message, hint)
        return False
