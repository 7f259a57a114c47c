"""Chance that comes out the same in every run."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b


def chance(seed: int, *what: object) -> float:
    """A number in [0, 1) that depends on ``seed`` and on ``what`` is decided, and on nothing
    else: not on the order of threads, nor on what was decided before."""
    text = "\x1f".join(map(str, (seed, *what))).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=7).digest(), "big") / 2**56


def choose(shares: Mapping[str, float], at: float) -> str:
    """Which of the ``shares``, laid end to end from 0, lies at ``at``; "" beyond the last."""
    for name, share in shares.items():
        at -= share
        if at < 0:
            return name
    return ""


def read_shares(text: str) -> dict[str, float]:
    """``"429=2%, hang=0.01"`` as ``{"429": 0.02, "hang": 0.01}``. Raises ``ValueError``."""
    shares: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, share = (piece.strip() for piece in part.partition("="))
        try:
            percent = share.endswith("%")
            number = float(share.rstrip("%")) / (100 if percent else 1)
        except ValueError:
            equals = ""
            number = 0.0
        if not equals or not name:
            raise ValueError(f"{part!r} is not NAME=SHARE, such as 429=2% or 429=0.02.")
        shares[name] = number
    return shares


def check_shares(shares: Mapping[str, float]) -> None:
    """Raises ``ValueError`` unless each share is from 0 to 1, and they add up to at most 1."""
    wrong = next((f"{n}={s:g}" for n, s in shares.items() if not 0 <= s <= 1), "")
    if wrong:
        raise ValueError(f"{wrong} is no share: give a number from 0 to 1, or percent.")
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"The shares add up to {sum(shares.values()):.0%}, which is too much.")
