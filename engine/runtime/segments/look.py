"""Looking at shoppers whom time alone may have put into a segment or out of it.

Who is next stands in an index, so nobody else is scanned. As with timers, events come first: of a
shopper with something in the inbox the drain finds out more.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def look(shell: Shell, limit: int = 1000) -> Looked:
    """Look at up to ``limit`` shoppers whose time has come, longest due first."""
    now = shell.clock.now()
    with shell.database.probing() as connection:
        candidates = segments_store.due(connection, now, limit)
        if not candidates:
            return Looked()
        profiles = profiles_store.lock_free(connection, candidates)
        held = lanes_store.touched(connection, list(profiles))
        stories = {id: Story(profile) for id, profile in profiles.items() if id not in held}
        emitted = keep_up(shell, connection, stories, now, "look", until=now)
        return Looked(len(stories), len(held), emitted)
