"""Lanes keep order: every event of one sender goes through the same one."""

from __future__ import annotations

from hashlib import blake2b

#: How many lanes there are. The ``lane`` table holds one row for each.
LANES = 16


def lane_of(sender: str) -> int:
    """The lane (0 to 15) of a sender, an identifier such as ``user:42``.

    BLAKE2b, not ``hash()``: the same in every process, on every machine, for ever.
    """
    return blake2b(sender.encode(), digest_size=1).digest()[0] % LANES
