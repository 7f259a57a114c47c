"""A shopper as their preference page sees them."""

from __future__ import annotations

from typing import NamedTuple

from engine.model.event import IDENTIFIER_KINDS
from engine.model.profile import Consent, Profile
from engine.store import profiles
from engine.store.database import Connection


class Reader(NamedTuple):
    """Who holds a link. ``identifiers`` lead to the profile, strongest first."""

    profile: Profile
    identifiers: tuple[str, ...]
    consents: tuple[Consent, ...]


def reader(connection: Connection, profile_id: int, *, lock: bool = False) -> Reader | None:
    """The shopper that the profile of a link is today, after any merges; None when there is
    none any more.

    ``lock`` keeps the profile as it is until the transaction ends: no message of theirs passes
    the gate and no merge moves it meanwhile.
    """
    found = _profile(connection, profile_id, lock)
    if found is None:
        moved = connection.execute(
            "select profile_id from former_profile where id = %s", [profile_id]
        ).fetchone()
        found = _profile(connection, moved[0], lock) if moved else None
    if found is None:
        return None
    names = connection.execute(
        "select identifier from identity where profile_id = %s order by identifier", [found.id]
    ).fetchall()
    return Reader(
        found,
        tuple(sorted((name for (name,) in names), key=_strength)),
        tuple(profiles.consents(connection, [found.id]).get(found.id, ())),
    )


def _profile(connection: Connection, profile_id: int, lock: bool) -> Profile | None:
    row = connection.execute(
        f"select {profiles.PROFILE_COLUMNS} from profile p where p.id = %s"
        f"{' for update' if lock else ''}",
        [profile_id],
    ).fetchone()
    return profiles.profile_of(row) if row else None


def _strength(name: str) -> int:
    return IDENTIFIER_KINDS.index(name.partition(":")[0])
