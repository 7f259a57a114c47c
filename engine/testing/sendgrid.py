"""SendGrid as far as a sender of mail sees it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine.testing.reports import Due, timetable
from engine.testing.sendgrid_activity import Activity, Listed
from engine.testing.sendgrid_events import Batches, Signer, about, entry
from engine.testing.sendgrid_limits import Limits
from engine.testing.simulator import Answer, Request, Simulator, Took
from engine.testing.stories import SENDGRID, Stories

_LARGEST = 30 * 1024 * 1024
_HTML_413 = (
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n"
    b"<body><center><h1>413 Request Entity Too Large</h1></center><hr><center>nginx</center>"
    b"</body>\r\n</html>\r\n"
)
#: Planned refusals, as SendGrid words them.
_WORDS = {
    400: "Bad Request",
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "The from address does not match a verified Sender Identity.",
    404: "not found",
    405: "method not allowed",
    415: "Content-Type should be application/json.",
    429: "too many requests",
    500: "internal error",
}
_UNSUBSCRIBED = "Unsubscribed Address"
#: Why an address gets nothing more, after which event, and the setting that overrides it.
_SUPPRESSING = {
    "bounce": ("Bounced Address", "bypass_bounce_management"),
    "spamreport": ("Spam Reporting Address", "bypass_spam_management"),
    "unsubscribe": (_UNSUBSCRIBED, "bypass_unsubscribe_management"),
}
_OVERRIDES = dict(_SUPPRESSING.values())
_CHANGES = frozenset({*_SUPPRESSING, "group_unsubscribe", "group_resubscribe"})


@dataclass
class SendGridSimulator(Simulator):
    """Answers ``POST /v3/mail/send``; judges each mail by SendGrid's documented limits and,
    given ``spec`` (its OpenAPI file ``tsg_mail_v3.json``), by its schema.

    With ``callbacks`` it reports as the event webhook does, signed with a key of its own
    (``public_key``), and keeps the suppression lists that follow from what it reported:
    ``suppressed`` is why each address on one gets nothing more. Mail to those is answered
    202 and dropped.

    ``key_argument``  the custom argument that holds the sender's own id of a message.
    ``activity``      answers ``GET /v3/messages``, where the account has that add-on.
    """

    spec: Path | None = None
    key_argument: str = "winback_message"
    suppressed: dict[str, str] = field(default_factory=dict)
    activity: Activity = field(default_factory=Activity)
    provider = "sendgrid"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._limits = Limits(self.spec)
        self._left_group: set[tuple[int, str]] = set()
        self._signer = Signer()
        self._newest: dict[str, Took] = {}
        self._more = 0
        self._stories = Stories(SENDGRID)
        self._batches: Batches | None = None
        if self.callbacks is not None:
            self._stories = self.callbacks.stories or Stories(SENDGRID, self.callbacks.seed)
            self._batches = Batches(self.callbacks, self.poster, self._signer, self._shop_knows)

    @property
    def public_key(self) -> str:
        """What the shop checks the posts with, as SendGrid shows it."""
        return self._signer.public_key

    @property
    def events(self) -> int:
        """How many events were posted, repeats of a post not counted."""
        return self._batches.events if self._batches is not None else 0

    def reply(self, request: Request) -> Answer:
        if request.path.partition("?")[0] == "/v3/messages":
            return self._list(request)
        if request.path != "/v3/mail/send":
            return self.refusal(404)
        if request.method != "POST":
            return self.refusal(405)
        if not request.headers.get("authorization", "").startswith("Bearer SG."):
            return self.refusal(401)
        if request.headers.get("content-type") != "application/json":
            return self.refusal(415)
        if len(request.body) > _LARGEST:
            return self.refusal(413)
        try:
            mail = json.loads(request.body)
        except ValueError:
            return self.refusal(400)
        wrong = self._limits.wrong(mail)
        if wrong:
            return _refused(400, *wrong)
        settings = mail.get("mail_settings", {})
        if settings.get("sandbox_mode", {}).get("enable"):
            return Answer(200, took=())
        reference = secrets.token_urlsafe(16)
        return Answer(
            202,
            headers=(("X-Message-Id", reference),),
            took=tuple(self._took(mail, settings, reference)),
        )

    def _list(self, request: Request) -> Answer:
        if request.method != "GET":
            return self.refusal(405)
        if not request.headers.get("authorization", "").startswith("Bearer SG."):
            return self.refusal(401)
        if not self.activity.on:
            return _refused(403, "access forbidden")
        if self.activity.too_many(time.monotonic()):
            return self.refusal(429)
        found = self.activity.find(request.path, self.clock.now().timestamp())
        if found is None:
            return _refused(400, "invalid query", "query")
        return Answer(
            200,
            json.dumps({"messages": found}).encode(),
            (("Content-Type", "application/json"),),
            took=(),
        )

    def refusal(self, status: int) -> Answer:
        if status == 413:  # by the server before SendGrid's own
            return Answer(413, _HTML_413, (("Content-Type", "text/html"),))
        if status in (502, 503, 504):
            return Answer(
                status, f"<html>{status}</html>".encode(), (("Content-Type", "text/html"),)
            )
        answer = _refused(status, _WORDS.get(status, "error"))
        if status == 429:
            limits = {"Limit": self.rate or 600, "Remaining": 0, "Reset": int(time.time()) + 1}
            more = tuple((f"X-RateLimit-{name}", str(value)) for name, value in limits.items())
            return answer._replace(headers=answer.headers + more)
        return answer

    def key_of(self, request: Request) -> str:
        try:
            person = msgspec.json.decode(request.body)["personalizations"][0]
            return str(person.get("custom_args", {}).get(self.key_argument) or person["to"])
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            return super().key_of(request)

    def begin(self, took: Took) -> None:
        if self.callbacks is None:
            return
        self._newest[took.to] = took
        story = self._stories.of(took.key, took.to)
        if took.kept_back:
            story = [f"dropped:{took.about['dropped']}"]
        now = self.clock.now().timestamp()
        for due in timetable(self.callbacks, took.key or took.reference, story):
            self._report(took, due, now)

    def report(self, to: str, word: str) -> None:
        """Report one more event of the newest mail to an address, such as "spamreport". From
        any thread. Raises ``LookupError`` when none was taken for it."""
        took = self._newest.get(to)
        if took is None or self.callbacks is None:
            raise LookupError("No mail with reports was taken for this address.")
        self._more += 1
        due, now = Due(word, 1000 + self._more, 0, 0), self.clock.now().timestamp()

        async def start() -> None:
            self._report(took, due, now)

        self.poster.soon(start)

    def mails(self) -> list[dict[str, Any]]:
        """The mails taken, as the requests described them."""
        return [json.loads(request.body) for request in self.received]

    def _took(
        self, mail: dict[str, Any], settings: dict[str, Any], reference: str
    ) -> Iterator[Took]:
        for personalization in mail["personalizations"]:
            told = about(mail, personalization)
            key = str(personalization.get("custom_args", {}).get(self.key_argument, ""))
            for kind in ("to", "cc", "bcc"):
                for who in personalization.get(kind, ()):
                    address = who["email"]
                    reason = self._kept_back(address, told["group"], settings)
                    self.activity.add(
                        Listed(
                            reference,
                            address,
                            mail["from"]["email"],
                            str(mail.get("subject", "")),
                            self.clock.now().timestamp(),
                            personalization.get("custom_args", {}),
                        )
                    )
                    yield Took(key, address, reference, bool(reason), {**told, "dropped": reason})

    def _kept_back(self, address: str, group: int, settings: dict[str, Any]) -> str:
        """Why SendGrid will drop a mail to an address, "" when it will not."""
        reason = self.suppressed.get(address, "")
        if not reason and (group, address) in self._left_group:
            reason = _UNSUBSCRIBED
        overrides = ("bypass_list_management", _OVERRIDES.get(reason, ""))
        return "" if any(settings.get(o, {}).get("enable") for o in overrides) else reason

    def _report(self, took: Took, due: Due, now: float) -> None:
        """Bring about one event of a story, and its post."""
        assert self._batches is not None
        batches = self._batches
        at = now + due.happens * self.clock.speed
        made = entry(due.word, due.number, took.to, took.reference, at, dict(took.about))

        if not due.again:
            self.activity.report(took.reference, took.to, made["event"])

        async def happen() -> None:
            self._suppress(made)

        if not due.again and made["event"] in _CHANGES:
            self.poster.later(due.happens, happen)
        self.poster.later(due.after, lambda: batches.add(made))

    def _suppress(self, event: dict[str, Any]) -> None:
        kind, address = event["event"], event["email"]
        if kind in _SUPPRESSING and event.get("type", "bounce") == "bounce":
            self.suppressed[address] = _SUPPRESSING[kind][0]
        elif kind == "group_unsubscribe":
            self._left_group.add((event["asm_group_id"], address))
        elif kind == "group_resubscribe":
            self._left_group.discard((event["asm_group_id"], address))

    def _shop_knows(self, events: list[dict[str, Any]]) -> None:
        """From now on the shop cannot say that it had not heard."""
        now = self.clock.now().timestamp()
        for event in events:
            final = event["event"] in _CHANGES and event.get("type", "bounce") == "bounce"
            if final and event["event"] != "group_resubscribe" and self.ledger is not None:
                self.ledger.stop(event["email"], now)


def _refused(status: int, message: str, field: str | None = None) -> Answer:
    error = {"message": message, "field": field, "help": None}
    return Answer(
        status,
        json.dumps({"errors": [error]}).encode(),
        (("Content-Type", "application/json"),),
    )
