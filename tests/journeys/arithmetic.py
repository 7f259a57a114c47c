"""The two answers, worked out without Winback: nothing here imports it."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Due = set[tuple[str, datetime]]


def recorded(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def win_back(events: list[dict[str, Any]], wait: timedelta, until: timedelta) -> Due:
    """(shopper, time) of the mails due: orders with no other order of that shopper in the
    ``wait`` after. One exactly at the end is in time; of two in the same second the one with
    the larger message id is the later."""
    end = max(moment(event) for event in events) + until
    orders: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for event in events:
        if event["event"] == "Order Completed":
            orders[event["userId"]].append((moment(event), event["messageId"]))
    due: Due = set()
    for shopper, mine in orders.items():
        mine.sort()
        for (at, _), (following, _) in zip(mine, [*mine[1:], (None, "")], strict=True):
            if (following is None or following > at + wait) and at + wait <= end:
                due.add((shopper, at + wait))
    return due


def left_behind(
    events: list[dict[str, Any]], wait: timedelta, again: timedelta, until: timedelta
) -> Due:
    """(shopper and product, time) of the mails due: views that are the first of their shopper
    and product, or come more than ``again`` after the view that started the last run."""
    end = max(moment(event) for event in events) + until
    started: dict[str, datetime] = {}
    due: Due = set()
    for event in sorted(events, key=moment):
        who = f"{event['anonymousId']} {event['properties']['product_id']}"
        at = moment(event)
        if who not in started or at - started[who] > again:
            started[who] = at
            if at + wait <= end:
                due.add((who, at + wait))
    return due


def moment(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])
