"""What Twilio is asked to send: a text message, or a template that WhatsApp has approved.

Outside of the day after a shopper wrote, WhatsApp takes approved templates only (else 63016), by
their ``ContentSid``. https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from engine.channels.base import phone_number
from engine.errors import DeliveryError
from engine.model.message import Rendered, Sms, WhatsApp

LONGEST_BODY = 1600
#: How Twilio marks numbers that are reached over WhatsApp.
WHATSAPP = "whatsapp:"
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_CONTENT = re.compile(r"HX[0-9a-fA-F]{32}")


def fields_of(rendered: Rendered) -> dict[str, Any]:
    """Recipient, sender and content as the SDK's ``messages.create`` takes them.

    Raises ``DeliveryError``, permanent, for what Twilio would not take either.
    """
    match rendered:
        case Sms():
            return _text(rendered)
        case WhatsApp():
            return _template(rendered)
    raise DeliveryError("Twilio carries text and WhatsApp messages, not mail.", permanent=True)


def _text(sms: Sms) -> dict[str, Any]:
    if not sms.sender:
        raise DeliveryError("The shop has no 'sms from' in its configuration.", permanent=True)
    if not 1 <= len(sms.body) <= LONGEST_BODY:
        raise DeliveryError(
            f"The text has {len(sms.body)} characters: Twilio takes 1 to {LONGEST_BODY}.",
            permanent=True,
        )
    return {"to": phone_number(sms.to), "body": sms.body, **_sender(sms.sender, "")}


def _template(message: WhatsApp) -> dict[str, Any]:
    if not message.sender:
        raise DeliveryError("The shop has no 'whatsapp from' in its configuration.", permanent=True)
    if not _CONTENT.fullmatch(message.content_sid):
        raise DeliveryError("The WhatsApp template has no content sid (HX…).", permanent=True)
    fields: dict[str, Any] = {
        "to": WHATSAPP + phone_number(message.to),
        "content_sid": message.content_sid,
        **_sender(message.sender, WHATSAPP),
    }
    if message.variables:
        fields["content_variables"] = msgspec.json.encode(message.variables).decode()
    return fields


def _sender(sender: str, prefix: str) -> dict[str, str]:
    if _SERVICE.fullmatch(sender):
        return {"messaging_service_sid": sender}
    return {"from_": prefix + sender}
