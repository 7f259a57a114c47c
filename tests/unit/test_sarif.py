"""The SARIF that code hosts read: its structure, its places, its rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.cli._sarif import sarif
from engine.language import CODES
from engine.model.diagnostic import Diagnostic

TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
#: The parts of SARIF 2.1.0 (sections 3.13 to 3.52) that lint writes, with what they must hold.
STRUCTURE = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "pattern": "^https://.*sarif-schema-2.1.0.json$"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "run": {
            "type": "object",
            "required": ["tool", "results"],
            "additionalProperties": False,
            "properties": {
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "properties": {
                        "driver": {
                            "type": "object",
                            "required": ["name", "rules"],
                            "additionalProperties": False,
                            "properties": {
                                "name": {"type": "string"},
                                "version": {"type": "string"},
                                "rules": {
                                    "type": "array",
                                    "uniqueItems": True,
                                    "items": {"$ref": "#/$defs/rule"},
                                },
                            },
                        }
                    },
                },
            },
        },
        "rule": {
            "type": "object",
            "required": ["id", "help"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "string", "pattern": "^[JST][0-9]{3}$"},
                "shortDescription": TEXT,
                "fullDescription": TEXT,
                "help": TEXT,
                "defaultConfiguration": {"type": "object", "properties": {"level": LEVEL}},
            },
        },
        "result": {
            "type": "object",
            "required": ["message", "ruleId", "locations"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": 0},
                "level": LEVEL,
                "message": TEXT,
                "locations": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["physicalLocation"],
                        "properties": {
                            "physicalLocation": {
                                "type": "object",
                                "required": ["artifactLocation", "region"],
                                "properties": {
                                    "artifactLocation": {
                                        "type": "object",
                                        "required": ["uri"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "uri": {
                                                "type": "string",
                                                "pattern": r"^[A-Za-z0-9%/:._~-]+$",
                                            },
                                            "uriBaseId": {"type": "string"},
                                        },
                                    },
                                    "region": {
                                        "type": "object",
                                        "required": ["startLine", "startColumn"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "startLine": {"type": "integer", "minimum": 1},
                                            "startColumn": {"type": "integer", "minimum": 1},
                                        },
                                    },
                                },
                            }
                        },
                    },
                },
            },
        },
    },
}


def one(**changes: Any) -> Diagnostic:
    given = {
        **{"file": "journeys/cart.yaml", "line": 8, "column": 5, "severity": "error"},
        **{"code": "J012", "message": "unknown step 'wiat'", "hint": "did you mean 'wait'?"},
    }
    return Diagnostic(**{**given, **changes})


def checked(*found: Diagnostic) -> dict[str, Any]:
    log = sarif(found)
    Draft202012Validator(STRUCTURE).validate(log)
    assert json.loads(json.dumps(log)) == log
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_a_finding_and_its_place() -> None:
    (result,) = checked(one())["results"]
    assert result["ruleId"] == "J012"
    assert result["level"] == "error"
    assert result["message"]["text"] == "unknown step 'wiat' — did you mean 'wait'?"
    place = result["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 8, "startColumn": 5}
    assert place["artifactLocation"] == {"uri": "journeys/cart.yaml", "uriBaseId": "%SRCROOT%"}


def test_no_finding_is_a_run_too() -> None:
    assert checked()["results"] == []


def test_every_code_is_a_rule_with_help() -> None:
    rules = checked()["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    for rule in rules:
        code = CODES[rule["id"]]
        assert rule["defaultConfiguration"]["level"] == code.severity
        assert code.explanation in rule["help"]["text"]
        assert rule["shortDescription"]["text"].endswith(".")


@pytest.mark.parametrize("code", ["J001", "J067", "T004"])
def test_the_index_is_that_of_the_rule(code: str) -> None:
    run = checked(one(code=code, severity=CODES[code].severity))
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == code
    assert result["level"] == CODES[code].severity


@pytest.mark.parametrize(
    "file, uri",
    [
        ("journeys/mein korb.yaml", "journeys/mein%20korb.yaml"),
        ("journeys/टोकरी.yaml", "journeys/%E0%A4%9F%E0%A5%8B%E0%A4%95%E0%A4%B0%E0%A5%80.yaml"),
        ("journeys/50%.yaml", "journeys/50%25.yaml"),
    ],
)
def test_a_place_is_a_uri(file: str, uri: str) -> None:
    (result,) = checked(one(file=file))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_a_file_elsewhere(tmp_path: Path) -> None:
    (result,) = checked(one(file=str(tmp_path / "a.yaml"), hint=""))["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": (tmp_path / "a.yaml").as_uri()}
    assert result["message"]["text"] == "unknown step 'wiat'"
