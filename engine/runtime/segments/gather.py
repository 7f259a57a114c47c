"""Loading what segments look at in columns, for a range of shoppers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from engine.core.facts import COUNTED
from engine.core.segments.columns import (
    Columns,
    Happened,
    Sorted,
    Stays,
    Wanted,
    places_of,
)
from engine.core.segments.slide import Ints
from engine.model.profile import STOPPED, Consent, Profile
from engine.store import segment_columns as columns_store
from engine.store.database import Connection
from engine.store.segment_columns import Absent, Grouped, Range

_MOMENTS = ("first_seen", "last_seen", "last_order_at")


def columns(
    connection: Connection, ids: Ints, behind: int, wanted: Wanted, at: datetime
) -> Columns:
    """What is ``wanted`` of the shoppers ``ids``: all there are behind that one, or were when they
    were locked."""
    found = Columns(ids)
    some = Range(behind, int(ids[-1]))
    since = {
        stream: None if within is None else at - within for stream, within in wanted.events.items()
    }
    plain = columns_store.plain_events(
        connection, some, [(s.name, begin) for s, begin in since.items() if not s.properties]
    )
    for stream, begin in since.items():
        if not stream.properties:
            who, times = plain[stream.name]
            codes = np.zeros(len(who), np.int64)
            found.events[stream] = Happened.of(ids, who, times, codes, [{}])
            continue
        rows = columns_store.events(connection, some, stream.name, begin, stream.properties)
        kinds = [_present(stream.properties, key) for key in rows.keys]
        who, times = rows.columns
        found.events[stream] = Happened.of(ids, who, times, rows.codes, kinds)
    for fields in wanted.people:
        rows = columns_store.people(connection, some, [(f, f in COUNTED) for f in fields])
        found.people[fields] = _sorted(
            ids, rows, [Profile(0), *(_person(fields, key) for key in rows.keys)]
        )
    for channel, topic in wanted.consents:
        topics = {"*", topic, STOPPED}
        rows = columns_store.consents(connection, some, channel, topics)
        said: list[Sequence[Consent]] = [()]
        said += [[_consent(channel, *one) for one in key[0]] for key in rows.keys]
        found.consents[channel, topic] = _sorted(ids, rows, said)
    for journey in wanted.journeys:
        who, entered, ended, goal = columns_store.stays(connection, some, journey)
        known, place = places_of(ids, who)
        found.stays[journey] = Stays(
            place[known], entered[known], ended[known], goal[known].astype(np.bool_)
        )
    for name in wanted.lists:
        known, place = places_of(ids, columns_store.on_list(connection, some, name))
        found.lists[name] = place[known]
    return found


def _sorted(ids: Ints, rows: Grouped, kinds: Sequence[Any]) -> Sorted[Any]:
    """By the kinds of rows; who is in none of them is of the first kind."""
    codes = np.zeros(len(ids), np.int64)
    known, place = places_of(ids, rows.columns[0])
    codes[place[known]] = rows.codes[known] + 1
    return Sorted(kinds, codes)


def _present(names: Iterable[str], key: Iterable[Any]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, key, strict=True) if value is not Absent}


def _person(fields: Sequence[str], key: Iterable[Any]) -> Profile:
    traits = _present(fields, key)
    counted = {name: traits.pop(name) for name in COUNTED if name in traits}
    for name in _MOMENTS:
        if counted.get(name) is not None:
            counted[name] = datetime.fromisoformat(counted[name]).astimezone(UTC)
    if "lifetime_value" in counted:
        counted["lifetime_value"] = {
            currency: Decimal(amount) for currency, amount in counted["lifetime_value"].items()
        }
    return Profile(0, traits, **counted)


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _consent(
    channel: str, topic: str, granted: bool, at: Any, confirmed: Any, denied: Any
) -> Consent:
    """Its times are only good to be compared."""
    moments = [
        None if one is None else _LONG_AGO + timedelta(microseconds=int(one))
        for one in (at, confirmed, denied)
    ]
    return Consent(
        channel,
        topic,
        granted,
        moments[0] or _LONG_AGO,
        confirmed_at=moments[1],
        denied_at=moments[2],
    )
