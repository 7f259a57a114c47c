"""Recordings of all kinds become the same events in the same order."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.intake import recordings
from engine.intake.excerpt import Excerpt, Looks
from engine.intake.recordings import BadLine, Ordered
from engine.intake.segment import read_recorded
from engine.model.event import Event
from engine.runtime.sources import Mapped, TableError, is_table, write_lines
from tests.shared_data import shared

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PLAIN = Mapped({}, {})


def line(number: int, at: datetime, **more: Any) -> str:
    item = {
        "type": "track",
        "event": "Product Viewed",
        "userId": f"u{number % 9}",
        "messageId": f"m{number:05}",
        "timestamp": at.isoformat(),
        "properties": {"product_id": str(number), "price": 1.5, "unread": {"a": [1, 2]}},
    }
    return json.dumps(item | more)


def made(count: int) -> list[str]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return [line(n, begin + timedelta(minutes=n // 3)) for n in range(count)]


def read(tmp_path: Path, *files: Path, looks: Looks | None = None) -> tuple[list[Event], Ordered]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    ordered = Ordered(scratch, NOW)
    for file in files:
        ordered.add(file)
    return list(ordered.events(Excerpt(looks or Looks(), NOW, "US"))), ordered


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize("piece", [recordings.PIECE, 2000])
def test_shuffled_lines_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(recordings, "PIECE", piece)  # 2000: many pieces on the disk
    lines = made(300)
    straight, _ = read(tmp_path, write(tmp_path / "a.jsonl", lines))
    random.Random(4).shuffle(lines)
    shuffled, ordered = read(tmp_path, write(tmp_path / "b.jsonl", lines))
    assert shuffled == straight
    assert [e.order_key for e in shuffled] == sorted(e.order_key for e in shuffled)
    assert ordered.total == 300
    assert bool(list((tmp_path / "scratch").glob("piece-*"))) == (piece == 2000)


def test_several_files_are_merged_and_what_stands_in_both_counts_once(tmp_path: Path) -> None:
    lines = made(90)
    one = write(tmp_path / "one.jsonl", lines[::2])
    two = tmp_path / "two.jsonl.gz"
    two.write_bytes(gzip.compress("\n".join(lines[1::2] + lines[88:89]).encode()))
    merged, ordered = read(tmp_path, one, two)
    assert [e.id for e in merged] == [f"m{n:05}" for n in range(90)]
    assert (ordered.repeated, ordered.total) == (1, 91)


def test_bad_lines_are_named_with_the_number_they_have_in_the_file(tmp_path: Path) -> None:
    lines = made(6)
    lines[2:2] = ["{broken", "", json.dumps({"type": "track", "event": "X"})]
    lines.append(lines.pop(0))  # out of order: sorted, and the numbers still hold
    events, ordered = read(tmp_path, write(tmp_path / "a.jsonl", lines))
    assert len(events) == 6
    assert sorted(bad.line for bad in ordered.bad) == [2, 4]
    assert "names no shopper" in str(max(ordered.bad, key=lambda bad: bad.line))


def test_lines_without_an_id_get_the_same_one_at_every_reading(tmp_path: Path) -> None:
    lines = [json.dumps({**json.loads(one), "messageId": None}) for one in made(4)]
    file = write(tmp_path / "a.jsonl", [*lines, lines[-1]])
    first, _ = read(tmp_path, file)
    assert len({event.id for event in first}) == 5  # an equal line is another event
    assert read(tmp_path, file)[0] == first


@pytest.mark.parametrize("name", ["online_retail_uci/orders", "retailrocket_sample/views"])
def test_an_excerpt_is_the_careful_readers_event_with_less_in_it(name: str) -> None:
    kept = {"product_id", "price", "revenue", "total", "currency", "products"}
    whole = Excerpt(Looks(), NOW, "US")
    some = Excerpt(Looks(frozenset({"price"}), frozenset()), NOW, "US")
    for number, text in recordings.lines(shared(f"{name}.segment.jsonl.gz")):
        full = read_recorded(text, NOW, "US")
        assert whole.read(text, number).properties == full.properties
        less = some.read(text, number)
        assert (less.id, less.name, less.time) == (full.id, full.name, full.time)
        assert less.identifiers == full.identifiers
        for field, value in less.properties.items():
            assert field in kept
            if field == "products":
                value = [p["product_id"] for p in value]
                assert value == [p["product_id"] for p in full.properties[field]]
            else:
                assert value == full.properties[field]
        if number > 3000:
            break


def test_an_excerpt_takes_what_has_another_shape(tmp_path: Path) -> None:
    some = Excerpt(Looks(frozenset(), frozenset()), NOW, "US")
    odd = line(1, NOW, properties={"products": "none", "cart_id": 7, "email": "A@example.org"})
    event = some.read(odd.encode(), 1)
    assert event.properties["products"] == "none"
    assert event.identifiers == ("user:u1", "email:a@example.org", "cart:7")
    with pytest.raises(ValueError, match="type must be one of"):
        some.read(b'{"type": "dance"}', 1)


CSV = """\
event,user_id,timestamp,messageId,properties.product_id,properties.price,properties,note
Product Viewed,0042,2026-01-02 10:00:00,a,00123,19.90,"{""brand"": ""W""}",x
Product Viewed,,2026-01-02T11:00:00+02:00,b,124,,,y
Order Completed,7,1767351600,c,,,"{""revenue"": 12.5, ""products"": [{""product_id"": 1}]}",
Order Completed,7,soon,d,,,,
Order Completed,7,2026-01-03,e,,,not json,
"""


def test_a_csv_becomes_events(tmp_path: Path) -> None:
    file = write(tmp_path / "shop.csv", [CSV])
    bad: list[BadLine] = []
    unused = write_lines(file, PLAIN, tmp_path / "out.jsonl", bad)
    events, ordered = read(tmp_path, tmp_path / "out.jsonl")
    assert unused == ["note"]
    assert [(b.line, b.reason.split(":")[0]) for b in bad] == [
        (5, "the timestamp cannot be read"),
        (6, "not JSON"),
    ]
    assert "names no shopper" in ordered.bad[0].reason
    first, last = events
    assert first.identifiers == ("user:0042",)
    assert first.properties == {"product_id": "00123", "price": Decimal("19.90"), "brand": "W"}
    assert last.time == datetime(2026, 1, 2, 11, tzinfo=UTC)
    assert last.properties["revenue"] == Decimal("12.5")


def test_other_names_are_mapped_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", ["Customer,When,Sum", "9,2026-01-02,30"])
    mapped = Mapped(
        {"userId": "Customer", "timestamp": "When", "properties.revenue": "Sum"},
        {"event": "Order Completed", "properties.currency": "EUR"},
    )
    write_lines(file, mapped, tmp_path / "out.jsonl", [])
    [event], _ = read(tmp_path, tmp_path / "out.jsonl")
    assert (event.name, event.sender) == ("Order Completed", "user:9")
    assert event.properties == {"revenue": 30, "currency": "EUR"}
    with pytest.raises(TableError, match=r"no column 'Wen'\. It has: Customer, When, Sum"):
        write_lines(file, Mapped({"timestamp": "Wen"}, {}), tmp_path / "out", [])
    with pytest.raises(TableError, match="needs a column for the time"):
        write_lines(file, PLAIN, tmp_path / "out", [])
    with pytest.raises(TableError, match="no field 'colour'"):
        Mapped({"colour": "When"}, {})


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    file = tmp_path / "shop.parquet"
    duckdb.sql(
        """
        select 'Order Completed' as event, 7 as user_id,
               timestamp '2026-01-02 10:00:00' as timestamp, 'm1' as message_id,
               12.50::decimal(9,2) as "properties.revenue",
               [{'product_id': 'p', 'quantity': 2}] as "properties.products"
        """
    ).write_parquet(str(file))
    assert is_table(file)
    write_lines(file, PLAIN, tmp_path / "out.jsonl", [])
    [event], _ = read(tmp_path, tmp_path / "out.jsonl")
    assert event.time == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert event.properties["revenue"] == Decimal("12.50")
    assert event.properties["products"] == [{"product_id": "p", "quantity": 2}]


def test_what_is_no_table_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "x.parquet"
    broken.write_bytes(b"this is no parquet")
    with pytest.raises(TableError, match=r"x\.parquet: "):
        write_lines(broken, PLAIN, tmp_path / "out", [])
    assert not is_table(tmp_path / "x.jsonl.gz") and is_table(tmp_path / "x.CSV.gz")
