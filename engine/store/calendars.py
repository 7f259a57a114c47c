"""How far the shoppers have been searched for the calendar of a journey."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from engine.model.profile import Profile
from engine.store.database import Connection, texts
from engine.store.profiles import PROFILE_COLUMNS, profile_of


class Look(NamedTuple):
    """A search for those who reach a calendar in (``since``, ``target``], done up to the profile
    ``place``. ``target`` None: no search is under way."""

    since: datetime
    target: datetime | None
    place: int


def lock(connection: Connection, journey: str, now: datetime) -> Look | None:
    """Take the calendar of ``journey`` for this transaction; None while another worker has it.
    A journey that was never looked at begins now: what its calendar would have said before, it
    says to nobody."""
    connection.execute(
        "insert into calendar_look (journey, until) values (%s, %s) on conflict do nothing",
        [journey, now],
    )
    row = connection.execute(
        "select until, target, place from calendar_look where journey = %s for update skip locked",
        [journey],
    ).fetchone()
    return None if row is None else Look(*row)


def forget_others(connection: Connection, journeys: list[str]) -> None:
    """A journey that is no longer in force begins anew should it come back."""
    connection.execute(
        "delete from calendar_look where journey <> all(%s::text[])", [texts(journeys)]
    )


def looks(connection: Connection) -> dict[str, Look]:
    """Every journey's look, for whoever wants to know if there is something to do."""
    rows = connection.execute("select journey, until, target, place from calendar_look")
    return {str(row[0]): Look(*row[1:]) for row in rows}


def go_on(connection: Connection, journey: str, target: datetime, place: int) -> None:
    """The search up to ``target`` has come as far as the profile ``place``."""
    connection.execute(
        "update calendar_look set target = %s, place = %s where journey = %s",
        [target, place, journey],
    )


def looked(connection: Connection, journey: str, until: datetime) -> None:
    """Everybody was searched up to ``until``."""
    connection.execute(
        "update calendar_look set until = %s, target = null, place = -1 where journey = %s",
        [until, journey],
    )


def shoppers(
    connection: Connection, behind: int, limit: int, trait: str, days: list[str]
) -> tuple[list[Profile], int | None]:
    """The next profiles behind the id ``behind``, and the id up to which they were searched (None:
    to the end).

    ``trait``, where it is not empty, must be there, and be one of ``days`` if it is a day written
    as ISO 8601 does: "03-24" is that day of any year. Of a million shoppers this leaves the few
    whose birthday it may be.
    """
    where: LiteralString = ""
    values: dict[str, Any] = {"behind": behind, "limit": limit}
    if trait:
        values |= {"trait": trait, "days": days}
        where = """
           and p.traits ? %(trait)s and (
                not p.traits ->> %(trait)s ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
                or substr(p.traits ->> %(trait)s, 6) = any(%(days)s))"""
    rows = connection.execute(
        f"select {PROFILE_COLUMNS} from profile p where p.id > %(behind)s {where}"
        " order by p.id limit %(limit)s",
        values,
    ).fetchall()
    found = [profile_of(row) for row in rows]
    return found, found[-1].id if len(found) == limit else None
