"""What Twilio refuses in a new message, with its error codes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}")
_WHATSAPP = "whatsapp:"

#: Twilio's documented test numbers and the errors that they give.
MAGIC = {
    "+15005550001": (21211, "The 'To' number {} is not a valid phone number."),
    "+15005550002": (21612, "The 'To' phone number {} is not currently reachable via SMS."),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "To number: {}, is not a mobile number"),
}
MAGIC_SENDERS = {
    "+15005550001": (21212, "The 'From' number {} is not a valid phone number."),
    "+15005550007": (21606, "The From phone number {} is not a valid, SMS-capable number."),
    "+15005550008": (21611, "This 'From' number has exceeded the maximum number of messages."),
}


class Limits:
    """Judges forms. Given ``spec`` (Twilio's OpenAPI file ``twilio_api_v2010.messages.json``)
    it also refuses fields that the API does not have, and values not of their type."""

    def __init__(self, spec: Path | None) -> None:
        self._fields: dict[str, Any] | None = None
        if spec is not None:
            document = json.loads(spec.read_text("utf-8"))
            content = document["paths"][_PATH]["post"]["requestBody"]["content"]
            schema = content["application/x-www-form-urlencoded"]["schema"]
            self._fields = {
                name: _resolved(field, document) for name, field in schema["properties"].items()
            }

    def wrong(self, form: Mapping[str, str]) -> tuple[int, str] | None:
        """(error code, message) of the first thing wrong with a message."""
        if self._fields is not None:
            unknown = sorted(set(form) - self._fields.keys())
            if unknown:
                return 20001, f"Unknown parameters: {unknown}"
            bad = next((n for n, v in form.items() if not _fits(v, self._fields[n])), "")
            if bad:
                return 20001, f"Invalid parameter: {bad}"
        to, body = form.get("To", ""), form.get("Body", "")
        sender, service = form.get("From", ""), form.get("MessagingServiceSid", "")
        if to in MAGIC:
            code, message = MAGIC[to]
            return code, message.format(to)
        if not _NUMBER.fullmatch(to.removeprefix(_WHATSAPP)):
            return 21211, f"The 'To' number {to} is not a valid phone number."
        if not sender and not service:
            return 21603, "A 'From' phone number is required."
        if sender in MAGIC_SENDERS:
            code, message = MAGIC_SENDERS[sender]
            return code, message.format(sender)
        if sender and not _SENDER.fullmatch(sender.removeprefix(_WHATSAPP)):
            return 21212, f"The 'From' number {sender} is not a valid phone number."
        if sender and sender.startswith(_WHATSAPP) != to.startswith(_WHATSAPP):
            return 63007, "Twilio could not find a Channel with the specified From address"
        if not body and not form.get("MediaUrl") and not form.get("ContentSid"):
            return 21602, "Message body is required."
        if len(body) > 1600:
            return 21617, "The concatenated message body exceeds 1600 characters"
        if form.get("ScheduleType") or form.get("SendAt"):
            return 20001, "This simulator does not schedule: keep the message and send it later."
        callback = form.get("StatusCallback", "")
        if callback and not callback.startswith(("http://", "https://")):
            return 21609, f"The StatusCallback URL {callback} is not a valid URL."
        return None


def _resolved(field: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = field
    if "$ref" in field:
        found = document["components"]["schemas"][field["$ref"].rpartition("/")[2]]
    return found


def _fits(value: str, field: Mapping[str, Any]) -> bool:
    match field.get("type"):
        case "integer":
            return value.isascii() and value.lstrip("-").isdigit()
        case "boolean":
            return value.lower() in ("true", "false")
    if "enum" in field:
        return value in field["enum"]
    return "pattern" not in field or bool(re.search(field["pattern"], value))
