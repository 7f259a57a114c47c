"""STOP, START and HELP: what a shopper's message to one of the shop's numbers asks for.

Only a message that is a keyword and nothing else counts, so "please stop by on Monday" is read by
a person. Where the provider itself knew the keyword (Twilio's Advanced Opt-Out), its word stands:
it has acted on it already.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from engine.core.consent import GIVEN, WITHDRAWN
from engine.core.receipts import REPORTER
from engine.model.event import Event
from engine.model.policy import Keywords, Meaning

#: What a provider's reader calls a message that came in, by channel.
REPLIED = {"sms": "SMS Replied", "whatsapp": "WhatsApp Replied"}
HELP = {"sms": "SMS Help Requested", "whatsapp": "WhatsApp Help Requested"}

#: Property of a message that is a yes to the question of a double opt-in, if one was asked.
CONFIRMS = "confirms"

#: Keyboards for Arabic and Persian write the same Urdu letter differently.
_SAME = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک", "ہ": "ه", "ة": "ه"})
_BY_PROVIDER: Mapping[str, Meaning] = {"STOP": "stop", "START": "start", "HELP": "help"}
#: The longest keyword has a few words; a letter to the shop needs no folding.
_LONGEST = 60


class Reading(NamedTuple):
    """What a message turned out to be: the ``event`` to be accepted, and what to ``answer``."""

    event: Event
    answer: str = ""


def fold(text: str) -> str:
    """A message as keywords are compared: whatever its case, spelling in Unicode, and the
    spaces, punctuation, emoji and invisible marks around it."""
    if len(text) > _LONGEST:
        return ""
    plain = unicodedata.normalize("NFC", text).casefold().translate(_SAME)
    kept = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Mn") or _joins(c))
    words = "".join(" " if unicodedata.category(c)[0] in "ZC" else c for c in kept).split()
    return _without_edges(" ".join(words))


def _joins(character: str) -> bool:
    """Vowel signs and the virama of Indian scripts belong to the word; variation selectors of
    emoji and Arabic vowel marks do not."""
    return "\u0900" <= character <= "\u0dff"


def _without_edges(text: str) -> str:
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start])[0] in "PSZ":
        start += 1
    while end > start and unicodedata.category(text[end - 1])[0] in "PSZ":
        end -= 1
    return text[start:end]


def read(event: Event, keywords: Mapping[str, Keywords]) -> Reading:
    """``event`` as it is to be accepted: a message that is a keyword becomes the decision that it
    is, with the keyword as its proof; every other event stays as it is.

    ``keywords``: by the shop's number. A help that the provider has not answered is answered.
    """
    said = event.properties
    channel = said.get("channel")
    if not isinstance(channel, str) or event.name != REPLIED.get(channel):
        return Reading(event)
    known = keywords.get(str(said.get("to") or "")) or keywords.get("*") or Keywords()
    word = fold(str(said.get("body") or ""))
    by_provider = _BY_PROVIDER.get(str(said.get("opt_out_type") or "").upper())
    meaning, language = known.words.get(word, (None, ""))
    meaning = by_provider or meaning
    confirms = by_provider in (None, "start") and word in known.confirms
    if meaning is None:
        if confirms:  # what nobody waits for is a message for a person, as any other
            marked = {**said, CONFIRMS: True, "language": known.confirms[word]}
            return Reading(msgspec.structs.replace(event, properties=marked))
        return Reading(event)
    answer = ""
    if by_provider is None and known.answers is not None:
        answer = known.answers.get((meaning, language)) or known.answers.get((meaning, "en")) or ""
    if meaning == "help":
        return Reading(msgspec.structs.replace(event, name=HELP[channel]), answer)
    decision: dict[str, Any] = {
        **{key: said[key] for key in ("provider", "reference") if key in said},
        "channel": channel,
        "topic": "*",
        "method": "keyword",
        "source": f"{channel} reply",
        "keyword": word,
        "sender": str(said.get("to") or ""),
        **({"language": language} if language else {}),
        **({CONFIRMS: True} if confirms else {}),
    }
    name = WITHDRAWN if meaning == "stop" else GIVEN
    return Reading(msgspec.structs.replace(event, name=name, properties=decision), answer)


@lru_cache(maxsize=4096)
def folded(word: str) -> str:
    """``fold`` of a word of the table, remembered."""
    return fold(word)


class Hold(NamedTuple):
    """What keywords come to for one number: ``stopped`` on ``channel``, or let go again."""

    address: str
    channel: str
    stopped: bool


def holds(events: Iterable[Event]) -> list[Hold]:
    """The numbers that STOP blocks and START lets go, by the last word about each in
    ``events``."""
    last: dict[tuple[str, str], Hold] = {}
    for event in sorted(events, key=lambda event: event.order_key):
        if event.name not in (GIVEN, WITHDRAWN) or not _by_keyword(event):
            continue
        channel = str(event.properties.get("channel"))
        for name in event.identifiers:
            if name.startswith("phone:"):
                last[name, channel] = Hold(name, channel, event.name == WITHDRAWN)
    return list(last.values())


def confirming(event: Event) -> bool:
    """Whether ``event`` is the yes by keyword that a double opt-in may wait for. Its word came by a
    provider: whoever reads the shop's pages cannot say it."""
    return (
        event.properties.get(CONFIRMS) is True
        and REPORTER in event.context
        and event.name in (GIVEN, *REPLIED.values())
    )


def _by_keyword(event: Event) -> bool:
    # Only who reports to us may say so: else whoever reads the shop's pages could block a number.
    said: Mapping[str, Any] = event.properties
    return REPORTER in event.context and said.get("method") == "keyword"
