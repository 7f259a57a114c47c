"""Ids and buckets that follow from what they stand for, so that a retry makes the same one."""

from __future__ import annotations

from hashlib import blake2b

#: To copy it costs less than to begin anew, and an id is made for every run and message.
_EMPTY = blake2b(digest_size=16)


def derive(*parts: object) -> str:
    """A UUID-shaped id from ``parts``: BLAKE2b, 128 bits, of the parts joined by NUL."""
    hashed = _EMPTY.copy()
    hashed.update("\0".join(map(str, parts)).encode())
    digest = hashed.hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def profile_id(identifier: str, attempt: int = 0) -> int:
    """The 63-bit id of the profile first seen as ``identifier``. ``attempt`` > 0 steps past a
    collision (one in 2^63 for any pair, so it is checked, not trusted)."""
    text = identifier if not attempt else f"{identifier}\0{attempt}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def percentile(*parts: object) -> float:
    """Where ``parts`` fall in [0, 100): even, sticky, and blind to everything else. Splits and
    holdout compare it with their shares."""
    digest = blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 * 100
