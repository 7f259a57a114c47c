"""Who writes, from config/winback.yaml."""

from __future__ import annotations

import re
from zoneinfo import available_timezones

from engine.language.fields import Fields, did_you_mean
from engine.language.report import Report
from engine.language.tree import Tree, short
from engine.model.policy import Shop

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
    "sms from": ("sms_from", r"\+?[A-Za-z0-9 ]{3,20}", 'write a number as "+447400123456"'),
    "whatsapp from": (
        "whatsapp_from",
        r"\+[1-9][0-9]{6,14}|MG[0-9a-fA-F]{32}",
        'write the number as "+447400123456"',
    ),
    "address": ("address", r"(?s).+", ""),
}


def read_shop(report: Report, node: Tree | None) -> Shop:
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
