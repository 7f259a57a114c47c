"""How long what piles up is kept. Read from config/winback.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

#: Nothing goes sooner: providers and clients repeat what they sent, weeks later at times, and
#: what an event, a link or an attempt was is asked until then.
LEAST = timedelta(days=30)
_A_YEAR = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Retention:
    """How old each kind may grow; None: it is kept for ever. 400 days hold a year against the
    one before.

    ``refusals``         why messages waited or were given up.
    ``rejected_events``  what was refused at the door, and reports about nobody. What had been
                         accepted and failed in the drain stays (P1).
    ``short_links``      of text messages.
    ``receipts``         what providers reported of messages; how far each has come stays.
    ``browsing``         pages and products looked at.
    ``traces``           the decisions of runs that are over.
    ``attempts``         the calls to providers for messages that are settled.
    """

    refusals: timedelta | None = _A_YEAR
    rejected_events: timedelta | None = timedelta(days=90)
    short_links: timedelta | None = timedelta(days=730)
    receipts: timedelta | None = _A_YEAR
    browsing: timedelta | None = timedelta(days=730)
    traces: timedelta | None = _A_YEAR
    attempts: timedelta | None = _A_YEAR
