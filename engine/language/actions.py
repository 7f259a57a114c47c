"""The steps that hold no other steps: wait, send, update, audience, exit."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.language.context import CHANNELS, Context
from engine.language.fields import (
    Fields,
    did_you_mean,
    read_duration,
    read_text,
)
from engine.language.report import Report
from engine.language.tree import Mapping, Scalar, Tree, plain_value, short
from engine.model.journey import (
    AnyStep,
    AudienceStep,
    Condition,
    Exit,
    Overdue,
    Send,
    Update,
    Wait,
)

PLATFORMS = ("google", "meta")
#: What Winback counts itself (engine.core.facts.profile_facts); a trait would never be seen.
COUNTED = ("orders", "lifetime_value", "last_order_at", "first_seen", "last_seen")

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_TEMPLATE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SKIP_AFTER = "skip after "


def read_wait(report: Report, node: Tree | None) -> timedelta | None:
    """A duration longer than nothing."""
    duration = None if node is None else read_duration(report, node)
    if node is not None and duration == timedelta(0):
        report.add(
            "J022", node.place, "this is no time at all", "leave the wait out, or make it longer"
        )
        return None
    return duration


def _wait(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    duration = read_wait(context.report, fields.get("wait"))
    return None if duration is None else Wait(path, following, duration)


def _send(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    channel = fields.choice("send", CHANNELS, "J017")
    template = fields.text("template")
    topic = fields.text("topic") if "topic" in fields else "offers"
    unknown = fields.choice("on_unknown", ("hold", "retry"))
    overdue = _overdue(context, fields.get("if overdue"))
    offer = _offer(context.report, fields.get("offer"))
    _check_topic(context, fields, topic)
    context.places[f"{path}/offer"] = fields.key_place("offer")
    context.places[f"{path}/if overdue"] = fields.key_place("if overdue")
    node = fields.get("template")
    if template is not None and node is not None:
        _check_template(context, node, template, channel)
    if channel is None or template is None or topic is None:
        return None
    return Send(
        path,
        following,
        channel,
        template,
        topic,
        overdue or Overdue(),
        "retry" if unknown == "retry" else "hold",
        offer,
    )


def _check_topic(context: Context, fields: Fields, topic: str | None) -> None:
    if context.policy is None or topic is None or topic in context.policy.topics:
        return
    topics = list(context.policy.topics)
    hint = did_you_mean(topic, topics, otherwise=f"there are {', '.join(topics)}")
    if "topic" not in fields:
        hint = f"add 'topic: …' with one of {', '.join(topics)}"
    node = fields.get("topic")
    place = fields.place if node is None else node.place
    context.report.add("J016", place, f"unknown topic '{short(topic)}'", hint)


def _check_template(context: Context, node: Tree, template: str, channel: str | None) -> None:
    if not _TEMPLATE.fullmatch(template):
        hint = "it is the name of a folder in templates, without a path"
        context.report.add("J018", node.place, f"'{short(template)}' is no template name", hint)
    elif context.templates is not None:
        folder = context.templates / template
        if not folder.is_dir():
            message = f"there is no template '{template}'"
            hint = did_you_mean(template, _folders(context.templates), otherwise=f"make {folder}/")
            context.report.add("J018", node.place, message, hint)
        elif channel is not None and not any(folder.glob(f"{channel}.*")):
            message = f"template '{template}' has no text for {channel}"
            example = {"email": "email.en.mjml", "sms": "sms.en.txt"}[channel]
            context.report.add("J018", node.place, message, f"add {folder / example}")


def _folders(templates: Path) -> list[str]:
    return [folder.name for folder in templates.iterdir()] if templates.is_dir() else []


def _overdue(context: Context, node: Tree | None) -> Overdue | None:
    text = None if node is None else read_text(context.report, node, "'if overdue'")
    if node is None or text is None:
        return None
    if text == "send":
        return Overdue("send", timedelta(0))
    if text.startswith(_SKIP_AFTER):
        after = context.duration_after(node, len(_SKIP_AFTER))
        return None if after is None else Overdue("skip", after)
    message = f"'if overdue' cannot be '{short(text)}'"
    context.report.add("J011", node.place, message, "write 'send' or 'skip after 12 hours'")
    return None


def _offer(report: Report, node: Tree | None) -> dict[str, Any]:
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        report.add(
            "J007",
            node.place,
            "an offer must be a mapping",
            "write {coupon: WINTER10, valid: 3 days}",
        )
        return {}
    check_twice(report, node, "'offer'")
    for entry in node.entries:
        if entry.key.text == "valid":
            read_duration(report, entry.value)
    value: dict[str, Any] = plain_value(node)
    return value


def check_twice(report: Report, node: Mapping, what: str) -> None:
    """Report the keys of a free mapping that come twice."""
    seen: set[str] = set()
    for entry in node.entries:
        if entry.key.text in seen:
            report.add("J004", entry.key.place, f"'{short(entry.key.text)}' comes twice in {what}")
        seen.add(entry.key.text)


def _update(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    node = fields.get("update")
    if not isinstance(node, Mapping) or not node.entries:
        if node is not None:
            hint = "write {vip: true}"
            context.report.add("J007", node.place, "'update' must be a mapping of traits", hint)
        return None
    check_twice(context.report, node, "'update'")
    changes: list[tuple[str, Any | Condition]] = []
    for key, value in node.entries:
        if key.text in COUNTED:
            message = f"'{key.text}' is counted by Winback and cannot be set"
            context.report.add("J011", key.place, message, "choose another name")
        if isinstance(value, Scalar) and value.text.startswith("="):
            skip = len(value.text) - len(value.text[1:].lstrip())
            found = context.condition(value, f"{path}/update/{key.text}", skip)
            if found is not None:
                changes.append((key.text, found))
        else:
            changes.append((key.text, plain_value(value)))
    return Update(path, following, tuple(changes))


def _audience(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    node = fields.get("audience")
    if node is None:
        return None
    what = Fields(context.report, node, "'audience'", ("add", "remove"))
    given = [name for name in ("add", "remove") if name in what]
    if len(given) != 1:
        if isinstance(node, Mapping):
            hint = "write {add: google/left-behind} or {remove: google/left-behind}"
            message = "an audience step has either 'add' or 'remove'"
            context.report.add("J011", node.place, message, hint)
        return None
    audience, value = what.text(given[0]), what.get(given[0])
    if audience is None or value is None:
        return None
    platform, _, name = audience.partition("/")
    if platform not in PLATFORMS or not _NAME.fullmatch(name):
        hint = "write PLATFORM/NAME, for example google/left-behind"
        if name and platform not in PLATFORMS:
            hint = did_you_mean(platform, PLATFORMS, otherwise="the platforms are google and meta")
        context.report.add("J021", value.place, f"'{short(audience)}' is not an audience", hint)
        return None
    return AudienceStep(path, following, "add" if given[0] == "add" else "remove", audience)


def _exit(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    reason = fields.text("exit")
    return None if reason is None else Exit(path, following, reason)


FLAT: dict[str, Callable[[Context, Fields, str, str | None], AnyStep | None]] = {
    "wait": _wait,
    "send": _send,
    "update": _update,
    "audience": _audience,
    "exit": _exit,
}
