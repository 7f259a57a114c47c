"""From the files of config/segments to the segments that are kept up to date.

Segments may name each other. What decides about one is put together here: its rule, those of the
segments that it names, what is on its lists, and what the shop's rules say. All of it goes into its
``source``, from which any process compiles the same segment, and into its ``version``, so that
whatever changes who is in it is a new version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from engine.errors import WinbackError
from engine.language.fields import Fields, did_you_mean
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.segment_lists import StaticList, load_lists
from engine.language.segment_reading import Reading
from engine.language.segment_rules import read_rules
from engine.language.tree import Mapping as Keys
from engine.language.tree import canonical, kind_of, short
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Policy
from engine.model.segment import All, Either, InSegment, Listed, Not, Rule, Segment, Setting

KEYS = ("segment", "title", "owner", "who")
REQUIRED = ("segment", "who")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class SegmentError(WinbackError):
    """A stored segment no longer compiles."""


@dataclass(frozen=True, slots=True)
class SegmentSet:
    """The segments of a folder that can be decided, by name; the static lists beside them; and the
    findings about all of it."""

    segments: dict[str, Segment]
    lists: dict[str, StaticList]
    diagnostics: list[Diagnostic]
    #: names of files that are there, those with errors among them
    names: frozenset[str] = frozenset()


class _Read(NamedTuple):
    """A segment as it was read, its rule not linked yet; None with an error."""

    rule: Rule | None
    reading: Reading
    title: str
    owner: str
    text: str
    meaning: str


def setting_of(policy: Policy) -> Setting:
    """What of the shop's rules decides about membership."""
    double = frozenset(n for n, topic in policy.topics.items() if topic.consent == "double opt-in")
    return Setting(policy.shop.currency, policy.shop.timezone, double)


def segment_files(directory: Path) -> list[Path]:
    """Where the segments of a folder are."""
    if not directory.is_dir():
        return []
    return sorted(
        file
        for file in directory.iterdir()
        if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
    )


def load_segments(
    directory: Path, *, policy: Policy | None = None, journeys: Collection[str] | None = None
) -> SegmentSet:
    """Read every ``*.yaml`` of ``directory``, which need not be there. A bad file hurts only itself
    and those that name it (P10). ``journeys`` None: their names are not checked."""
    files = segment_files(directory)
    lists, findings = load_lists(directory / "lists")
    read: dict[str, _Read] = {}
    setting = Setting() if policy is None else setting_of(policy)
    topics = None if policy is None else policy.topics
    twins = {file.stem for file in files if file.with_suffix(".yaml") in files}
    for file in files:
        if file.suffix == ".yml" and file.stem in twins:
            report = Report(str(file))
            message = f"the segment '{file.stem}' is in {file.stem}.yaml too"
            report.add("S010", Place(1, 1), message, "delete one of the two")
            findings += report.diagnostics()
            read.pop(file.stem, None)
            continue
        report = Report(str(file))
        try:
            content: str | bytes = file.read_bytes()
        except OSError as error:
            report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
            content = ""
        reading = Reading(
            report, file.stem, setting.timezone, topics, directory / "lists", journeys
        )
        read[file.stem] = _read(reading, content)
    names = {file.stem for file in files}
    _check_names(read, names)
    digests = {name: one.digest for name, one in lists.items()}
    segments = {
        name: segment
        for name in read
        if (segment := _segment(name, read, setting, digests)) is not None
    }
    for one in read.values():
        findings += one.reading.report.diagnostics()
    return SegmentSet(segments, lists, sorted(findings), frozenset(names))


def compile_segment(source: str) -> Segment:
    """The segment that ``source`` was written for. Raises ``SegmentError``."""
    try:
        kept = json.loads(source)
        setting = Setting(
            kept["setting"]["currency"],
            kept["setting"]["timezone"],
            frozenset(kept["setting"]["double"]),
        )
        read = {}
        for name, text in kept["texts"].items():
            read[name] = _read(Reading(Report(f"{name}.yaml"), name, setting.timezone), text)
        found = _segment(kept["segment"], read, setting, kept["lists"])
    except (KeyError, TypeError, ValueError) as error:
        raise SegmentError(f"a stored segment cannot be read: {error!r}") from error
    if found is None:
        wrong = [str(each) for one in read.values() for each in one.reading.report.diagnostics()]
        raise SegmentError(f"segment {kept['segment']} no longer compiles: {'; '.join(wrong)}")
    return found


def _read(reading: Reading, content: str | bytes) -> _Read:
    report = reading.report
    tree = parse(content, report) if content else None
    nothing = _Read(None, reading, "", "", "", "")
    if tree is None:
        return nothing
    if not isinstance(tree, Keys):
        message = f"a segment is a mapping of keys, not {kind_of(tree)}"
        report.add("J002", tree.place, message, "start with 'segment: ' and its name")
        return nothing
    fields = Fields(report, tree, "a segment", KEYS, REQUIRED)
    _check_own_name(reading, fields)
    title, owner = fields.text("title"), fields.text("owner")
    who = fields.get("who")
    rule = None if who is None else read_rules(reading, who, "who")
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    meaning = "" if who is None else canonical(who)
    return _Read(rule, reading, title or reading.name, owner or "", text, meaning)


def _check_own_name(reading: Reading, fields: Fields) -> None:
    name, node = fields.text("segment"), fields.get("segment")
    if name is None or node is None:
        return
    if not _NAME.fullmatch(name) or len(name) > 100:
        hint = "use small letters, digits and '-', at most 100"
        message = f"'{short(name)}' cannot be the name of a segment"
        reading.report.add("S007", node.place, message, hint)
    elif name != reading.name:
        message = f"the segment '{name}' is in the file '{short(reading.name)}.yaml'"
        reading.report.add("S007", node.place, message, "give both the same name")


def _check_names(read: Mapping[str, _Read], known: Collection[str]) -> None:
    """Whether the segments that others name are there, and none leads back to itself."""
    for name, one in read.items():
        for other, place in one.reading.names.items():
            if other not in known:
                hint = did_you_mean(
                    other, known, otherwise=f"write config/segments/{short(other)}.yaml"
                )
                message = f"there is no segment '{short(other)}'"
                one.reading.report.add("S003", place, message, hint)
            elif name in _reachable(read, other):
                message = f"'{other}' leads back to '{name}'"
                one.reading.report.add("S003", place, message, "end the circle in one of them")


def _reachable(read: Mapping[str, _Read], start: str) -> set[str]:
    found, ahead = {start}, [start]
    while ahead:
        one = read.get(ahead.pop())
        for name in () if one is None else one.reading.names:
            if name not in found:
                found.add(name)
                ahead.append(name)
    return found


def _segment(
    name: str, read: Mapping[str, _Read], setting: Setting, digests: Mapping[str, str]
) -> Segment | None:
    """The segment put together; None where it or one that it names has an error."""
    closure = _reachable(read, name)
    if any(other not in read or read[other].reading.report.failed for other in closure):
        return None
    rules = {other: read[other].rule for other in closure}
    rule = _linked(rules[name], rules)
    if rule is None:
        return None
    lists = {each: digests.get(each, "") for each in sorted(_lists(rule))}
    facts = {
        "currency": setting.currency,
        "timezone": setting.timezone,
        "double": sorted(setting.double),
    }
    meaning = {other: read[other].meaning for other in sorted(closure)}
    texts = {other: read[other].text for other in sorted(closure)}
    version = sha256(_json({"rules": meaning, "lists": lists, "setting": facts}).encode())
    own = read[name]
    return Segment(
        name,
        version.hexdigest()[:16],
        rule,
        own.title,
        own.owner,
        setting,
        _json({"segment": name, "texts": texts, "lists": lists, "setting": facts}),
        lists,
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _linked(rule: Rule | None, rules: Mapping[str, Rule | None]) -> Rule | None:
    match rule:
        case All(parts=parts, path=path) | Either(parts=parts, path=path):
            linked = [_linked(part, rules) for part in parts]
            kind = All if isinstance(rule, All) else Either
            return kind(tuple(part for part in linked if part is not None), path)
        case Not(part=part, path=path):
            inner = _linked(part, rules)
            return None if inner is None else Not(inner, path)
        case InSegment(name=name, path=path):
            return InSegment(name, _linked(rules[name], rules), path)
    return rule


def _lists(rule: Rule | None) -> Iterator[str]:
    match rule:
        case All(parts=parts) | Either(parts=parts):
            for part in parts:
                yield from _lists(part)
        case Not(part=part):
            yield from _lists(part)
        case InSegment(rule=inner):
            yield from _lists(inner)
        case Listed(name=name):
            yield name
