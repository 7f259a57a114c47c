"""Which ad audiences are kept up to date by API, from config/winback.yaml."""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.language.actions import PLATFORMS
from engine.language.fields import Fields, did_you_mean, read_entries
from engine.language.report import Report
from engine.language.tree import Tree, short
from engine.model.audience import AdList

#: The name of an audience, and the id of an account or a list at a platform, as people copy it.
AUDIENCE = rf"^(?:{'|'.join(PLATFORMS)})/[a-z0-9]+(?:-[a-z0-9]+)*$"
ID = r"^[0-9][0-9-]{2,22}$"
KEYS = ("list", "account", "login account", "segment", "provider")


def read_audiences(
    report: Report, node: Tree | None, segments: Collection[str] | None = None
) -> dict[str, AdList]:
    """By name those that have a list at their platform. One with ``provider: file`` stays a
    file, whatever else is said of it. ``segments`` are those that there are; None: not known."""
    found: dict[str, AdList] = {}
    for key, value in read_entries(report, node, "'audiences'"):
        name = key.text
        platform = name.partition("/")[0]
        if not re.match(AUDIENCE, name):
            hint = did_you_mean(name, PLATFORMS, otherwise="write google/left-behind")
            report.add("J021", key.place, f"'{short(name)}' is not an audience", hint)
            continue
        fields = Fields(report, value, f"'{name}'", KEYS)
        by_file = fields.choice("provider", ("api", "file")) == "file"
        ids = {each: _id(report, fields, each) for each in KEYS[:3]}
        if by_file and (segment := fields.get("segment")):
            hint = "give it a list, or let a journey put shoppers on it"
            report.add("J011", segment.place, "a segment feeds no file", hint)
        if by_file or not fields.sound:
            continue
        needed = ("list", "account") if platform == "google" else ("list",)
        missing = [each for each in needed if ids[each] is None]
        for each in missing:
            if each not in fields and not fields.meant(each):
                hint = f"add '{each}: …', or 'provider: file'"
                report.add("J006", fields.place, f"'{name}' needs '{each}'", hint)
        if not missing:
            found[name] = AdList(
                name,
                ids["list"] or "",
                ids["account"] or "",
                ids["login account"] or "",
                _segment(report, fields, segments),
            )
    return found


def _segment(report: Report, fields: Fields, known: Collection[str] | None) -> str:
    text, node = fields.text("segment"), fields.get("segment")
    if text is None or node is None:
        return ""
    if known is not None and text not in known:
        hint = did_you_mean(text, known, otherwise="write it as config/segments/NAME.yaml")
        report.add("J011", node.place, f"there is no segment '{short(text)}'", hint)
        return ""
    return text


def _id(report: Report, fields: Fields, key: str) -> str | None:
    text, node = fields.text(key), fields.get(key)
    if text is None or node is None:
        return None
    if not re.match(ID, text):
        message = f"'{key}' cannot be '{short(text)}'"
        report.add("J011", node.place, message, 'write its digits: "1234567890"')
        return None
    return text.replace("-", "")
