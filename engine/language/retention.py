"""The key ``retention`` of config/winback.yaml: how long what piles up is kept."""

from __future__ import annotations

from dataclasses import fields as members
from datetime import timedelta

from engine.core.durations import show_duration
from engine.language.fields import Fields, read_duration
from engine.language.report import Report
from engine.language.tree import Scalar, Tree
from engine.model.retention import LEAST, Retention

#: The kinds, as a shop writes them.
KINDS = tuple(member.name.replace("_", " ") for member in members(Retention))
#: It is kept for ever.
NEVER = ("never", "0")


def read_retention(report: Report, node: Tree | None) -> Retention:
    """What is wrong is reported, and then keeps its usual time."""
    usual = Retention()
    if node is None:
        return usual
    given = Fields(report, node, "'retention'", KINDS)
    found: dict[str, timedelta | None] = {}
    for kind in KINDS:
        name = kind.replace(" ", "_")
        found[name] = _kept(report, given.get(kind), kind, getattr(usual, name))
    return Retention(**found)


def _kept(
    report: Report, node: Tree | None, kind: str, usual: timedelta | None
) -> timedelta | None:
    if node is None:
        return usual
    if isinstance(node, Scalar) and node.text.strip() in NEVER:
        return None
    kept = read_duration(report, node)
    if kept is not None and kept < LEAST:
        hint = f"write {show_duration(LEAST)} or more, or never: then nothing of it is deleted"
        message = f"'{kind}' cannot go after {show_duration(kept)}: it may still be asked for"
        report.add("J011", node.place, message, hint)
        return usual
    return kept or usual
