"""Who is who: from the identifiers of events to profiles, in the order given.

All identifiers of one event are one shopper's. Where they lead to two profiles, the two are
one and are merged. The exception is the anonymous id, which belongs to a browser: when a
second person signs in on it, it moves to them and the two accounts stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from engine.core.ids import profile_id
from engine.model.event import Event


@dataclass(slots=True)
class Resolution:
    """What a batch of events says about identity.

    ``profiles``   for each event, in order, the profile it belongs to when all is said.
    ``created``    new profiles: id -> the identifier it was born of.
    ``assigned``   identifiers that are new or moved -> profile.
    ``merged``     profile -> the profile it became part of.
    """

    profiles: list[int] = field(default_factory=list)
    created: dict[int, str] = field(default_factory=dict)
    assigned: dict[str, int] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)

    def final(self, profile: int) -> int:
        while profile in self.merged:
            profile = self.merged[profile]
        return profile


def resolve(
    events: Iterable[Event],
    known: Mapping[str, int],
    accounts: Mapping[int, Set[str]],
    occupied: Set[int] = frozenset(),
) -> Resolution:
    """Resolve ``events`` in the order given.

    ``known``     identifier -> profile, as stored, for every identifier of the events.
    ``accounts``  profile -> its ``user:`` identifiers, for every profile in ``known``.
    ``occupied``  profile ids taken by somebody else (a hash collision): not to be used.
    """
    result = Resolution()
    where = dict(known)
    users = {profile: set(names) for profile, names in accounts.items()}

    def current(identifier: str) -> int | None:
        profile = where.get(identifier)
        return None if profile is None else result.final(profile)

    def merge(one: int, other: int) -> int:
        into, gone = (other, one) if users.get(other) and not users.get(one) else (one, other)
        result.merged[gone] = into
        users.setdefault(into, set()).update(users.get(gone, ()))
        return into

    for event in events:
        mine = {name for name in event.identifiers if name.startswith("user:")}
        target: int | None = None
        for identifier in event.identifiers:
            profile = current(identifier)
            if profile is None or profile == target:
                continue
            weak = identifier.startswith("anonymous:") and event.kind != "alias"
            theirs = users.get(profile, set())
            ours = mine | (users.get(target, set()) if target is not None else set())
            if weak and theirs and ours and not (theirs & ours):
                continue  # somebody else signed in on this browser: it moves to them
            target = profile if target is None else merge(target, profile)
        if target is None:
            target = _new_id(event.identifiers[0], occupied)
            result.created.setdefault(target, event.identifiers[0])
        for identifier in event.identifiers:
            if current(identifier) != target:
                where[identifier] = target
                result.assigned[identifier] = target
        users.setdefault(target, set()).update(mine)
        result.profiles.append(target)

    result.profiles = [result.final(profile) for profile in result.profiles]
    result.assigned = {name: result.final(p) for name, p in result.assigned.items()}
    # A profile born and merged away within the batch never was.
    for gone in [profile for profile in result.merged if profile in result.created]:
        del result.created[gone]
    return result


def _new_id(identifier: str, occupied: Set[int]) -> int:
    attempt = 0
    while (found := profile_id(identifier, attempt)) in occupied:
        attempt += 1
    return found
