"""What a provider's report means for the message and the address it is about."""

from __future__ import annotations

from typing import Literal

from engine.model.event import Event

#: Reports that prove that the provider had the message: an unknown outcome is settled (P4).
_TAKEN = frozenset(
    {
        "Email Processed",
        "Email Deferred",
        "Email Delivered",
        "Email Bounced",
        "Email Opened",
        "Email Clicked",
        "Email Opened By Machine",
        "Email Clicked By Machine",
        "Email Spam Reported",
        "SMS Clicked",
        "SMS Clicked By Machine",
        "SMS Sent",
        "SMS Delivered",
        "SMS Read",
        "WhatsApp Clicked",
        "WhatsApp Clicked By Machine",
        "WhatsApp Sent",
        "WhatsApp Delivered",
        "WhatsApp Read",
    }
)
#: Reports that are spent once the message has moved on by them: nobody is blocked over them.
SPENT = _TAKEN - {"Email Bounced", "Email Spam Reported"}
_REFUSED = frozenset({"Email Dropped", "SMS Failed", "WhatsApp Failed"})
#: Reports of a number that can be dead, and the channel on which it then is.
_DEAD = {"SMS Failed": "sms", "WhatsApp Failed": "whatsapp"}

#: Key of the context that says who reports. The collector takes it out of what it is sent: a
#: write key stands in every page of the shop, and its reader must not get an address suppressed.
REPORTER = "made_by"


def settles(event: Event) -> tuple[str, str] | None:
    """(message id, ``sent`` or ``failed``) that the report settles an unknown outcome as."""
    message = event.properties.get("message_id")
    if not isinstance(message, str) or REPORTER not in event.context:
        return None
    if event.name in _TAKEN:
        return message, "sent"
    return (message, "failed") if event.name in _REFUSED else None


def suppresses(event: Event) -> tuple[str, str, str] | None:
    """(address, channel, reason) that must get nothing more: a permanent bounce, a complaint, a
    dead number. A temporary failure suppresses nobody."""
    if REPORTER not in event.context:
        return None
    permanent = event.properties.get("permanent") is True
    if event.name == "Email Spam Reported" or (event.name == "Email Bounced" and permanent):
        kind, channel = "email:", "email"
    elif event.name in _DEAD and permanent:
        kind, channel = "phone:", _DEAD[event.name]
    else:
        return None
    for identifier in event.identifiers:
        if identifier.startswith(kind):
            return identifier, channel, event.name.lower()
    return None


#: How far a message has come, by what is reported of it. It only ever moves on, so reports may
#: come twice and in any order.
PROCESSED, DEFERRED, DELIVERED, OPENED, CLICKED = range(1, 6)
_PROGRESS = {
    "Email Processed": PROCESSED,
    "Email Deferred": DEFERRED,
    "Email Delivered": DELIVERED,
    "Email Opened By Machine": DELIVERED,
    "Email Clicked By Machine": DELIVERED,
    "Email Opened": OPENED,
    "Email Clicked": CLICKED,
    "SMS Sent": PROCESSED,
    "SMS Delivered": DELIVERED,
    "SMS Clicked By Machine": DELIVERED,
    "SMS Read": OPENED,
    "SMS Clicked": CLICKED,
    "WhatsApp Sent": PROCESSED,
    "WhatsApp Delivered": DELIVERED,
    "WhatsApp Clicked By Machine": DELIVERED,
    "WhatsApp Read": OPENED,
    "WhatsApp Clicked": CLICKED,
}
#: What went wrong with a message, the worse the higher: of two the worse stays, in any order.
UNSUBSCRIBED, DROPPED, FAILED, BOUNCED, COMPLAINED = range(1, 6)
_TROUBLE = {
    "Email Unsubscribed": UNSUBSCRIBED,
    "Email Dropped": DROPPED,
    "SMS Failed": FAILED,
    "WhatsApp Failed": FAILED,
    "Email Bounced": BOUNCED,
    "Email Spam Reported": COMPLAINED,
}


def proven(reached: int, trouble: int) -> Literal["sent", "failed", ""]:
    """What all that was reported of a message proves of an attempt that nobody answered."""
    if reached or trouble in (BOUNCED, COMPLAINED):
        return "sent"
    return "failed" if trouble in (DROPPED, FAILED) else ""


def progress(event: Event) -> tuple[str, int, int] | None:
    """(message id, how far it has come, what went wrong with it) that the event reports; 0 where
    it says nothing of that."""
    message = event.properties.get("message_id")
    if not isinstance(message, str) or REPORTER not in event.context:
        return None
    reached, trouble = _PROGRESS.get(event.name, 0), _TROUBLE.get(event.name, 0)
    return (message, reached, trouble) if reached or trouble else None
