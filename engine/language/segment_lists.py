"""Static lists of shoppers: ``config/segments/lists/NAME.txt``, one a line."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from engine.language.report import Place, Report
from engine.language.tree import short
from engine.model.diagnostic import Diagnostic
from engine.model.event import IDENTIFIER_KINDS

_EMAIL = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


class StaticList(NamedTuple):
    """``identifiers`` as events name them (``email:…``); ``digest`` tells two contents apart."""

    name: str
    identifiers: frozenset[str]
    digest: str


def load_lists(directory: Path) -> tuple[dict[str, StaticList], list[Diagnostic]]:
    """Every ``*.txt`` of the folder, which need not be there. A line that names nobody is a finding
    and is left out."""
    found: dict[str, StaticList] = {}
    findings: list[Diagnostic] = []
    for file in sorted(directory.glob("*.txt")):
        report = Report(str(file))
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            report.add("J001", Place(1, 1), f"cannot be read: {type(error).__name__}")
            findings += report.diagnostics()
            continue
        names = {name for name in _names(report, text)}
        digest = sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
        found[file.stem] = StaticList(file.stem, frozenset(names), digest)
        findings += report.diagnostics()
    return found, findings


def _names(report: Report, text: str) -> list[str]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        name = _identifier(written)
        if name is None:
            # What stands there may be a person's: the place says enough.
            hint = "write an e-mail address, +44 20 7946 0000, or user:42"
            report.add("S009", Place(number, 1), "this line names nobody", hint)
        else:
            found.append(name)
    return found


def _identifier(written: str) -> str | None:
    kind, colon, value = written.partition(":")
    if not colon or kind not in IDENTIFIER_KINDS:
        kind, value = ("email" if "@" in written else "phone"), written
    value = value.strip()
    if kind == "email":
        value = value.lower()
        return f"email:{value}" if _EMAIL.fullmatch(value) else None
    if kind == "phone":
        digits = re.sub(r"[\s().-]", "", value)
        return f"phone:{digits}" if _PHONE.fullmatch(digits) else None
    return f"{kind}:{value}" if value and short(value) == value else None
