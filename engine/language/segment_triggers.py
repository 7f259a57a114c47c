"""Whether journeys that start by a segment name one that is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from engine.language.fields import did_you_mean
from engine.language.reader import parse
from engine.language.report import Report
from engine.language.tree import Mapping, Scalar, Tree, short
from engine.model.diagnostic import Diagnostic
from engine.model.journey import SEGMENT_ENTERED, SEGMENT_LEFT, Journey


def check_triggers(
    journeys: Iterable[tuple[Path, Journey]], segments: Collection[str]
) -> list[Diagnostic]:
    """A warning about each journey whose trigger names none of ``segments``."""
    findings: list[Diagnostic] = []
    for file, journey in journeys:
        if journey.trigger.event not in (SEGMENT_ENTERED, SEGMENT_LEFT):
            continue
        node = _segment_of(parse(journey.source, Report("")))
        if node is None or node.text in segments:
            continue
        report = Report(str(file))
        hint = did_you_mean(
            node.text, segments, otherwise=f"write config/segments/{short(node.text)}.yaml"
        )
        report.add("S052", node.place, f"there is no segment '{short(node.text)}'", hint)
        findings += report.diagnostics()
    return findings


def _segment_of(tree: Tree | None) -> Scalar | None:
    for word in ("trigger", "segment"):
        tree = _under(tree, word)
    for word in ("entered", "left"):
        found = _under(tree, word)
        if isinstance(found, Scalar):
            return found
    return None


def _under(tree: Tree | None, word: str) -> Tree | None:
    if isinstance(tree, Mapping):
        for entry in tree.entries:
            if entry.key.text == word:
                return entry.value
    return None
