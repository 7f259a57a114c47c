"""Loading what segments look at: a few set-based queries, however many shoppers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from engine.core.book import Needs, widen
from engine.core.segments import Book, Subject, stays_of
from engine.core.shopper import Past
from engine.model.enrollment import Enrollment
from engine.model.profile import Profile
from engine.store import profiles as profiles_store
from engine.store import runs as runs_store
from engine.store import segments as segments_store
from engine.store.database import Connection


def subjects(
    connection: Connection,
    book: Book,
    names: Iterable[str],
    profiles: Mapping[int, Profile],
    earliest: datetime,
    *,
    changed: Mapping[int, Mapping[str, Enrollment]] | None = None,
    new: Iterable[int] = (),
) -> dict[int, Subject]:
    """The shoppers as the segments ``names`` look at them, at ``earliest`` or later. ``changed``
    are runs, by profile and id, that are not written yet; of ``new`` shoppers nothing is."""
    found = {id: Subject(profile) for id, profile in profiles.items()}
    touches = [book.held[name].touch for name in names]
    old = sorted(found.keys() - set(new))
    needs: Needs = {}
    whole: set[str] = set()
    for touch in touches:
        widen(needs, touch.events)
        whole |= touch.judged
    if needs and old:
        asked = [
            (name, None if within is None else earliest - within, name in whole)
            for name, within in needs.items()
        ]
        for id, name, time, event, properties in segments_store.history(connection, old, asked):
            found[id].history.add(name, Past(time, event, properties))
    if any(touch.consents for touch in touches) and old:
        for id, consents in profiles_store.consents(connection, old).items():
            found[id].consents = {(c.channel, c.topic): c for c in consents}
    journeys = frozenset(name for touch in touches for name in touch.journeys)
    if journeys:
        _load_stays(connection, found, journeys, old, changed or {})
    lists = frozenset(name for touch in touches for name in touch.lists)
    if lists:
        # A new shopper may be on a list as well: their identifiers are written first.
        for id, name in segments_store.lists_of(connection, found, lists):
            found[id].lists |= {name}
    return found


def _load_stays(
    connection: Connection,
    found: Mapping[int, Subject],
    journeys: frozenset[str],
    old: list[int],
    changed: Mapping[int, Mapping[str, Enrollment]],
) -> None:
    runs: dict[int, dict[str, Enrollment]] = {id: {} for id in found}
    if old:
        for run in runs_store.of_journeys(connection, old, journeys):
            runs[run.profile_id][run.id] = run
    for id, those in changed.items():
        if id in runs:
            runs[id] |= {k: run for k, run in those.items() if run.journey in journeys}
    for id, mine in runs.items():
        found[id].stays = stays_of(mine.values())
