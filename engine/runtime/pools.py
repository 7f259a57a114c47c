"""Pools of coupons against what journeys may ask of them, and when they run dry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.core.coupons import pool_of, pools_of
from engine.core.reach import Reach
from engine.model.journey import Journey
from engine.runtime.blast import FIRST_DAY, newcomers
from engine.runtime.plan import read
from engine.store import coupons as coupons_store
from engine.store import versions as versions_store
from engine.store.coupons import Stock
from engine.store.database import Connection

#: The rate of use is that of the last days.
RECENT = timedelta(days=7)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shortage:
    """``pool`` has fewer codes than ``journeys`` may ``need`` in the first day, at worst; ``left``
    None: there is no such pool."""

    pool: str
    left: int | None
    need: int
    journeys: tuple[str, ...]


def shortages(
    connection: Connection, journeys: Mapping[str, Journey], now: datetime
) -> list[Shortage]:
    """Which pools are empty or may run dry within a day of ``journeys``: by new shoppers, as many
    as on the busiest day of the last week, and by those in flight, whose waits may end at once."""
    named = pools_of(journeys.values())
    if not named:
        return []
    left = coupons_store.left(connection, list(named))
    coming = newcomers(connection, journeys, now)
    flying = _in_flight(connection, journeys)
    found = []
    for pool, names in named.items():
        need = 0
        for name, journey in journeys.items():
            reach = _reach(journey, journeys, pool)
            need += coming[name] * reach.from_start(FIRST_DAY)
        for journey, at, runs in flying:
            if at in journey.steps:
                reach = _reach(journey, journeys, pool)
                need += runs * reach.from_wait(at, timedelta(0), FIRST_DAY)
        if not left.get(pool) or left[pool] < need:
            found.append(Shortage(pool, left.get(pool), need, tuple(names)))
    return found


def _reach(journey: Journey, others: Mapping[str, Journey], pool: str) -> Reach:
    return Reach(journey, others, weigh=lambda step: int(pool_of(step) == pool))


def _in_flight(
    connection: Connection, journeys: Mapping[str, Journey]
) -> list[tuple[Journey, str, int]]:
    """(journey in their version, where they wait, how many) of the runs under way."""
    waiting = versions_store.places(connection, list(journeys))
    known = read(connection, sorted({(name, version) for name, version, _, _ in waiting}))
    return [
        (journey, at, runs)
        for name, version, at, runs in waiting
        if (journey := known[name, version]) is not None
    ]


@dataclass(frozen=True, slots=True)
class Outlook:
    """A pool as it stands: ``stock``, codes claimed ``a_day`` of late, and when it runs ``dry`` at
    that rate (None: nobody asks for its codes)."""

    stock: Stock
    a_day: float
    dry: datetime | None


def outlooks(connection: Connection, now: datetime) -> list[Outlook]:
    """Every pool. The rate is that of the last seven days, or since the first claim, but at least
    of one day."""
    return [_outlook(stock, now) for stock in coupons_store.stock(connection, now - RECENT)]


def _outlook(stock: Stock, now: datetime) -> Outlook:
    if not stock.recent or stock.first is None:
        return Outlook(stock, 0.0, None)
    days = min(max(now - stock.first, _DAY), RECENT) / _DAY
    a_day = stock.recent / days
    # A year past the calendar's end is as good as never.
    ahead = min(stock.left / a_day, 365 * 1000)
    return Outlook(stock, round(a_day, 1), now + ahead * _DAY)
