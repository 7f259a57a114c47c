"""An enrollment: one profile's run of a journey, pinned to the version it entered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from engine.model.journey import WITHOUT

#: How the reason of a run begins that was stopped because nobody could say whether it had to be.
IN_DOUBT = "in doubt: "

#: active    moving or waiting
#: finished  reached the end or an exit step; messages may still be on their way
#: stopped   a stop event ended it
#: merged    the shopper had the same run under another identity
Status = Literal["active", "finished", "stopped", "merged"]


class Enrollment(msgspec.Struct, frozen=True, gc=False):
    """One run.

    ``id``          derived from (journey, profile, key, trigger event): a retry makes the same.
    ``key``         the product or cart it is about, "" without key.
    ``bucket``      the profile id at entry: what splits and holdout hash, so that they stay
                    put when profiles merge.
    ``event_id``    the trigger event; ``entered_at`` its time. ``order_key`` of it is
                    (entered_at, event_id).
    ``at``          path of the step it stands at; None once at the end.
    ``wake_at``     UTC; None when nothing is due.
    ``waiting_for`` the event name a ``wait for`` step stands on, else "".
    ``visits``      how many steps were passed; makes message ids of a revisited step differ.
    ``live``        a stop can still reach it: active, or finished with messages due or with
                    the shopper on an audience.
    ``on_audience`` it put the shopper on an audience: only a stop takes it off again.
    """

    id: str
    journey: str
    version: str
    profile_id: int
    key: str
    bucket: int
    event_id: str
    entered_at: datetime
    status: Status = "active"
    at: str | None = None
    wake_at: datetime | None = None
    waiting_for: str = ""
    visits: int = 0
    live: bool = True
    on_audience: bool = False
    held_out: bool = False
    goal: bool = False
    reason: str = ""
    stopped_by: str = ""
    ended_at: datetime | None = None
    #: what an ``offer`` step gave this run: terms, the coupon's code, ``ends_at`` (ISO, UTC)
    offer: dict[str, Any] = {}
    #: since when (UTC) it should have gone on from ``at``, which raises: it is tried again at
    #: ``wake_at``, and ``reason`` says what is wrong. None: nothing is
    failing_since: datetime | None = None

    @property
    def qualified(self) -> bool:
        """Whether the shopper is in the journey: not while its trigger still waits for what must
        not happen (``without``), nor when that did happen."""
        return self.at is None or not self.at.startswith(WITHOUT)
