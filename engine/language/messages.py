"""The step that sends, and what all steps share whose time may pass."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from engine.language.context import CHANNELS, Context
from engine.language.fields import Fields, did_you_mean, read_text
from engine.language.offers import inline_offer
from engine.language.tree import Tree, short
from engine.model.journey import AnyStep, Overdue, Send

_TEMPLATE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SUFFIX = {"email": "mjml", "sms": "txt", "whatsapp": "yaml"}
_LATE = {"skip after ": "skip", "next window after ": "next window"}


def send(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    channel = fields.choice("send", CHANNELS, "J017")
    template = fields.text("template")
    topic = fields.text("topic") if "topic" in fields else "offers"
    unknown = fields.choice("on_unknown", ("hold", "retry"))
    quiet = fields.choice("when quiet", ("wait", "skip"))
    capped = fields.choice("when capped", ("wait", "skip"))
    overdue = read_overdue(context, fields, path)
    offer = inline_offer(context, fields, path)
    _check_topic(context, fields, topic)
    context.places[f"{path}/offer"] = fields.key_place("offer")
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
        overdue,
        "retry" if unknown == "retry" else "hold",
        offer.terms,
        "skip" if quiet == "skip" else "wait",
        "wait" if capped == "wait" else "skip",
        *offer.coupon,
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
            example = f"{channel}.en.{_SUFFIX[channel]}"
            context.report.add("J018", node.place, message, f"add {folder / example}")


def _folders(templates: Path) -> list[str]:
    return [folder.name for folder in templates.iterdir()] if templates.is_dir() else []


def read_overdue(context: Context, fields: Fields, path: str) -> Overdue:
    """What the step does when its time has passed: ``if overdue``."""
    context.places[f"{path}/if overdue"] = fields.key_place("if overdue")
    node = fields.get("if overdue")
    text = None if node is None else read_text(context.report, node, "'if overdue'")
    if node is None or text is None:
        return Overdue()
    if text == "send":
        return Overdue("send", timedelta(0))
    for words, rule in _LATE.items():
        if text.startswith(words):
            after = context.duration_after(node, len(words))
            if after is None:
                return Overdue()
            return Overdue("skip" if rule == "skip" else "next window", after)
    message = f"'if overdue' cannot be '{short(text)}'"
    hint = "write 'send', 'skip after 12 hours' or 'next window after 2 hours'"
    context.report.add("J011", node.place, message, hint)
    return Overdue()
