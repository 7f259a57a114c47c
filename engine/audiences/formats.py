"""A customer file in another format than CSV.

The CSV stays the one that is compared and kept; the others are made of it when they go out. Of
columns with the same heading (TikTok's) the later ones are numbered: ``Email_SHA256_1``.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import duckdb
import msgspec

Format = Literal["csv", "jsonl", "parquet"]


def convert(source: Path, target: Path, format: Format) -> None:
    """Write the CSV file ``source`` as ``target``: a line or row for each of its rows, all values
    text, what is empty left out (JSONL) or null (Parquet). Only the owner may read it."""
    target.unlink(missing_ok=True)
    if format == "parquet":
        _parquet(source, target)
        return
    with open(target, "xb", opener=_owner_only) as file:
        if format == "csv":
            file.write(source.read_bytes())
        else:
            file.writelines(_lines(source))


def _lines(source: Path) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    with source.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        names = _names(next(rows))
        for row in rows:
            yield encode({n: v for n, v in zip(names, row, strict=True) if v}) + b"\n"


def _parquet(source: Path, target: Path) -> None:
    with source.open(encoding="utf-8", newline="") as file:
        names = _names(next(csv.reader(file)))
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    target.touch(mode=0o600)
    with duckdb.connect(config={"threads": 1, "memory_limit": "200MB"}) as connection:
        connection.execute(
            f"""copy (select * from read_csv($source, columns = {{{columns}}}, header = true,
                      delim = ',', quote = '"', auto_detect = false))
                  to '{str(target).replace("'", "''")}' (format parquet)""",
            {"source": str(source)},
        )


def _names(heads: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for head in heads:
        names.append(f"{head}_{seen[head]}" if seen[head] else head)
        seen[head] += 1
    return names


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
