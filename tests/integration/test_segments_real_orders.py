"""A year of real orders: who spent more than 500 in 90 days and sent nothing back, as the shipped
segment keeps them event by event, as SQL says of the events, and as DuckDB says of the raw file."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import pytest

from engine.clock import ManualClock
from engine.core.segments import touch_of
from engine.intake.segment import read_recorded
from engine.language import load_segments
from engine.runtime.segments.look import look
from engine.runtime.segments.search import search
from engine.store import segment_desk
from tests.integration.runtime_kit import Make, Pipeline
from tests.shared_data import shared
from tests.unit.core.build import journey, send

#: Nothing of it happens: what is looked at is who is in the segment.
JOURNEY = journey(send(), trigger="Nothing")
ROOT = Path(__file__).resolve().parents[2]
NAME = "recent-spenders"
MOMENTS = (
    datetime(2011, 3, 1, tzinfo=UTC),
    datetime(2011, 6, 30, 17, 30, tzinfo=UTC),
    datetime(2011, 12, 9, 12, 50, tzinfo=UTC),  # the very last order
    datetime(2012, 2, 1, tzinfo=UTC),  # nothing but time has passed
)

_SQL = """
    select i.identifier from identity i
     where i.identifier like 'user:%%'
       and (select coalesce(sum((e.properties ->> 'revenue')::numeric), 0) from event e
             where e.profile_id = i.profile_id and e.name = 'Order Completed'
               and e.time between %(at)s - interval '90 days' and %(at)s) > 500
       and not exists (select 1 from event e
             where e.profile_id = i.profile_id and e.name = 'Order Refunded'
               and e.time between %(at)s - interval '90 days' and %(at)s)
"""
#: A line is one product of an invoice; an invoice whose number begins with C is a refund.
_RAW = """
    with line as (
        select InvoiceNo as invoice, CustomerID as customer, InvoiceDate::timestamp as time,
               Quantity::decimal(18, 4) * UnitPrice::decimal(18, 4) as amount
          from read_csv($file, all_varchar = true) where coalesce(CustomerID, '') <> ''),
    invoice as (
        select customer, invoice, min(time) as time, sum(amount) as amount from line group by all),
    recent as (
        select * from invoice
         where time between $at::timestamp - interval 90 day and $at::timestamp)
    select 'user:uci-' || split_part(customer, '.', 1) from recent group by customer
    having sum(amount) filter (not starts_with(invoice, 'C')) > 500
       and count(*) filter (starts_with(invoice, 'C')) = 0
"""


def raw(file: Path, at: datetime) -> set[str]:
    with duckdb.connect() as connection:
        parameters = {"file": str(file), "at": at.replace(tzinfo=None)}
        return {str(row[0]) for row in connection.execute(_RAW, parameters).fetchall()}


def by_sql(shop: Pipeline, at: datetime) -> set[str]:
    with shop.database.connection() as connection:
        return {str(row[0]) for row in connection.execute(_SQL, {"at": at})}


def by_segment(shop: Pipeline) -> set[str]:
    return {
        name
        for (name,) in shop.rows(
            "select i.identifier from segment_member m join identity i using (profile_id)"
            " where m.segment = %s and m.member and i.identifier like 'user:%%'",
            NAME,
        )
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_shoppers_three_times_at_four_moments(make: Make) -> None:
    lines = shared("online_retail_uci/orders.segment.jsonl.gz")
    file = shared("online_retail_uci/online_retail.csv.gz")
    segment = load_segments(ROOT / "config" / "segments").segments[NAME]
    shop = make(clock=ManualClock(datetime(2010, 12, 1, tzinfo=UTC)))
    with shop.database.connection() as connection:
        row = (NAME, segment.version, "", segment.source, touch_of(segment.rule).scored)
        segment_desk.keep(connection, [row], shop.clock.now())
    search(shop.shell)
    with gzip.open(lines, "rb") as recorded:
        now = datetime(2013, 1, 1, tzinfo=UTC)
        events = [read_recorded(line, now, "GB") for line in recorded]
    events = [msgspec.structs.replace(one, received_at=one.time) for one in events]
    ahead = iter(events)
    following = next(ahead, None)
    sizes = []
    for moment in MOMENTS:
        part = []
        while following is not None and following.time <= moment:
            part.append(following)
            following = next(ahead, None)
        for start in range(0, len(part), 2000):
            shop.accept(*part[start : start + 2000])
            shop.drain()
        shop.at(moment).drain()  # what was told of it
        while look(shop.shell, 5000).looked:
            shop.drain()
        found = by_segment(shop)
        assert found == by_sql(shop, moment)
        assert found == raw(file, moment)
        sizes.append(len(found))
    assert following is None
    assert sizes[2] > 500 and len(set(sizes)) == len(sizes), sizes
    with shop.database.connection() as connection:
        segment_desk.search_anew(connection, [NAME], quiet=True)
    mended = 0
    while (done := search(shop.shell, 1000)).seen:
        mended += done.mended
    assert mended == 0
    told = shop.rows(
        "select count(*) filter (where name = 'Segment Entered')"
        "     - count(*) filter (where name = 'Segment Left') from event"
    )
    assert told == [(sizes[-1],)], "who entered and did not leave is in"
