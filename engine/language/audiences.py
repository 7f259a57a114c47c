"""Which ad audiences are kept up to date by API and which files go where, from
config/winback.yaml."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import urlsplit

from engine.language.actions import BY_API, PLATFORMS
from engine.language.fields import Fields, did_you_mean, read_entries
from engine.language.report import Report
from engine.language.tree import Tree, short
from engine.model.audience import AdFile, AdList

#: The name of an audience, and the id of an account or a list at a platform, as people copy it.
AUDIENCE = rf"^(?:{'|'.join(PLATFORMS)})/[a-z0-9]+(?:-[a-z0-9]+)*$"
ID = r"^[0-9][0-9-]{2,22}$"
#: Where files go: a folder, sftp://user@host/folder, s3://bucket/folder.
TO = (
    r"^(?:sftp://[^\s@:/]+@[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/\S*)?"
    r"|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/\S*)?"
    r"|(?![A-Za-z0-9+.-]+://)\S(?:.*\S)?)$"
)
FORMATS = ("csv", "jsonl", "parquet")
_IDS = ("list", "account", "login account")
_OF_FILES = ("to", "format")
KEYS = (*_IDS, "segment", "provider", *_OF_FILES)


def read_audiences(
    report: Report, node: Tree | None, segments: Collection[str] | None = None
) -> tuple[dict[str, AdList], dict[str, AdFile]]:
    """By name those that have a list at their platform, and those that are files. One with
    ``provider: file`` stays a file, whatever else is said of it, and so do all of a platform
    without an API here. ``segments`` are those that there are; None: not known."""
    lists: dict[str, AdList] = {}
    files: dict[str, AdFile] = {}
    for key, value in read_entries(report, node, "'audiences'"):
        name = key.text
        platform = name.partition("/")[0]
        if not re.match(AUDIENCE, name):
            hint = did_you_mean(name, PLATFORMS, otherwise="write google/left-behind")
            report.add("J021", key.place, f"'{short(name)}' is not an audience", hint)
            continue
        fields = Fields(report, value, f"'{name}'", KEYS)
        provider = fields.choice("provider", ("api", "file"))
        ids = {each: _id(report, fields, each) for each in _IDS}
        if not fields.sound:
            continue
        by_file = provider == "file" or platform not in BY_API
        if by_file:
            _no_list(report, fields, platform)
            files[name] = AdFile(name, _segment(report, fields, segments), *_where(report, fields))
            continue
        for each in _OF_FILES:
            if each in fields:
                hint = "add 'provider: file', or leave it out"
                report.add("J011", fields.key_place(each), f"'{each}' is of files only", hint)
        needed = ("list", "account") if platform == "google" else ("list",)
        missing = [each for each in needed if ids[each] is None]
        for each in missing:
            if each not in fields and not fields.meant(each):
                hint = f"add '{each}: …', or 'provider: file'"
                report.add("J006", fields.place, f"'{name}' needs '{each}'", hint)
        if not missing:
            lists[name] = AdList(
                name,
                ids["list"] or "",
                ids["account"] or "",
                ids["login account"] or "",
                _segment(report, fields, segments),
            )
    return lists, files


def _no_list(report: Report, fields: Fields, platform: str) -> None:
    if platform in BY_API:
        return  # a list that is a file for a while
    if fields.text("provider") == "api":
        message = f"there is no API of '{platform}' here"
        report.add("J011", fields.key_place("provider"), message, "its lists are files")
    for each in _IDS:
        if each in fields:
            message = f"'{each}' is of Google and Meta only"
            report.add("J011", fields.key_place(each), message, "leave it out")


def _where(report: Report, fields: Fields) -> tuple[str, Literal["csv", "jsonl", "parquet"]]:
    to, node = fields.text("to"), fields.get("to")
    wanted = fields.choice("format", FORMATS)
    format: Literal["csv", "jsonl", "parquet"] = (
        "jsonl" if wanted == "jsonl" else "parquet" if wanted == "parquet" else "csv"
    )
    if to is None or node is None:
        if wanted is not None and not fields.meant("to"):
            hint = "add 'to: …': a folder, sftp://user@host/folder or s3://bucket/folder"
            report.add("J006", fields.key_place("format"), "'format' needs 'to'", hint)
        return "", format
    if not re.match(TO, to):
        hint = "write a folder, sftp://user@host/folder or s3://bucket/folder"
        if to.startswith("sftp://") and ":" in urlsplit(to).netloc.rpartition("@")[0]:
            to = "sftp://…"
            hint = "a password does not belong here: export WINBACK_SFTP_PASSWORD=…"
        report.add("J011", node.place, f"'to' cannot be '{short(to)}'", hint)
        return "", format
    return to, format


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
