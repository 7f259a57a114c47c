"""Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines they are about."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine import __version__
from engine.language import CODES, Code
from engine.model.diagnostic import Diagnostic

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def sarif(found: Iterable[Diagnostic]) -> dict[str, Any]:
    """One run of lint. All codes are among its rules, so that those which no longer are found
    still have their words."""
    index = {name: number for number, name in enumerate(CODES)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "winback lint",
                        "version": __version__,
                        "rules": [_rule(name, code) for name, code in CODES.items()],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, index[finding.code]) for finding in found],
            }
        ],
    }


def _rule(name: str, code: Code) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": code.title[0].upper() + code.title[1:] + "."},
        "fullDescription": {"text": code.explanation},
        "help": {"text": f"{code.explanation}\n\nSee also: winback lint --explain {name}"},
        "defaultConfiguration": {"level": code.severity},
    }


def _result(finding: Diagnostic, index: int) -> dict[str, Any]:
    hint = f" — {finding.hint}" if finding.hint else ""
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": finding.message + hint},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(Path(finding.file)),
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
    }


def _artifact(file: Path) -> dict[str, str]:
    """Relative to the root of what is checked, as far as the file lies below it."""
    if file.is_absolute():
        return {"uri": file.as_uri()}
    return {"uri": quote(file.as_posix()), "uriBaseId": "%SRCROOT%"}
