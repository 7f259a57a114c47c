"""From config/winback.yaml to the shop's rules."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Literal
from zoneinfo import available_timezones

from engine.language.context import CHANNELS, DEFAULT_TOPICS
from engine.language.fields import (
    Fields,
    did_you_mean,
    read_choice,
    read_duration,
    read_list,
    read_text,
)
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.sending import first_provider, read_sending
from engine.language.tree import Entry, Mapping, Scalar, Tree, short
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic

KEYS = (
    *("shop", "topics", "quiet hours", "caps", "providers", "limits", "warm up", "auto pause"),
    *("ads consent", "blast radius"),
)
TOPIC = ("title", "consent")
CAP = ("messages", "within", "channel")
CONSENTS = ("opt-in", "opt-out", "none")
PROVIDERS = {"email": ("file", "smtp", "sendgrid"), "sms": ("file", "twilio")}
_DEFAULT_PROVIDERS = {"email": "file", "sms": "file"}
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?[-–] ?([0-9]{1,2}):([0-9]{2})")
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")

#: Keys of ``shop``: the field of Shop, what it must look like, and how to say so.
SHOP: dict[str, tuple[str, str, str]] = {
    "name": ("name", r"(?s).+", ""),
    "url": ("url", r"https?://[^\s/]+(?:/\S*)?", "write it with https://"),
    "timezone": ("timezone", r".+", ""),
    "currency": ("currency", r"[A-Z]{3}", "write three capital letters: EUR"),
    "locale": ("locale", r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", "write for example en or en-GB"),
    "country": ("country", r"[A-Z]{2}", "write two capital letters: GB"),
    "email from": (
        "email_from",
        r"[^\s@<>]+@[^\s@<>]+",
        "write the bare address: shop@example.com",
    ),
    "email name": ("email_name", r".+", ""),
    "reply to": ("reply_to", r"[^\s@<>]+@[^\s@<>]+", "write the bare address: shop@example.com"),
    "sms from": ("sms_from", r"\+?[A-Za-z0-9 ]{3,20}", 'write a number as "+447700900123"'),
    "address": ("address", r"(?s).+", ""),
}


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
    providers = _entries(report, fields.get("providers"), "'providers'")
    return Policy(
        shop=_shop(report, fields.get("shop")),
        topics=_topics(report, fields.get("topics")),
        quiet_hours=_quiet_hours(report, fields.get("quiet hours")),
        caps=_caps(report, fields.get("caps")),
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


def _shop(report: Report, node: Tree | None) -> Shop:
    if node is None:
        return Shop()
    fields = Fields(report, node, "the shop", tuple(SHOP))
    values: dict[str, str] = {}
    for key, (name, pattern, hint) in SHOP.items():
        value, place = fields.text(key), fields.get(key)
        if value is None or place is None:
            continue
        if not re.fullmatch(pattern, value):
            report.add("J011", place.place, f"'{key}' cannot be '{short(value)}'", hint)
        elif key == "timezone" and value not in available_timezones():
            near = did_you_mean(value, available_timezones(), otherwise="write Europe/London")
            report.add("J011", place.place, f"unknown timezone '{short(value)}'", near)
        else:
            values[name] = value
    return Shop(**values)


def _entries(report: Report, node: Tree | None, what: str) -> list[Entry]:
    """The entries of a mapping whose keys are free, each key once."""
    if node is None:
        return []
    if not isinstance(node, Mapping):
        report.add("J007", node.place, f"{what} must be a mapping")
        return []
    seen: dict[str, Entry] = {}
    for entry in node.entries:
        if entry.key.text in seen:
            report.add("J004", entry.key.place, f"'{short(entry.key.text)}' comes twice in {what}")
        seen.setdefault(entry.key.text, entry)
    return list(seen.values())


def _topics(report: Report, node: Tree | None) -> dict[str, Topic]:
    if node is None:
        return dict(DEFAULT_TOPICS)
    topics: dict[str, Topic] = {}
    for key, value in _entries(report, node, "'topics'"):
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


def _channel(report: Report, key: Scalar, *more: str) -> str | None:
    return read_choice(report, key, "channel", (*CHANNELS, *more), "J017")


def _quiet_hours(report: Report, node: Tree | None) -> dict[str, QuietHours]:
    hours: dict[str, QuietHours] = {}
    for key, value in _entries(report, node, "'quiet hours'"):
        channel = _channel(report, key)
        text = read_text(report, value, "quiet hours")
        if text is None:
            continue
        found = _HOURS.fullmatch(text.strip())
        numbers = [int(number) for number in found.groups()] if found else [99, 0, 0, 0]
        if max(numbers[0], numbers[2]) > 23 or max(numbers[1], numbers[3]) > 59:
            message = f"'{short(text)}' is no time of day"
            report.add("J011", value.place, message, "write from and to: 21:00-09:00")
        elif numbers[:2] == numbers[2:]:
            hint = "leave the channel out to have none"
            report.add("J011", value.place, "quiet hours that end as they begin", hint)
        elif channel is not None:
            start, end = time(numbers[0], numbers[1]), time(numbers[2], numbers[3])
            hours[channel] = QuietHours(start, end)
    return hours


def _caps(report: Report, node: Tree | None) -> tuple[Cap, ...]:
    caps: list[Cap] = []
    for item in read_list(report, node, "'caps'") if node is not None else ():
        fields = Fields(report, item, "a cap", CAP, ("messages", "within"))
        count, within = fields.text("messages"), fields.get("within")
        window = None if within is None else read_duration(report, within)
        channel: str | None = "*"
        key = fields.get("channel")
        if isinstance(key, Scalar):
            channel = _channel(report, key, "*")
        if count is None or window is None or channel is None:
            continue
        if not re.fullmatch(r"[0-9]{1,6}", count):
            place = fields.get("messages")
            assert place is not None
            report.add(
                "J011", place.place, f"'messages' cannot be '{short(count)}'", "write a number"
            )
        else:
            caps.append(Cap(int(count), window, channel))
    return tuple(caps)


def _providers(report: Report, entries: list[Entry]) -> dict[str, str]:
    providers = dict(_DEFAULT_PROVIDERS)
    for key, value in entries:
        channel = _channel(report, key)
        if channel is None:
            continue
        first = first_provider(value)
        provider = read_choice(report, first, f"'{channel}'", PROVIDERS[channel])
        if provider is not None:
            providers[channel] = provider
    return providers
