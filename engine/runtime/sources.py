"""Where a backtest gets its events: files of several kinds, or the shop's own database.

Tables (CSV, Parquet) are read by DuckDB and written out as lines in Segment form, so that an
event is understood by one reader only, wherever it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import WinbackError
from engine.intake.recordings import BadLine
from engine.intake.times import readable

#: What a table's file name ends in (``.gz`` may follow that of text), and DuckDB's function for it.
_READERS = {
    ".csv": "read_csv(?, all_varchar = true, header = true)",
    ".tsv": "read_csv(?, all_varchar = true, header = true, delim = '\t')",
    ".parquet": "read_parquet(?)",
}
_ROWS = 5000
_MEMORY = "200MB"

#: Fields of an event that a column can fill, by the column's name in small letters without "_".
_FIELDS = {
    name.lower(): name
    for name in (
        *("type", "event", "userId", "anonymousId", "previousId", "messageId", "timestamp"),
        *("properties", "traits", "context"),
    )
}
_INSIDE = ("properties", "traits", "context")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
_EPOCH = re.compile(r"[0-9]{9,14}")
#: Numbers in name only: an id keeps its digits as they are written.
_ID = re.compile(r"(?:^|_)(?:id|ids|sku|code|phone|token|zip|postcode)$", re.IGNORECASE)


class TableError(WinbackError):
    """A table cannot be read as events."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """How a table that has other names is read: field of the event -> column (``columns``) or ->
    a value that all rows have (``values``). A field is ``event``, ``userId``, ``timestamp``,
    ``properties.price`` and so on."""

    columns: Mapping[str, str]
    values: Mapping[str, str]

    def __post_init__(self) -> None:
        for field in (*self.columns, *self.values):
            if _field(field) is None:
                names = ", ".join(sorted(_FIELDS.values()))
                raise TableError(
                    f"An event has no field '{field}': there are {names}, and properties.NAME, "
                    "traits.NAME and context.NAME."
                )


def is_table(path: Path) -> bool:
    """Whether the file is read as a table."""
    return _reader(path) is not None


def _reader(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes = [s for s in suffixes[-2:-1] if s != ".parquet"]
    return _READERS.get(suffixes[-1]) if suffixes else None


def write_lines(path: Path, mapped: Mapped, out: Path, bad: list[BadLine]) -> list[str]:
    """Write each row of a table as a line in Segment form; gives the columns that were not used.

    Columns: ``event``, ``userId`` (or ``user_id``), ``anonymousId``, ``timestamp``,
    ``messageId``, and ``properties.NAME`` or one ``properties`` of JSON (``traits`` and
    ``context`` likewise). A row without a time that can be read is put into ``bad``: its event
    would count as happening now. Raises ``TableError``.
    """
    import duckdb  # some 40 ms, and only for tables

    reader = _reader(path)
    assert reader is not None
    encode = msgspec.json.Encoder(decimal_format="number").encode
    try:
        with duckdb.connect(config={"memory_limit": _MEMORY, "threads": 1}) as base:
            base.execute("set timezone = 'UTC'")
            base.execute(f"select * from {reader}", [str(path)])
            names = [str(column[0]) for column in base.description or ()]
            makers, unused = _makers(names, mapped, path)
            with out.open("wb") as lines:
                for number, row in enumerate(_rows(base), 2 if _has_header(path) else 1):
                    item = _item(row, makers, mapped)
                    if isinstance(item, str):
                        bad.append(BadLine(str(path), number, item))
                    else:
                        lines.write(encode(item) + b"\n")
    except duckdb.Error as error:
        raise TableError(f"{path}: {str(error).splitlines()[0]}") from error
    return unused


def _rows(base: Any) -> Iterator[tuple[Any, ...]]:
    while rows := base.fetchmany(_ROWS):
        yield from rows


def _has_header(path: Path) -> bool:
    return path.suffix.lower() != ".parquet"


#: (place in the row, field, name in it or "", value -> value)
Maker = tuple[int, str, str, Callable[[Any], Any]]


def _makers(names: list[str], mapped: Mapped, path: Path) -> tuple[list[Maker], list[str]]:
    missing = sorted(set(mapped.columns.values()) - set(names))
    if missing:
        raise TableError(f"{path} has no column '{missing[0]}'. It has: {', '.join(names)}.")
    wanted: list[tuple[str, str]] = [(column, field) for field, column in mapped.columns.items()]
    taken = {_field(field) for field in (*mapped.columns, *mapped.values)}
    wanted += [(name, name) for name in names if (f := _field(name)) is not None and f not in taken]
    makers: list[Maker] = []
    for column, field in wanted:
        found = _field(field)
        assert found is not None
        outer, inner = found
        reads = _as_value if inner and not _ID.search(inner) else _as_text
        if not inner and outer in _INSIDE:
            reads = _as_mapping
        elif outer == "timestamp":
            reads = _as_time
        makers.append((names.index(column), outer, inner, reads))
    given = {outer for _, outer, _, _ in makers} | {f[0] for f in taken if f is not None}
    if "timestamp" not in given or not given & {"event", "type"}:
        raise TableError(
            f"{path} needs a column for the time and one for the event's name. It has: "
            f"{', '.join(names)}. Name them: --map timestamp=COLUMN --map event=COLUMN, or "
            '--set event="Order Completed" where all rows are the same.'
        )
    used = {column for column, _ in wanted}
    return makers, [name for name in names if name not in used]


def _field(name: str) -> tuple[str, str] | None:
    """(field, name within it) that a column called ``name`` fills."""
    outer, dot, inner = name.partition(".")
    field = _FIELDS.get(outer.strip().lower().replace("_", ""))
    if dot:
        return (field, inner.strip()) if field in _INSIDE and inner.strip() else None
    return None if field is None else (field, "")


def _item(row: tuple[Any, ...], makers: list[Maker], mapped: Mapped) -> dict[str, Any] | str:
    """One line in Segment form, or why the row makes none."""
    item: dict[str, Any] = {}
    try:
        for place, outer, inner, reads in makers:
            raw = row[place]
            if raw is not None and raw != "":
                _put(item, outer, inner, reads(raw))
    except ValueError as error:
        return str(error)
    for field, text in mapped.values.items():
        found = _field(field)
        assert found is not None
        _put(item, *found, _as_value(text) if found[1] else text)
    item.setdefault("type", "track")
    if "timestamp" not in item:
        return "the row has no timestamp"
    if readable(item["timestamp"]) is None:
        return f"the timestamp cannot be read: {str(item['timestamp'])[:60]}"
    return item


def _put(item: dict[str, Any], outer: str, inner: str, value: Any) -> None:
    if inner:
        item.setdefault(outer, {})[inner] = value
    elif outer in _INSIDE:
        item[outer] = {**value, **item.get(outer, {})}
    else:
        item[outer] = value


def _as_text(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_time(value: Any) -> Any:
    """Seconds or milliseconds since 1970 where it is a number, in text too."""
    text = _as_text(value)
    return int(text) if isinstance(text, str) and _EPOCH.fullmatch(text) else text


def _as_value(value: Any) -> Any:
    """A property as JSON would have it: text that is a number, a truth or JSON becomes that."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return Decimal(text) if "." in text else int(text)
    if text in ("true", "false"):
        return text == "true"
    if text[:1] in ("[", "{"):
        try:
            return _decode(text)
        except ValueError:
            return text
    return text


def _as_mapping(value: Any) -> dict[str, Any]:
    found = value
    if isinstance(value, str):
        try:
            found = _decode(value)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"not a JSON object: {str(value)[:40]}")
    return dict(found)


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
