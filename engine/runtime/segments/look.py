"""Looking at shoppers whom time alone may have put into a segment or out of it.

Who is next stands in an index, so nobody else is scanned. As with timers, events come first: of a
shopper with something in the inbox the drain finds out more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.core.segment_story import Story
from engine.runtime.segments.keep import keep_up
from engine.runtime.shell import Shell
from engine.store import lanes as lanes_store
from engine.store import profiles as profiles_store
from engine.store import segments as segments_store


@dataclass(slots=True)
class Looked:
    """What one look did: shoppers ``looked`` at, ``held`` for events of theirs in the inbox, and
    events ``emitted`` into it."""

    looked: int = 0
    held: int = 0
    emitted: int = 0


def look(shell: Shell, limit: int = 1000, until: Mapping[int, datetime] | None = None) -> Looked:
    """Look at up to ``limit`` shoppers whose time has come, longest due first.

    ``until``: event-time replay names the profiles, and for each the time that has come for it.
    """
    now = shell.clock.now()
    with shell.database.probing() as connection:
        candidates = segments_store.due(connection, now, limit) if until is None else list(until)
        if not candidates:
            return Looked()
        profiles = profiles_store.lock_free(connection, candidates)
        held = lanes_store.touched(connection, list(profiles))
        stories = {id: Story(profile) for id, profile in profiles.items() if id not in held}
        emitted = keep_up(shell, connection, stories, now, "look", until=until or now)
        return Looked(len(stories), len(held), emitted)
