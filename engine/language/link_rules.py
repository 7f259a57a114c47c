"""What becomes of links, from ``links:`` in config/winback.yaml."""

from __future__ import annotations

import re

from engine.language.fields import Fields, read_choice, read_entries, read_text
from engine.language.report import Report
from engine.language.tree import Tree, short
from engine.model.links import LinkRules

LINKS = ("track", "shorten", "utm")
#: Google Analytics' five; others have no meaning to anybody.
UTM = ("source", "medium", "campaign", "term", "content")
#: What a value may hold of the message.
HOLES = ("journey", "channel", "template", "step")
_HOLE = re.compile(r"\{([^{}]*)\}|[{}]")


def read_links(report: Report, node: Tree | None) -> LinkRules:
    """The key ``links``; without it links stay as they are written."""
    if node is None:
        return LinkRules()
    fields = Fields(report, node, "'links'", LINKS)
    return LinkRules(
        track=fields.boolean("track") is not False,
        shorten=fields.boolean("shorten") is not False,
        utm=_utm(report, fields.get("utm")),
    )


def _utm(report: Report, node: Tree | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in read_entries(report, node, "'utm'"):
        name = read_choice(report, key, "'utm'", UTM)
        text = read_text(report, value, f"'{key.text}'")
        if name is None or text is None:
            continue
        strange = [hole[0] for hole in _HOLE.finditer(text) if hole[1] not in HOLES]
        if strange:
            message = f"'{key.text}' cannot be '{short(text)}': {strange[0]} stands for nothing"
            hint = "use " + ", ".join(f"{{{hole}}}" for hole in HOLES)
            report.add("J011", value.place, message, hint)
            continue
        found[name] = text
    return found
