"""What SendGrid refuses in a mail: its schema, and the limits that the schema leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

#: Where the request is described in SendGrid's own OpenAPI file (3.1, so JSON Schema 2020-12).
_SCHEMA = "urn:sendgrid#/components/requestBodies/PostMailSend/content/application~1json/schema"
#: Headers that a request may not set (docs, "Mail Send: limitations").
_RESERVED = frozenset(
    """x-sg-id x-sg-eid received dkim-signature content-type content-transfer-encoding to from
    subject reply-to cc bcc""".split()  # noqa: SIM905
)


class Limits:
    """Judges mails by the documented limits and, given ``spec`` (the OpenAPI file
    ``tsg_mail_v3.json``), by its schema before."""

    def __init__(self, spec: Path | None) -> None:
        self._validator: Any = None
        if spec is not None:
            document = json.loads(spec.read_text("utf-8"))
            registry: Any = Registry().with_resource(
                "urn:sendgrid", DRAFT202012.create_resource(document)
            )
            self._validator = jsonschema.Draft202012Validator(
                {"$ref": _SCHEMA},
                registry=registry,
                format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
            )

    def wrong(self, mail: dict[str, Any]) -> tuple[str, str] | None:
        """(message, field) of the first thing wrong with a mail."""
        if self._validator is not None:
            error = jsonschema.exceptions.best_match(self._validator.iter_errors(mail))
            if error is not None:
                return error.message, ".".join(map(str, error.absolute_path))
        missing = next((f for f in ("personalizations", "from", "content") if not mail.get(f)), "")
        if missing:
            return "This field is required.", missing
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
