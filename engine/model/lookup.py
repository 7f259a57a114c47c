"""Asking a provider what became of a message whose call was never answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple


class Asked(NamedTuple):
    """Which message. ``to`` is the address known today; ``trace`` what the channel said of the
    message as it went; ``others`` are references that belong to other messages."""

    to: str
    trace: str
    handed_at: datetime
    others: frozenset[str] = frozenset()


class Found(NamedTuple):
    """What the provider says.

    ``sent``    it has the message, as ``reference``.
    ``failed``  it had it, and could not deliver it: ``reason``.
    ``absent``  the whole of the time in question was looked through, and it is not there.
    ``unsure``  nothing is proven.
    """

    what: Literal["sent", "failed", "absent", "unsure"]
    reference: str = ""
    reason: str = ""
