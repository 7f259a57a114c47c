"""Files of codes as shops' systems export them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.intake.codes import read_codes


def codes(text: str) -> list[str]:
    return [found.code for found in read_codes(text.splitlines(keepends=True)) if not found.wrong]


def refused(text: str) -> list[tuple[int, str]]:
    return [(f.line, f.wrong) for f in read_codes(text.splitlines(keepends=True)) if f.wrong]


@pytest.mark.parametrize(
    "text",
    [
        "A1\nB2\n",
        "\ufeffA1\r\n\r\n  B2  \r\n",
        "code\nA1\nB2",
        "Id,Discount_Code,Value\n1,A1,10\n2,B2,10\n",
        "Voucher;Wert\nA1;10,00\nB2;10,00\n",
        "id\tcoupon\n1\tA1\n2\t B2\n",
        '"A1"\n"B2",10%\n',
    ],
)
def test_every_form(text: str) -> None:
    assert codes(text) == ["A1", "B2"]
    assert refused(text) == []


def test_refused_lines_say_which_and_why() -> None:
    text = f"code,value\nA1,1\nA 2,1\n{'x' * 201},1\n,5\nA\0,1\nB\x07,1\nB2\n"
    assert codes(text) == ["A1", "B2"]
    assert refused(text) == [
        (3, "a space in the code"),
        (4, "longer than 200 characters"),
        (5, "no code"),
        (6, "characters that cannot be printed"),
        (7, "characters that cannot be printed"),
    ]


def test_a_quote_that_never_ends_swallows_nothing() -> None:
    assert codes('A1\n"B 2\nC3\n') == ["A1", "C3"]
    assert refused('A1\n"B 2\nC3\n') == [(2, "a space in the code")]


def test_a_line_that_never_ends_is_no_trap() -> None:
    assert refused("x" * 10_000_000) == [(1, "longer than 200 characters")]


@given(st.text(max_size=300))
def test_any_text_is_codes_or_refused(text: str) -> None:
    for found in read_codes(text.splitlines(keepends=True)):
        assert found.wrong or (found.code.isprintable() and " " not in found.code and found.code)
