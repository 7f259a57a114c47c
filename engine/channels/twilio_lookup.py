"""Whether Twilio has a text message whose call was never answered.

An SMS cannot carry an id of ours, so it is told again by number and words, in Twilio's list of
what went to that number. The list is not narrowed by ``DateSent``: a message that still waits in
Twilio's queue has none, and must not pass for one that Twilio never had.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

from twilio.base.exceptions import TwilioException

from engine.channels.twilio_form import WHATSAPP
from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.lookup import Asked, Found

#: A list is read so far, a hundred messages a page: nobody gets so many within a day.
_PAGES, _ON_A_PAGE = 5, 100
#: How far Twilio's clock and ours may be apart.
_APART = timedelta(minutes=5)
#: What Twilio puts before the words while an account is on trial.
_TRIAL = "Sent from your Twilio trial account - "
_ANY = "whatsapp"
_FAILED = frozenset({"failed", "undelivered", "canceled"})


def trace(to: str, body: str) -> str:
    """Hashes of the number, and of number and words."""
    return f"{_hash(to)[:16]}.{_hash(to, body)}"


def whatsapp_trace(to: str) -> str:
    """A hash of the number alone: what WhatsApp makes of a template only Twilio knows, so any
    message to the number since the call counts as this one. Once too few, never twice."""
    return f"{_hash(to)[:16]}.{_ANY}"


def look_up(messages: Any, asked: Asked) -> Found:
    """What the list of ``messages`` (the SDK's) says. Absent only where the list was read to its
    end, or back to before the call, and for the very number that was written to."""
    number, _, wanted = asked.trace.partition(".")
    if not wanted or number != _hash(asked.to)[:16]:
        return Found("unsure", reason="the shopper's number is another now")
    since = asked.handed_at - _APART
    whatsapp = wanted == _ANY
    to = WHATSAPP + asked.to if whatsapp else asked.to
    try:
        page = messages.page(to=to, page_size=_ON_A_PAGE)
        for _ in range(_PAGES):
            older = False
            for each in islice(page, _ON_A_PAGE):
                if each.date_created is not None and each.date_created < since:
                    older = True
                elif each.sid not in asked.others and (
                    whatsapp or wanted in _hashes(asked.to, each.body or "")
                ):
                    return _found(each)
            page = None if older else page.next_page()
            if page is None:
                return Found("absent")
    except (TwilioException, DeliveryError, OutcomeUnknown) as error:
        return Found("unsure", reason=type(error).__name__)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Found("unsure", reason="Twilio's list cannot be read")
    return Found("unsure", reason="too many messages to this number")


def _found(message: Any) -> Found:
    if message.status in _FAILED:
        code = f" ({message.error_code})" if message.error_code else ""
        return Found("failed", message.sid, f"Twilio could not deliver it{code}")
    return Found("sent", message.sid)


def _hashes(to: str, body: str) -> set[str]:
    return {_hash(to, body), _hash(to, body.removeprefix(_TRIAL))}


def _hash(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
