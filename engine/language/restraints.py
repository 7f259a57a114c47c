"""Quiet hours and frequency caps, from config/winback.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time

from engine.language.context import CHANNELS
from engine.language.fields import (
    Fields,
    read_choice,
    read_duration,
    read_entries,
    read_list,
    read_text,
)
from engine.language.report import Report
from engine.language.tree import Scalar, Tree, short
from engine.model.policy import Cap, QuietHours, Topic

CAP = ("messages", "within", "channel", "topic")
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?[-–] ?([0-9]{1,2}):([0-9]{2})")


def read_channel(report: Report, key: Scalar, *more: str) -> str | None:
    return read_choice(report, key, "channel", (*CHANNELS, *more), "J017")


def read_quiet_hours(report: Report, node: Tree | None) -> dict[str, QuietHours]:
    hours: dict[str, QuietHours] = {}
    for key, value in read_entries(report, node, "'quiet hours'"):
        channel = read_channel(report, key)
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


def read_caps(report: Report, node: Tree | None, topics: Mapping[str, Topic]) -> tuple[Cap, ...]:
    """The caps. ``topics`` are those that there are; what needs no consent has no cap."""
    caps: list[Cap] = []
    for item in read_list(report, node, "'caps'") if node is not None else ():
        fields = Fields(report, item, "a cap", CAP, ("messages", "within"))
        count, within = fields.text("messages"), fields.get("within")
        window = None if within is None else read_duration(report, within)
        channel: str | None = "*"
        key = fields.get("channel")
        if isinstance(key, Scalar):
            channel = read_channel(report, key, "*")
        topic = _topic(report, fields.get("topic"), topics)
        if count is None or window is None or channel is None or topic is None:
            continue
        if not re.fullmatch(r"[0-9]{1,6}", count):
            place = fields.get("messages")
            assert place is not None
            report.add(
                "J011", place.place, f"'messages' cannot be '{short(count)}'", "write a number"
            )
        else:
            caps.append(Cap(int(count), window, channel, topic))
    return tuple(caps)


def _topic(report: Report, node: Tree | None, topics: Mapping[str, Topic]) -> str | None:
    """The topic that a cap is for, "*" for all; None where it is none, or has no caps."""
    if node is None:
        return "*"
    topic = read_choice(report, node, "'topic'", (*topics, "*"), "J016")
    if topic is not None and topic in topics and topics[topic].consent == "none":
        message = f"the topic '{topic}' needs no consent, so no cap holds for it"
        report.add("J011", node.place, message, "delete the cap")
        return None
    return topic
