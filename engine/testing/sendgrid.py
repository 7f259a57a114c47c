"""SendGrid as far as a sender of mail sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from engine.testing.simulator import Answer, Request, Simulator

#: Where the request is described in SendGrid's own OpenAPI file (3.1, so JSON Schema 2020-12).
_SCHEMA = "urn:sendgrid#/components/requestBodies/PostMailSend/content/application~1json/schema"
#: Headers that a request may not set (docs, "Mail Send: limitations").
_RESERVED = frozenset(
    """x-sg-id x-sg-eid received dkim-signature content-type content-transfer-encoding to from
    subject reply-to cc bcc""".split()  # noqa: SIM905
)
_MEGABYTE = 1024 * 1024


@dataclass
class SendGridSimulator(Simulator):
    """Answers ``POST /v3/mail/send``; judges each mail by SendGrid's documented limits and,
    given ``spec`` (its OpenAPI file ``tsg_mail_v3.json``), by its schema."""

    spec: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._validator: Any = None
        if self.spec is not None:
            document = json.loads(self.spec.read_text("utf-8"))
            registry: Any = Registry().with_resource(
                "urn:sendgrid", DRAFT202012.create_resource(document)
            )
            self._validator = jsonschema.Draft202012Validator(
                {"$ref": _SCHEMA},
                registry=registry,
                format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
            )

    def reply(self, request: Request) -> Answer:
        if request.method != "POST" or request.path != "/v3/mail/send":
            return _refused(404, "not found")
        if not request.headers.get("authorization", "").startswith("Bearer SG."):
            return _refused(401, "The provided authorization grant is invalid")
        if request.headers.get("content-type") != "application/json":
            return _refused(415, "Content-Type should be application/json.")
        if len(request.body) > 30 * _MEGABYTE:
            return Answer(413, b"<html>413 Request Entity Too Large</html>")
        try:
            mail = json.loads(request.body)
        except ValueError:
            return _refused(400, "Bad Request")
        wrong = self._wrong(mail)
        if wrong:
            return _refused(400, *wrong)
        return Answer(202, headers=(("X-Message-Id", uuid4().hex[:22]),))

    def mails(self) -> list[dict[str, Any]]:
        """The mails taken, as the requests described them."""
        return [json.loads(request.body) for request in self.received]

    def _wrong(self, mail: dict[str, Any]) -> tuple[str, str] | None:
        """(message, field) of the first thing wrong with a mail."""
        if self._validator is not None:
            error = jsonschema.exceptions.best_match(self._validator.iter_errors(mail))
            if error is not None:
                return error.message, ".".join(map(str, error.absolute_path))
        recipients = 0
        for n, personalization in enumerate(mail["personalizations"]):
            place = f"personalizations.{n}"
            everyone = [
                (f"{place}.{kind}.{i}", who)
                for kind in ("to", "cc", "bcc")
                for i, who in enumerate(personalization.get(kind, ()))
            ]
            recipients += len(everyone)
            for field, who in everyone:
                if not _could_be_address(who["email"]):
                    return "Does not contain a valid address.", f"{field}.email"
                if any(c in who.get("name", "") for c in ";,"):
                    return "Names may not contain ; or ,.", f"{field}.name"
            for header, value in personalization.get("headers", {}).items():
                if header.lower() in _RESERVED or not header.isascii():
                    return "This header cannot be set.", f"{place}.headers.{header}"
                if "\n" in value or "\r" in value:
                    return "A header must be one line.", f"{place}.headers.{header}"
            arguments = personalization.get("custom_args", {})
            if len(json.dumps(arguments).encode()) >= 10_000:
                return "Custom arguments are too large.", f"{place}.custom_args"
        if not 1 <= recipients <= 1000:
            return "There must be 1 to 1000 recipients.", "personalizations"
        if not mail["from"]["email"].isascii():
            return "Unicode is not supported here.", "from.email"
        return None


def _could_be_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local) and "." in domain and text.isascii() and not any(c.isspace() for c in text)


def _refused(status: int, message: str, field: str | None = None) -> Answer:
    error = {"message": message, "field": field, "help": None}
    return Answer(
        status,
        json.dumps({"errors": [error]}).encode(),
        (("Content-Type", "application/json"),),
    )
