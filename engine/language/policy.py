"""From config/winback.yaml to the shop's rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from engine.language.context import DEFAULT_TOPICS
from engine.language.fields import Fields, read_choice, read_entries
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.restraints import read_caps, read_channel, read_quiet_hours
from engine.language.sending import first_provider, read_sending
from engine.language.shop import read_shop
from engine.language.tree import Entry, Mapping, Tree, short
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Policy, Topic

KEYS = (
    *("shop", "topics", "quiet hours", "caps", "providers", "limits", "warm up", "auto pause"),
    *("ads consent", "blast radius"),
)
TOPIC = ("title", "consent")
CONSENTS = ("opt-in", "opt-out", "none")
PROVIDERS = {"email": ("file", "smtp", "sendgrid"), "sms": ("file", "twilio")}
_DEFAULT_PROVIDERS = {"email": "file", "sms": "file"}
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


def load_policy(source: Path | str | bytes) -> tuple[Policy, list[Diagnostic]]:
    """Read the shop's rules. Never raises.

    A file that is not there gives the defaults: consent is asked for, everything goes to files.
    With an error among the diagnostics the policy lacks what was wrong, which may be a cap:
    whoever sends must not start with it.
    """
    if isinstance(source, Path):
        report = Report(str(source))
        try:
            content: str | bytes = source.read_bytes()
        except FileNotFoundError:
            return _read(report, Mapping(Place(1, 1), [])), []
        except OSError as error:
            report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
            return _read(report, Mapping(Place(1, 1), [])), report.diagnostics()
    else:
        report, content = Report("winback.yaml"), source
    tree = parse(content, report) or Mapping(Place(1, 1), [])
    return _read(report, tree), report.diagnostics()


def _read(report: Report, tree: Tree) -> Policy:
    fields = Fields(report, tree, "the shop's rules", KEYS)
    providers = read_entries(report, fields.get("providers"), "'providers'")
    return Policy(
        shop=read_shop(report, fields.get("shop")),
        topics=_topics(report, fields.get("topics")),
        quiet_hours=read_quiet_hours(report, fields.get("quiet hours")),
        caps=read_caps(report, fields.get("caps")),
        providers=_providers(report, providers),
        sending=read_sending(report, fields, providers, PROVIDERS),
        ads_consent=_ads_consent(fields),
        blast_radius=_blast_radius(report, fields),
    )


def _blast_radius(report: Report, fields: Fields) -> int:
    text, node = fields.text("blast radius"), fields.get("blast radius")
    if text is None or node is None:
        return Policy().blast_radius
    if not re.fullmatch(r"[0-9]{1,9}", text):
        message = f"'blast radius' cannot be '{short(text)}'"
        report.add("J011", node.place, message, "write a number of messages: 500")
        return Policy().blast_radius
    return int(text)


def _ads_consent(fields: Fields) -> Literal["opt-in", "opt-out"]:
    return (
        "opt-in" if fields.choice("ads consent", ("opt-in", "opt-out")) == "opt-in" else "opt-out"
    )


def _topics(report: Report, node: Tree | None) -> dict[str, Topic]:
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
        topics[key.text] = Topic(key.text, title, _consent(fields))
    return topics


def _consent(fields: Fields) -> Literal["opt-in", "opt-out", "none"]:
    match fields.choice("consent", CONSENTS):
        case "opt-out":
            return "opt-out"
        case "none":
            return "none"
    return "opt-in"


def _providers(report: Report, entries: list[Entry]) -> dict[str, str]:
    providers = dict(_DEFAULT_PROVIDERS)
    for key, value in entries:
        channel = read_channel(report, key)
        if channel is None:
            continue
        first = first_provider(value)
        provider = read_choice(report, first, f"'{channel}'", PROVIDERS[channel])
        if provider is not None:
            providers[channel] = provider
    return providers
