"""The fast parser says what the exact one says, or nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language import reader
from engine.language.report import Report
from engine.language.tree import Tree

ROOT = Path(__file__).parents[2]
WRITTEN = [
    file.read_bytes().decode("utf-8", "replace")
    for folder in ("journeys", "config", "tests/unit/language")
    for file in sorted((ROOT / folder).rglob("*.y*ml"))
]
#: What YAML is made of, and what other programs leave in it.
SIGNS = [
    *(": ", ":", "- ", "-", "? ", "#", " #", ",", "{", "}", "[", "]", "{a: b}", "[a, b]", "''"),
    *("&", "*", "!", "%", "@", "`", "|", ">", "|\n", ">-\n", "|+2\n", "'", '"', '""', "\\", "\\/"),
    *("\\x41", "\\n", "---", "\n---\n", "...", "%YAML 1.1\n", "<<: ", "~", "=", "\t", "\r", "\r\n"),
    *("\n", "\n\n", "\n  ", "  ", "\x00", "\x85", "\u2028", "\u2029", "\ufeff", "\ud800", "é"),
]


def exactly(text: str) -> Tree | None:
    return reader._parse_exactly(text, Report("x"))


def same(text: str) -> bool:
    """Whether the fast parser had a say; then it must be the other's."""
    fast = reader._parse_fast(text)
    if fast is not None:
        assert fast == exactly(text), text
    return fast is not None


def test_the_journeys_that_ship_are_read_fast() -> None:
    files = [f for f in (ROOT / "journeys").rglob("*.yaml") if f.parent.name != "tests"]
    assert len(files) >= 18
    for file in files:
        assert same(file.read_text("utf-8")), file


def test_everything_that_is_written_is_read_alike() -> None:
    assert sum(map(same, WRITTEN)) > 200


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n---\nb: 2",
        "---",
        "if: >\n \n   x",
        "a: |#\n  x",
        "a:\tb",
        'a: ["10:00" :, b]',
        "a: {? }",
        'a: ["" :b]',
        "a: x\u2028y",
        "a: x\x85b: y",
        "a: \ufeffx",
        "just words",
        "|\n words",
        "a: [",
        "a: *b",
        "a: !!int 3",
        "<<: {a: b}",
        "",
    ],
)
def test_what_is_wrong_or_rare_is_left_to_the_exact_parser(text: str) -> None:
    assert reader._parse_fast(text) is None


@given(st.sampled_from(WRITTEN), st.randoms(use_true_random=False))
def test_slips_of_the_keyboard_are_read_alike(text: str, chance: random.Random) -> None:
    lines = text.split("\n")
    begin = chance.randrange(len(lines))
    text = "\n".join(lines[begin : begin + chance.randint(1, 12)])
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(text))
        if chance.random() < 0.75:
            text = text[:at] + chance.choice(SIGNS) + text[at:]
        else:
            text = text[:at] + text[at + chance.randint(1, 5) :]
    same(text)


def test_without_the_parser_in_c_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "journeys" / "win-back.yaml").read_text("utf-8")
    fast = reader.parse(text, Report("x"))
    monkeypatch.setattr("ruamel.yaml.main.CParser", None)
    monkeypatch.setattr("ruamel.yaml.main.CEmitter", None)
    assert reader.parse(text, Report("x")) == fast == exactly(text)
