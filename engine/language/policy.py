"""From config/winback.yaml to the shop's rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from engine.language.audiences import read_audiences
from engine.language.countries import load_rules, read_dlt, switched_off
from engine.language.fields import Fields, read_choice, read_entries
from engine.language.keywords import read_keywords
from engine.language.link_rules import read_links
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.restraints import read_caps, read_channel, read_quiet_hours
from engine.language.retention import read_retention
from engine.language.sending import first_provider, read_sending
from engine.language.shop import read_shop
from engine.language.texts import read_sms
from engine.language.topics import read_topics
from engine.language.tree import Entry, Mapping, Tree, short
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Policy, Rule

KEYS = (
    "keywords",
    *("shop", "topics", "quiet hours", "caps", "providers", "limits", "warm up", "auto pause"),
    *("unknown outcomes", "retention"),
    *("ads consent", "audiences", "blast radius", "links", "sms", "country rules", "dlt"),
)
PROVIDERS = {
    "email": ("file", "smtp", "sendgrid"),
    "sms": ("file", "twilio"),
    "whatsapp": ("file", "twilio"),
}
_DEFAULT_PROVIDERS = {"email": "file", "sms": "file"}


def load_policy(source: Path | str | bytes) -> tuple[Policy, list[Diagnostic]]:
    """Read the shop's rules, with those of countries in the folder ``rules`` beside its file.
    Never raises.

    A file that is not there gives the defaults: consent is asked for, everything goes to files.
    With an error among the diagnostics the policy lacks what was wrong, which may be a cap:
    whoever sends must not start with it.
    """
    if not isinstance(source, Path):
        return _read_text(Report("winback.yaml"), source, ())
    rules, found = load_rules(source.parent / "rules")
    report = Report(str(source))
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        return _read(report, _NOTHING, rules), found
    except OSError as error:
        report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
        return _read(report, _NOTHING, rules), [*report.diagnostics(), *found]
    segments = {path.stem for path in (source.parent / "segments").glob("*.y*ml")}
    policy, own = _read_text(report, content, rules, segments)
    return policy, [*own, *found]


_NOTHING = Mapping(Place(1, 1), [])


def _read_text(
    report: Report,
    content: str | bytes,
    rules: tuple[Rule, ...],
    segments: set[str] | None = None,
) -> tuple[Policy, list[Diagnostic]]:
    policy = _read(report, parse(content, report) or _NOTHING, rules, segments)
    return policy, report.diagnostics()


def _read(
    report: Report, tree: Tree, rules: tuple[Rule, ...], segments: set[str] | None = None
) -> Policy:
    fields = Fields(report, tree, "the shop's rules", KEYS)
    shop = read_shop(report, fields.get("shop"))
    providers = read_entries(report, fields.get("providers"), "'providers'")
    topics = read_topics(report, fields.get("topics"))
    off = switched_off(report, fields.get("country rules"), rules)
    lists, files = read_audiences(report, fields.get("audiences"), segments)
    return Policy(
        shop=shop,
        keywords=read_keywords(report, fields.get("keywords"), shop),
        topics=topics,
        quiet_hours=read_quiet_hours(report, fields.get("quiet hours")),
        caps=read_caps(report, fields.get("caps"), topics),
        providers=_providers(report, providers),
        sending=read_sending(report, fields, providers, PROVIDERS),
        ads_consent=_ads_consent(fields),
        audiences=lists,
        audience_files=files,
        blast_radius=_blast_radius(report, fields),
        links=read_links(report, fields.get("links")),
        sms=read_sms(report, fields.get("sms")),
        rules=tuple(rule for rule in rules if rule.country not in off),
        dlt=read_dlt(report, fields.get("dlt")),
        retention=read_retention(report, fields.get("retention")),
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
