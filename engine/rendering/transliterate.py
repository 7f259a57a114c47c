"""Text messages in plainer letters, so that they fit into GSM-7 and cost fewer segments.

A curly quote or a long dash makes a whole message UCS-2, with 70 letters to the segment and not
160. As in Twilio's Smart Encoding it is all or nothing: where one character is left that GSM-7
does not have, the text stays as it was written, for there would be nothing to win.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from anyascii import anyascii

from engine.model.texts import Transliterate
from engine.rendering.segments import segments_of

_URL = re.compile(r"(https?://\S+)")
#: Where the library is less faithful than one would write oneself.
_OWN = {
    **dict.fromkeys("«»″〝〞", '"'),
    **dict.fromkeys("‹›", "'"),
    **dict.fromkeys("•·", "-"),
    "×": "x",
    "→": "->",
    "←": "<-",
}
#: Blocks of signs that belong to no script: Latin-1, punctuation, currencies, letter-like.
_SIGNS = ((0x80, 0xFF), (0x2000, 0x206F), (0x2070, 0x209F), (0x20A0, 0x20CF), (0x2100, 0x214F))
_MARKS = (0x300, 0x36F)


def plainer(text: str, how: Transliterate) -> str:
    """``text`` in GSM-7's letters where that can be done, else as it is. Links stay."""
    before = segments_of(text)
    if how == "no" or before.encoding == "GSM-7":
        return text
    pieces = _URL.split(text)
    # Every second piece is a link.
    pieces[::2] = ["".join(_plain(c, how == "all") for c in piece) for piece in pieces[::2]]
    made = "".join(pieces)
    after = segments_of(made)
    # Three dots are longer than one: "…" alone could make a message dearer.
    return made if after.encoding == "GSM-7" and after.parts <= before.parts else text


@lru_cache(maxsize=4096)
def _plain(character: str, any_script: bool) -> str:
    if character in _OWN:
        return _OWN[character]
    if segments_of(character).encoding == "GSM-7":
        return character
    category, number = unicodedata.category(character), ord(character)
    if category == "Cf" or _MARKS[0] <= number <= _MARKS[1]:
        return ""  # direction marks, zero-width spaces, accents that stand alone
    if category == "So" and number > 0x2BFF:
        return character  # an emoji has no letters
    latin = unicodedata.name(character, "").startswith(("LATIN", "FULLWIDTH"))
    if latin or any_script or any(first <= number <= last for first, last in _SIGNS):
        made = anyascii(character)
        return made if made and segments_of(made).encoding == "GSM-7" else character
    return character
