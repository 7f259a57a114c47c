"""All that is kept of one shopper, for ``winback explain``. It only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.message import Message
from engine.model.profile import Consent
from engine.store import profiles as profiles_store
from engine.store.database import Connection, texts
from engine.store.messages import _COLUMNS as MESSAGE_COLUMNS
from engine.store.runs import _COLUMNS as RUN_COLUMNS


def owner(connection: Connection, names: Iterable[str], profile: int | None) -> int | None:
    """The profile that any of the identifiers leads to, or that ``profile`` is or became."""
    row = connection.execute(
        """
        select profile_id from identity where identifier = any(%(names)s::text[])
        union all select id from profile where id = %(profile)s
        union all select profile_id from former_profile where id = %(profile)s
         limit 1
        """,
        {"names": texts(names), "profile": profile},
    ).fetchone()
    return int(row[0]) if row else None


def identifiers(connection: Connection, profile: int) -> list[str]:
    rows = connection.execute(
        "select identifier from identity where profile_id = %s order by identifier", [profile]
    )
    return [str(row[0]) for row in rows]


def merged_from(connection: Connection, profile: int) -> int:
    """How many other profiles became this one."""
    row = connection.execute(
        "select count(*) from former_profile where profile_id = %s", [profile]
    ).fetchone()
    return int(row[0]) if row else 0


def runs(connection: Connection, profile: int) -> list[tuple[Enrollment, list[list[Any]]]]:
    """Every run with its trace as it was stored, oldest first."""
    query = f"select {RUN_COLUMNS}, trace from enrollment where profile_id = %s"
    rows = connection.execute(f"{query} order by entered_at, id".encode(), [profile])
    return [(Enrollment(*row[:-1]), row[-1]) for row in rows]


def messages(connection: Connection, profile: int) -> list[Message]:
    query = f"select {MESSAGE_COLUMNS} from message m where profile_id = %s order by created_at, id"
    return [Message(*row) for row in connection.execute(query.encode(), [profile])]


def bases(connection: Connection, profile: int) -> dict[str, str]:
    """Message -> the lawful basis that it went on, of those that went."""
    rows = connection.execute(
        "select id::text, basis from message where profile_id = %s and basis <> ''", [profile]
    )
    return {str(id): str(basis) for id, basis in rows}


class Attempt(NamedTuple):
    """One attempt to hand a message to ``provider`` ("" where that was not kept)."""

    message_id: str
    handed_at: datetime
    outcome: str | None
    detail: str
    provider: str = ""


def attempts(connection: Connection, profile: int) -> list[Attempt]:
    rows = connection.execute(
        """
        select message_id::text, handed_at, outcome, detail, provider from delivery
         where profile_id = %s order by message_id, attempt
        """,
        [profile],
    )
    return [Attempt(*row) for row in rows]


class Logged(NamedTuple):
    """An event of the shopper's, and when it was worked."""

    event: Event
    processed_at: datetime


_EVENT: LiteralString = (
    "select id, kind, name, time, received_at, identifiers, properties, context, processed_at"
    " from event where profile_id = %s"
)


def events(connection: Connection, profile: int) -> list[Logged]:
    """All events of the shopper, in the order in which they were worked."""
    rows = connection.execute(
        f'{_EVENT} order by processed_at, time, id collate "C"'.encode(), [profile]
    )
    return [
        Logged(Event(row[0], row[1], row[2], row[3], row[4], tuple(row[5]), row[6], row[7]), row[8])
        for row in rows
    ]


def consents(connection: Connection, profile: int) -> list[Consent]:
    return profiles_store.consents(connection, [profile]).get(profile, [])


def suppressions(connection: Connection, addresses: Sequence[str]) -> list[tuple[str, str]]:
    """(channel, reason) of the blocks on any of the shopper's addresses."""
    rows = connection.execute(
        "select channel, reason from suppression where address = any(%s::text[]) order by 1, 2",
        [texts(addresses)],
    )
    return [(str(row[0]), str(row[1])) for row in rows]


class InForce(NamedTuple):
    """What `winback apply` made live at ``since``; ``versions`` None: workers follow the files."""

    since: datetime
    versions: dict[str, str] | None


def live_sets(connection: Connection) -> list[InForce]:
    """Every set that was ever live, oldest first."""
    rows = connection.execute(
        """
        select s.applied_at, s.follows_files,
               coalesce(jsonb_object_agg(v.journey, v.version) filter (where v.journey is not null),
                        '{}')
          from live_set s left join live_version v on v.live_set = s.id
         group by s.id order by s.id
        """
    )
    return [InForce(row[0], None if row[1] else dict(row[2])) for row in rows]


def kept_versions(connection: Connection) -> list[tuple[str, str, datetime]]:
    """(journey, version, first used) of every version that was ever in force, oldest first."""
    return connection.execute(
        "select journey, version, first_used from journey_version order by first_used, version"
    ).fetchall()
