"""Twilio as far as a sender of text messages sees it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import uuid4

from engine.testing.simulator import Answer, Request, Simulator

_PATH = re.compile(r"/2010-04-01/Accounts/(AC\w+)/Messages\.json")
_SPEC_PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")

#: Twilio's documented test numbers and the errors that they give.
MAGIC = {
    "+15005550001": (21211, "The 'To' number {} is not a valid phone number."),
    "+15005550002": (21612, "The 'To' phone number {} is not currently reachable via SMS."),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "To number: {}, is not a mobile number"),
}


@dataclass
class TwilioSimulator(Simulator):
    """Answers ``POST …/Messages.json`` for one account. Given ``spec`` (Twilio's OpenAPI file
    ``twilio_api_v2010.messages.json``) it refuses fields that the API does not have."""

    account: str = "AC" + "0" * 32
    token: str = "simulated"
    spec: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fields: set[str] | None = None
        if self.spec is not None:
            document = json.loads(self.spec.read_text("utf-8"))
            content = document["paths"][_SPEC_PATH]["post"]["requestBody"]["content"]
            schema = content["application/x-www-form-urlencoded"]["schema"]
            self._fields = set(schema["properties"])

    def reply(self, request: Request) -> Answer:
        path = _PATH.fullmatch(request.path)
        if request.method != "POST" or not path:
            return _refused(404, 20404, "The requested resource was not found")
        login = b64encode(f"{self.account}:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}" or path[1] != self.account:
            return _refused(401, 20003, "Authenticate")
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        unknown = set(form) - self._fields if self._fields is not None else set()
        if unknown:
            return _refused(400, 20001, f"Unknown parameters: {sorted(unknown)}")
        to, body = form.get("To", ""), form.get("Body", "")
        if to in MAGIC:
            code, message = MAGIC[to]
            return _refused(400, code, message.format(to))
        if not _NUMBER.fullmatch(to):
            return _refused(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if not form.get("From") and not form.get("MessagingServiceSid"):
            return _refused(400, 21603, "A 'From' phone number is required.")
        if not body:
            return _refused(400, 21602, "Message body is required.")
        if len(body) > 1600:
            return _refused(400, 21617, "The concatenated message body exceeds 1600 characters")
        sid = f"SM{uuid4().hex}"
        answer: dict[str, object] = {
            "sid": sid,
            "account_sid": self.account,
            "api_version": "2010-04-01",
            "to": to,
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "body": body,
            "status": "queued",
            "direction": "outbound-api",
            "num_segments": "1",
            "num_media": "0",
            "date_created": "Tue, 24 Nov 2026 10:00:00 +0000",
            "date_updated": "Tue, 24 Nov 2026 10:00:00 +0000",
            "date_sent": None,
            "error_code": None,
            "error_message": None,
            "price": None,
            "price_unit": "USD",
            "uri": f"/2010-04-01/Accounts/{self.account}/Messages/{sid}.json",
            "subresource_uris": {},
        }
        return Answer(201, json.dumps(answer).encode(), (("Content-Type", "application/json"),))

    def forms(self) -> list[dict[str, str]]:
        """The messages taken, as their form fields."""
        return [
            dict(parse_qsl(request.body.decode(), keep_blank_values=True))
            for request in self.received
        ]


def _refused(status: int, code: int, message: str) -> Answer:
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return Answer(status, json.dumps(body).encode(), (("Content-Type", "application/json"),))
