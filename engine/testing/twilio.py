"""Twilio as a sender of text messages sees it: SMS and WhatsApp, reports, what shoppers write."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import uuid4

from engine.testing.reports import Due, timetable
from engine.testing.simulator import Answer, Request, Simulator, Took
from engine.testing.stories import TWILIO, Stories
from engine.testing.twilio_callbacks import Courier, opt_out_type, status_form, text_form
from engine.testing.twilio_content import Contents
from engine.testing.twilio_limits import MAGIC, Limits
from engine.testing.twilio_messages import BadQuery, Messages, resource

_MESSAGES = re.compile(r"/2010-04-01/Accounts/(AC\w+)/Messages(?:/(\w+))?\.json")
_CONTENT = re.compile(r"/v1/Content(?:/(HX\w+))?(/ApprovalRequests)?(/whatsapp)?")
_WHATSAPP = "whatsapp:"
_DAY = 86_400.0
#: What shoppers say in a story, by its word.
_SAYINGS = {"stop": "STOP", "start": "START", "help": "HELP"}
#: Planned refusals: the error code, and Twilio's words.
_CODES = {
    400: (21408, "Permission to send an SMS has not been enabled for the region."),
    401: (20003, "Authenticate"),
    403: (20006, "Access Denied"),
    404: (20404, "The requested resource was not found"),
    405: (20004, "Method not allowed"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}


@dataclass
class TwilioSimulator(Simulator):
    """One account. Creates messages, finds them again, keeps opt-outs (21610 after STOP), and
    has the Content resource under the same address. Given ``spec`` (Twilio's OpenAPI file
    ``twilio_api_v2010.messages.json``) it refuses fields that the API does not have.

    With ``callbacks`` it posts each message's statuses to the address that the message names,
    and what shoppers write to ``callbacks.url``. Without, a message is sent at once and no
    more is heard of it.

    ``key_parameter``  the parameter of a message's status address that holds the sender's id.
    """

    account: str = "AC" + "0" * 32
    token: str = "simulated"
    spec: Path | None = None
    key_parameter: str = "message"
    provider = "twilio"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.messages = Messages(self.keep)
        self.contents = Contents()
        #: (sender or service, number) pairs that said STOP.
        self.opted_out: set[tuple[str, str]] = set()
        self._heard: dict[tuple[str, str], float] = {}
        self._limits = Limits(self.spec)
        self._courier = Courier(self.token, self.poster)
        self._stories = Stories(TWILIO)
        if self.callbacks is not None:
            self._stories = self.callbacks.stories or Stories(TWILIO, self.callbacks.seed)

    @property
    def events(self) -> int:
        """How many reports were posted, repeats not counted."""
        return self._courier.reports

    def reply(self, request: Request) -> Answer:
        path, _, query = request.path.partition("?")
        login = b64encode(f"{self.account}:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return self.refusal(401)
        content = _CONTENT.fullmatch(path)
        if content:
            return self._content(request, *content.groups())
        found = _MESSAGES.fullmatch(path)
        if not found:
            return self.refusal(404)
        if found[1] != self.account:
            return self.refusal(401)
        match request.method, found[2]:
            case "POST", None:
                return self._create(request)
            case "GET", None:
                try:
                    return _json(200, self.messages.page(path, query))
                except BadQuery as error:
                    return _refused(400, 20001, str(error))
            case "GET", sid:
                message = self.messages.get(sid)
                return self.refusal(404) if message is None else _json(200, message)
        return self.refusal(405)

    def refusal(self, status: int) -> Answer:
        if status not in _CODES:
            return Answer(
                status, f"<html>{status}</html>".encode(), (("Content-Type", "text/html"),)
            )
        answer = _refused(status, *_CODES[status])
        if status == 429:
            more = (("Retry-After", "1"), ("Twilio-Concurrent-Requests", str(self.rate or 100)))
            return answer._replace(headers=answer.headers + more)
        return answer

    def key_of(self, request: Request) -> str:
        form = parse_qs(request.body.decode("utf-8", "replace"))
        key = self._key(form.get("StatusCallback", [""])[0])
        return key or "/".join(form.get("To", [])) or super().key_of(request)

    def begin(self, took: Took) -> None:
        if self.callbacks is None:
            self.messages.move(took.reference, "sent", self.clock.now(), None)
            return
        story = self._stories.of(took.key, took.to)
        if took.about["free form"] and not self._in_window(took.about["sender"], took.to):
            story = ["failed:63016"]
        for due in timetable(self.callbacks, took.key or took.reference, story):
            self._report(took, due)

    def inbound(self, number: str, text: str, sender: str = "+15005550006") -> None:
        """A shopper writes ``text`` to ``sender`` (a number, or a Messaging Service's sid).
        From any thread; ``drain`` waits until it is posted."""

        async def write() -> None:
            form = self._hear(number, text, sender)
            await self._post_text(number, form)

        self.poster.soon(write)

    def forms(self) -> list[dict[str, str]]:
        """The messages taken, as their form fields."""
        return [
            dict(parse_qsl(request.body.decode(), keep_blank_values=True))
            for request in self.received
        ]

    def _create(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        wrong = self._limits.wrong(form) or self._unwilling(form)
        if wrong:
            return _refused(400, *wrong)
        content, variables = form.get("ContentSid", ""), form.get("ContentVariables", "")
        body = self.contents.body(content, variables) if content else form.get("Body", "")
        sid = f"{'MM' if 'MediaUrl' in form else 'SM'}{uuid4().hex}"
        message = resource(sid, self.account, form, body, self.clock.now())
        callback = form.get("StatusCallback", "")
        to, sender = form["To"], form.get("MessagingServiceSid") or form["From"]
        took = Took(
            self._key(callback),
            to,
            sid,
            about={
                "sender": sender,
                "callback": callback,
                "free form": to.startswith(_WHATSAPP) and not self.contents.approved(content),
            },
        )
        answer = _json(201, message)
        self.messages.add(message)
        return answer._replace(took=(took,))

    def _unwilling(self, form: Mapping[str, str]) -> tuple[int, str] | None:
        sender = form.get("MessagingServiceSid") or form["From"]
        if (sender, form["To"]) in self.opted_out:
            return MAGIC["+15005550004"]
        if "ContentSid" not in form:
            return None
        return self.contents.wrong(form["ContentSid"], form.get("ContentVariables", ""))

    def _key(self, callback: str) -> str:
        found = parse_qs(urlsplit(callback).query).get(self.key_parameter)
        return found[0] if found else ""

    def _report(self, took: Took, due: Due) -> None:
        """Bring about one word of a story: a status, or something that the shopper writes."""
        word, _, more = due.word.partition(":")
        says = more if word == "says" else _SAYINGS.get(word, "")
        if says:
            if not due.again:
                self.poster.later(due.after, lambda: self._write(took, says))
            return
        code = int(more) if more else None

        message, callback = self.messages.get(took.reference), took.about["callback"]

        async def happen() -> None:
            self.messages.move(took.reference, word, self.clock.now(), code)
            if due.after == due.happens:
                await tell()

        async def tell() -> None:
            if callback and message is not None:
                form = status_form(message, word, code, self.clock.now())
                await self._courier.deliver(callback, form)

        if not due.again:
            self.poster.later(due.happens, happen)
        if due.again or due.after != due.happens:
            self.poster.later(due.after, tell)

    async def _write(self, took: Took, text: str) -> None:
        await self._post_text(took.to, self._hear(took.to, text, took.about["sender"]))

    def _hear(self, number: str, text: str, sender: str) -> dict[str, str]:
        """Do what a shopper's text asks of Twilio, and give the form that tells the shop."""
        kind = opt_out_type(text) if not number.startswith(_WHATSAPP) else ""
        if kind == "STOP":
            self.opted_out.add((sender, number))
        elif kind == "START":
            self.opted_out.discard((sender, number))
        self._heard[sender, number] = self.clock.now().timestamp()
        service = sender if sender.startswith("MG") else ""
        to = "+15005550006" if service else sender
        return text_form(self.account, number, to, text, kind, service)

    async def _post_text(self, number: str, form: Mapping[str, str]) -> None:
        def told() -> None:
            now, kind = self.clock.now().timestamp(), form.get("OptOutType")
            if self.ledger is not None and kind == "STOP":
                self.ledger.stop(number, now)
            elif self.ledger is not None and kind == "START":
                self.ledger.start(number, now)

        if self.callbacks is not None and self.callbacks.url:
            await self._courier.deliver(self.callbacks.url, form, told)

    def _in_window(self, sender: str, number: str) -> bool:
        """Whether a shopper wrote on WhatsApp within the last 24 hours."""
        heard = self._heard.get((sender, number))
        return heard is not None and self.clock.now().timestamp() - heard < _DAY

    def _content(
        self, request: Request, sid: str | None, approvals: str | None, whatsapp: str | None
    ) -> Answer:
        made = self.contents.made
        if sid is not None and sid not in made:
            return self.refusal(404)
        try:
            asked = json.loads(request.body) if request.method == "POST" else {}
            match request.method, sid, approvals, whatsapp:
                case "POST", None, None, None:
                    now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
                    answer = _json(201, self.contents.create(self.account, asked, now))
                case "POST", str(), str(), str():
                    answer = _json(201, self.contents.ask_approval(sid, asked))
                case "GET", str(), str(), None:
                    answer = _json(200, self.contents.approval(self.account, sid))
                case "GET", str(), None, None:
                    answer = _json(200, made[sid])
                case _:
                    return self.refusal(405)
        except (ValueError, KeyError, TypeError) as error:
            return _refused(400, 20001, f"Invalid request: {error}")
        return answer._replace(took=())


def _json(status: int, value: dict[str, Any]) -> Answer:
    body = json.dumps(value, ensure_ascii=False).encode()
    return Answer(status, body, (("Content-Type", "application/json"),), took=())


def _refused(status: int, code: int, message: str) -> Answer:
    return _json(
        status,
        {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        },
    )


__all__ = ["MAGIC", "TwilioSimulator"]
