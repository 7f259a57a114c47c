"""Identifiers and the profiles they lead to."""

from __future__ import annotations

from collections.abc import Iterable

from engine.model.event import IDENTIFIER_KINDS
from engine.store.database import Connection, ids, texts


def look_up(
    connection: Connection, identifiers: Iterable[str]
) -> tuple[dict[str, int], dict[int, set[str]]]:
    """(identifier -> profile, profile -> its ``user:`` identifiers) for ``identifiers``."""
    known = {
        str(identifier): int(profile)
        for identifier, profile in connection.execute(
            "select identifier, profile_id from identity where identifier = any(%s::text[])",
            [texts(identifiers)],
        )
    }
    accounts: dict[int, set[str]] = {}
    profiles = set(known.values())
    for profile, identifier in connection.execute(
        """
        select profile_id, identifier from identity
         where profile_id = any(%s::bigint[]) and identifier like 'user:%%'
        """,
        [ids(profiles)],
    ):
        accounts.setdefault(int(profile), set()).add(str(identifier))
    return known, accounts


def assign(connection: Connection, new: dict[str, int], moved: dict[str, int]) -> bool:
    """Point ``new`` and ``moved`` identifiers at their profiles. False when another worker was
    first with a new one: the caller must start again from what that worker wrote."""
    if moved:
        connection.execute(
            """
            update identity i set profile_id = t.profile
              from unnest(%s::text[], %s::bigint[]) as t(identifier, profile)
             where i.identifier = t.identifier
            """,
            [texts(moved), ids(moved.values())],
        )
    if not new:
        return True
    # In one order for all workers: else two of them could wait for each other in a circle.
    names = sorted(new)
    done = connection.execute(
        """
        insert into identity (identifier, profile_id)
        select * from unnest(%s::text[], %s::bigint[])
        on conflict do nothing
        """,
        [texts(names), ids(new[name] for name in names)],
    )
    return done.rowcount == len(new)


def strongest(connection: Connection, profiles: Iterable[int]) -> dict[int, str]:
    """Profile -> its strongest identifier."""
    rows = connection.execute(
        """
        select distinct on (profile_id) profile_id, identifier from identity
         where profile_id = any(%s::bigint[])
         order by profile_id, array_position(%s::text[], split_part(identifier, ':', 1)),
                  identifier
        """,
        [ids(profiles), texts(IDENTIFIER_KINDS)],
    )
    return {int(profile): str(identifier) for profile, identifier in rows}


def owners(connection: Connection, identifiers: Iterable[str]) -> dict[str, int]:
    """Identifier -> profile, for those of ``identifiers`` that are known."""
    rows = connection.execute(
        "select identifier, profile_id from identity where identifier = any(%s::text[])",
        [texts(identifiers)],
    )
    return {str(identifier): int(profile) for identifier, profile in rows}
