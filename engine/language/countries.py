"""The rules of countries, from config/rules/*.yaml, and what the shop says about them."""

from __future__ import annotations

import re
from pathlib import Path

from engine.core.holidays import has_holidays
from engine.core.regions import zones_by_country
from engine.language.fields import (
    Fields,
    did_you_mean,
    read_choice,
    read_entries,
    read_list,
    read_text,
)
from engine.language.hours import read_hours
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.tree import Tree, short
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Dlt, Rule

FILE = ("country", "title", "rules")
RULE = ("name", "title", "channels", "topics", "numbers", "allowed", "needs", "source")
DLT = ("entity", "header", "templates")
#: Channels that a country may have rules for; a shop need not have all of them.
CHANNELS = ("email", "sms", "whatsapp", "call")
TOPICS = ("promotions", "all")
SWITCH = ("on", "off")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def load_rules(folder: Path) -> tuple[tuple[Rule, ...], list[Diagnostic]]:
    """The rules of every ``*.yaml`` in ``folder``, a file for each country. No folder, no rules.
    Never raises: what is wrong is among the diagnostics, and a rule without sound hours is
    missing."""
    rules: list[Rule] = []
    found: list[Diagnostic] = []
    files = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    countries: dict[str, str] = {}
    for file in files:
        report = Report(str(file))
        for country, rule in _read_file(report, file):
            first = countries.setdefault(country, file.name)
            if first != file.name:
                message = f"the rules of {country} are in {first} too"
                report.add("J020", Place(1, 1), message, "delete one of the two")
                break
            rules.append(rule)
        found += report.diagnostics()
    return tuple(rules), found


def switched_off(report: Report, node: Tree | None, rules: tuple[Rule, ...]) -> set[str]:
    """The countries whose rules the shop does not want to keep: ``country rules: {FR: off}``."""
    known = {rule.country for rule in rules}
    off: set[str] = set()
    for key, value in read_entries(report, node, "'country rules'"):
        choice = read_choice(report, value, f"'{short(key.text)}'", SWITCH)
        if key.text not in known:
            hint = did_you_mean(key.text, known, otherwise="config/rules has a file for each")
            message = f"there are no rules of '{short(key.text)}'"
            report.add("J011", key.place, message, hint)
        elif choice == "off":
            off.add(key.text)
    return off


def read_dlt(report: Report, node: Tree | None) -> Dlt | None:
    """What the operators of India know the shop and its templates by."""
    if node is None:
        return None
    fields = Fields(report, node, "'dlt'", DLT, DLT)
    entity = _matching(fields, "entity", r"[0-9]{19}", 'write its 19 digits in quotes: "1101…"')
    header = _matching(fields, "header", r"[A-Za-z0-9]{3,6}", "write three to six letters: WILLOW")
    templates: dict[str, str] = {}
    for key, value in read_entries(report, fields.get("templates"), "'templates'"):
        text = read_text(report, value, f"'{short(key.text)}'")
        if text is not None and not re.fullmatch(r"[0-9]{19}", text):
            hint = 'write the 19 digits that it is registered under, in quotes: "1107…"'
            report.add("J011", value.place, f"'{short(text)}' is no template id", hint)
        elif text is not None:
            templates[key.text] = text
    return Dlt(entity, header, templates) if entity and header else None


def _matching(fields: Fields, key: str, pattern: str, hint: str) -> str:
    value, node = fields.text(key), fields.get(key)
    if value is None or node is None:
        return ""
    if not re.fullmatch(pattern, value):
        fields.report.add("J011", node.place, f"'{key}' cannot be '{short(value)}'", hint)
        return ""
    return value


def _read_file(report: Report, file: Path) -> list[tuple[str, Rule]]:
    try:
        tree = parse(file.read_bytes(), report)
    except OSError as error:
        report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
        return []
    if tree is None:
        return []
    fields = Fields(report, tree, "the rules of a country", FILE, FILE)
    country = _matching(fields, "country", r"[A-Z]{2}", "write two capital letters: FR")
    node = fields.get("country")
    if country and node is not None and country not in zones_by_country():
        report.add("J011", node.place, f"there is no country '{country}'", "see ISO 3166-1")
        return []
    title, listed = fields.text("title"), fields.get("rules")
    if not country or title is None or listed is None:
        return []
    found: list[tuple[str, Rule]] = []
    names: set[str] = set()
    for item in read_list(report, listed, "'rules'"):
        rule = _read_rule(report, item, country, title)
        if rule is None:
            continue
        if rule.name in names:
            message = f"two rules called '{rule.name}'" if rule.name else "two rules without a name"
            report.add("J004", item.place, message, "give each a name of its own")
        names.add(rule.name)
        found.append((country, rule))
    return found


def _read_rule(report: Report, node: Tree, country: str, title: str) -> Rule | None:
    fields = Fields(report, node, "a rule", RULE, ("channels", "topics", "allowed", "source"))
    name = _matching(fields, "name", _NAME.pattern, "use small letters, digits and '-': florida")
    listed = fields.get("channels")
    channels = [
        read_choice(report, item, "channel", CHANNELS, "J017")
        for item in (read_list(report, listed, "'channels'") if listed is not None else ())
    ]
    topics, needs = fields.choice("topics", TOPICS), fields.choice("needs", ("dlt",))
    allowed, source = fields.get("allowed"), fields.text("source")
    hours = None if allowed is None else read_hours(report, allowed, country)
    if hours is not None and hours.holidays is not None and not has_holidays(country):
        assert allowed is not None
        message = f"the holidays of {country} are not known"
        report.add("J011", allowed.place, message, "leave 'holidays' out")
        return None
    numbers = _numbers(report, fields.get("numbers"))
    if hours is None or not channels or None in channels or topics is None or source is None:
        return None
    return Rule(
        country,
        name,
        fields.text("title") or title,
        frozenset(filter(None, channels)),
        hours,
        topics == "promotions",
        numbers,
        needs == "dlt",
        source,
    )


def _numbers(report: Report, node: Tree | None) -> tuple[str, ...]:
    """What the numbers that a rule is about begin with."""
    found = []
    for item in read_list(report, node, "'numbers'") if node is not None else ():
        text = read_text(report, item, "a number")
        if text is not None and not re.fullmatch(r"\+[1-9][0-9]{0,14}", text):
            hint = "write how the numbers begin, with the country: +1305"
            report.add("J011", item.place, f"no number begins with '{short(text)}'", hint)
        elif text is not None:
            found.append(text)
    return tuple(found)
