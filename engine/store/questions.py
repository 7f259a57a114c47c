"""The questions of double opt-ins that went out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from engine.store.database import Connection, ids


class Question(NamedTuple):
    """A message that asked ``profile`` to confirm, handed to its provider at ``handed_at``.
    ``event_id`` is that of the event which it was sent for."""

    profile: int
    channel: str
    event_id: str
    handed_at: datetime


def handed(connection: Connection, profiles: Sequence[int], prefix: str) -> list[Question]:
    """The messages of ``profiles`` that went, for all we know, for events with ids that begin with
    ``prefix``."""
    rows = connection.execute(
        """
        select profile_id, channel, event_id, handed_at from message
         where profile_id = any(%s::bigint[]) and starts_with(event_id, %s)
           and handed_at is not null and status in ('claimed', 'sent', 'unknown')
        """,
        [ids(profiles), prefix],
    )
    return [Question(*row) for row in rows]
