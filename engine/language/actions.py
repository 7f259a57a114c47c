"""The steps that hold no other steps, and of these: update, audience, emit, webhook, jump, exit."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from engine.core.facts import COUNTED
from engine.language.computed import given_values, read_values
from engine.language.context import Context
from engine.language.events import may_be_emitted
from engine.language.fields import Fields, did_you_mean
from engine.language.messages import read_overdue, send
from engine.language.offers import offer_step
from engine.language.report import Report
from engine.language.tree import Mapping, Tree, short
from engine.language.waits import wait
from engine.model.journey import (
    AnyStep,
    AudienceStep,
    Emit,
    Exit,
    Jump,
    Update,
    Webhook,
)

#: The ad platforms that a list is kept at by API, and all.
BY_API = ("google", "meta")
PLATFORMS = (*BY_API, "tiktok", "pinterest", "x", "file")

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_AT_HOME = ("localhost", "127.0.0.1", "::1")


def _update(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    node = fields.get("update")
    if not isinstance(node, Mapping) or not node.entries:
        if node is not None:
            hint = "write {vip: true}"
            context.report.add("J007", node.place, "'update' must be a mapping of traits", hint)
        return None
    for key, _ in node.entries:
        if key.text in COUNTED:
            message = f"'{key.text}' is counted by Winback and cannot be set"
            context.report.add("J011", key.place, message, "choose another name")
    return Update(path, following, read_values(context, node, "'update'", f"{path}/update"))


def _emit(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    node = fields.get("emit")
    if node is None:
        return None
    what = Fields(context.report, node, "'emit'", ("event", "properties"), ("event",))
    event, place = context.event(what, path), what.get("event")
    properties = given_values(context, what, "properties", f"{path}/emit")
    if event is None or place is None:
        return None
    if not may_be_emitted(event):
        message = f"'{short(event)}' can only come from where it happens"
        hint = "give the event a name of your own: Reminder Shown"
        context.report.add("J028", place.place, message, hint)
    return Emit(path, following, event, properties)


def _webhook(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    node = fields.get("webhook")
    overdue = read_overdue(context, fields, path)
    if node is None:
        return None
    what = Fields(context.report, node, "'webhook'", ("url", "body"), ("url",))
    url, place = what.text("url"), what.get("url")
    body = given_values(context, what, "body", f"{path}/webhook")
    if url is None or place is None or not _sound_address(context.report, place, url):
        return None
    return Webhook(path, following, url, body, overdue)


def _sound_address(report: Report, node: Tree, url: str) -> bool:
    message, hint = f"'{short(url)}' is no web address", "write https://host/path"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host = ""
    else:
        if parts.username or parts.password:
            message = "a password does not belong into a journey"
            hint = "give the address a secret path, or let the receiver check the sender"
            host = ""
        elif parts.scheme == "http" and host and host not in _AT_HOME:
            message, hint = "this address is not encrypted", "write https://"
            host = ""
        elif parts.scheme not in ("http", "https") or re.search(r"[\s{}]", url):
            host = ""
    if not host:
        report.add("J027", node.place, message, hint)
    return bool(host)


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
            there = f"the platforms are {', '.join(PLATFORMS)}"
            hint = did_you_mean(platform, PLATFORMS, otherwise=there)
        context.report.add("J021", value.place, f"'{short(audience)}' is not an audience", hint)
        return None
    return AudienceStep(path, following, "add" if given[0] == "add" else "remove", audience)


def _jump(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    journey, node = fields.text("jump"), fields.get("jump")
    if journey is None or node is None:
        return None
    context.places[f"{path}/jump"] = node.place
    if not _NAME.fullmatch(journey):
        hint = "write the name of its file, without .yaml"
        context.report.add("J010", node.place, f"'{short(journey)}' is no journey's name", hint)
        return None
    return Jump(path, following, journey)


def _exit(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    reason = fields.text("exit")
    return None if reason is None else Exit(path, following, reason)


#: How each kind is compiled. An Exit or Jump keeps its ``next`` though nothing goes there.
FLAT: dict[str, Callable[[Context, Fields, str, str | None], AnyStep | None]] = {
    "wait": wait,
    "send": send,
    "update": _update,
    "audience": _audience,
    "emit": _emit,
    "webhook": _webhook,
    "offer": offer_step,
    "jump": _jump,
    "exit": _exit,
}
