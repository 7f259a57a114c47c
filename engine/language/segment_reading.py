"""What the reading of one segment shares, and the conditions in it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from engine.core.conditions import names_used
from engine.language.fields import read_condition
from engine.language.report import Place, Report
from engine.language.sense_names import check_fields, check_name
from engine.language.tree import Scalar, Tree
from engine.model.journey import Condition


@dataclass(slots=True)
class Reading:
    """What the reading of one segment shares. ``topics``, ``lists`` (their folder) and ``journeys``
    that are None are not checked; dates without an offset are in ``zone``. ``names`` collects the
    other segments that it names and where."""

    report: Report
    name: str
    zone: str = "UTC"
    topics: Collection[str] | None = None
    lists: Path | None = None
    journeys: Collection[str] | None = None
    names: dict[str, Place] = field(default_factory=dict)


def read_test(
    reading: Reading,
    node: Tree | None,
    path: str,
    names: tuple[str, ...],
    *,
    history: bool = False,
    event: str | None = None,
) -> Condition | None:
    """Compile a condition that may read ``names``; with ``history`` it may call bought() too.
    ``event`` is the name of the event that it is about, if one is known."""
    if node is None:
        return None
    condition = read_condition(reading.report, node, path)
    if condition is None:
        return None
    assert isinstance(node, Scalar)
    foreign = sorted({holder for holder, _ in names_used(condition)} - set(names))
    for name in foreign:
        offset = re.search(rf"\b{name}\b", node.text)
        place = node.at(offset.start()) if offset else node.place
        hint = {
            "now": "say 'within', 'longer ago than' or 'date' instead",
            "event": "name the event: 'did: Product Viewed' with 'if' beside it",
        }.get(name, f"use {' and '.join(names)}")
        reading.report.add("S004", place, f"'{name}' means nothing here", hint)
    if condition.history and not history:
        hint = "make a rule of its own of it"
        message = "bought(), did() and count() mean nothing in the 'if' of an event"
        reading.report.add("S004", node.place, message, hint)
        return None
    for name, _ in condition.history:
        at = node.text.find(name)
        check_name(reading.report, name, node.at(at) if at >= 0 else node.place)
    if event is not None:
        check_fields(reading.report, event, condition, node)
    return None if foreign else condition
