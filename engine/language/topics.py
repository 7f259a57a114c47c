"""What the shop writes about, and the permission and the legal ground that each needs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from engine.language.context import DEFAULT_TOPICS
from engine.language.fields import Fields, read_entries
from engine.language.report import Report
from engine.language.shop import SHOP
from engine.language.tree import Tree, short
from engine.model.policy import From, Topic

TOPIC = ("title", "consent", "basis", "confirm within", "from")
#: Keys of a topic's ``from``, and those of the shop that they stand in for.
FROM = {"email": "email from", "name": "email name", "sms": "sms from", "whatsapp": "whatsapp from"}
CONSENTS = ("opt-in", "double opt-in", "opt-out", "none")
BASES = ("consent", "contract", "legitimate interest")
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")

#: Kinds of consent that belie a basis, and why.
_BELIED = {
    ("none", "consent"): "nobody is asked for it",
    ("opt-out", "consent"): "silence is no consent",
    ("opt-in", "contract"): "what needs a yes is no part of an order",
    ("double opt-in", "contract"): "what needs a yes is no part of an order",
    ("opt-out", "contract"): "what may be refused is no part of an order",
}


def read_topics(report: Report, node: Tree | None) -> dict[str, Topic]:
    """The topics by name; those that are shipped where the shop names none."""
    if node is None:
        return dict(DEFAULT_TOPICS)
    topics: dict[str, Topic] = {}
    for key, value in read_entries(report, node, "'topics'"):
        if not _NAME.fullmatch(key.text):
            hint = "use small letters, digits and '-'"
            report.add("J011", key.place, f"a topic cannot be called '{short(key.text)}'", hint)
            continue
        fields = Fields(report, value, f"topic '{key.text}'", TOPIC, ("consent",))
        title = fields.text("title") or key.text
        topic = Topic(key.text, title, _consent(fields), _basis(fields))
        topic = replace(topic, sender=_sender(report, key.text, fields.get("from")))
        within = fields.duration("confirm within")
        topics[key.text] = topic if within is None else replace(topic, confirm_within=within)
        if why := _BELIED.get((topic.consent, topic.basis)):
            message = f"topic '{key.text}' rests on {topic.basis}, but {why}"
            report.add("J080", fields.key_place("basis"), message, "see `lawful basis` in README")
    return topics


def _sender(report: Report, topic: str, node: Tree | None) -> From:
    if node is None:
        return From()
    fields = Fields(report, node, f"'from' of topic '{topic}'", tuple(FROM))
    values: dict[str, str] = {}
    for key, shops in FROM.items():
        _, pattern, hint = SHOP[shops]
        value = fields.text(key)
        if value is None:
            continue
        if re.fullmatch(pattern, value):
            values[key] = value
        else:
            message = f"'{key}' of 'from' cannot be '{short(value)}'"
            report.add("J011", fields.key_place(key), message, hint)
    return From(**values)


def _consent(fields: Fields) -> Literal["opt-in", "double opt-in", "opt-out", "none"]:
    match fields.choice("consent", CONSENTS):
        case "double opt-in":
            return "double opt-in"
        case "opt-out":
            return "opt-out"
        case "none":
            return "none"
    return "opt-in"


def _basis(fields: Fields) -> Literal["", "consent", "contract", "legitimate interest"]:
    match fields.choice("basis", BASES):
        case "consent":
            return "consent"
        case "contract":
            return "contract"
        case "legitimate interest":
            return "legitimate interest"
    return ""
