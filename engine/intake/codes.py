"""Files of coupon codes: CSV (by comma, semicolon or tab), or one code a line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

LONGEST = 200
_LONGEST_LINE = 10_000

#: Columns that hold the codes, as shops' systems export them.
HEADERS = ("code", "coupon", "coupon code", "discount code", "voucher", "voucher code")


class Code(NamedTuple):
    """A code and its line; or, with ``wrong``, why the line is refused."""

    line: int
    code: str
    wrong: str = ""


def read_codes(lines: Iterable[str]) -> Iterator[Code]:
    """The codes of a file, by line (1 is the first). A header is known by its words; with one, the
    codes are in its column, without, in the first. Empty lines are passed over."""
    clean = _printable(lines)
    first = next(clean, "")
    between = max(",;\t", key=first.count)
    place: int | None = None
    for number, line in enumerate(chain([first], clean), 1):
        # By itself: a quote that nobody closed must not swallow the rest of the file.
        row = next(csv.reader([line], delimiter=between, skipinitialspace=True), [])
        if not any(cell.strip() for cell in row):
            continue
        if place is None:
            place = _column(row)
            if place is not None:
                continue
            place = 0
        code = row[place].strip() if place < len(row) else ""
        yield Code(number, code, _wrong(code))


def _printable(lines: Iterable[str]) -> Iterator[str]:
    """Without what would end the reading: a NUL, a mark at the beginning of the file."""
    for number, line in enumerate(lines):
        line = line[:_LONGEST_LINE].replace("\0", "\ufffd")
        yield line.removeprefix("\ufeff") if number == 0 else line


def _column(row: list[str]) -> int | None:
    words = [" ".join(cell.lower().replace("_", " ").split()) for cell in row]
    return next((words.index(word) for word in HEADERS if word in words), None)


def _wrong(code: str) -> str:
    if not code:
        return "no code"
    if len(code) > LONGEST:
        return f"longer than {LONGEST} characters"
    if not code.isprintable() or "\ufffd" in code:
        return "characters that cannot be printed"
    if any(letter.isspace() for letter in code):
        return "a space in the code"
    return ""
