"""How many parts an operator bills for a text message.

GSM 03.38: 160 septets alone, 153 a part when split (7 bytes of header); characters of the
extension table cost two septets and may not straddle a part. One character outside it makes
the whole message UCS-2: 70 UTF-16 units alone, 67 a part, a surrogate pair kept together.
Agrees with Twilio's own message-segment-calculator.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")


class Segments(NamedTuple):
    """Number of ``parts`` (at least 1) of a message in ``encoding``."""

    encoding: Literal["GSM-7", "UCS-2"]
    parts: int


def segments_of(body: str) -> Segments:
    """Encoding and number of parts of ``body`` as it is sent, without smart replacements."""
    if all(c in _BASIC or c in _EXTENDED for c in body):
        widths = [2 if c in _EXTENDED else 1 for c in body]
        return Segments("GSM-7", _parts(widths, 160, 153))
    widths = [2 if ord(c) > 0xFFFF else 1 for c in body]
    return Segments("UCS-2", _parts(widths, 70, 67))


def _parts(widths: list[int], alone: int, each: int) -> int:
    if sum(widths) <= alone:
        return 1
    parts, room = 1, each
    for width in widths:
        if width > room:
            parts, room = parts + 1, each
        room -= width
    return parts
