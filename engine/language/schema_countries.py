"""JSON Schema of a country's rules, from the tables that the loader reads by."""

from __future__ import annotations

from engine.language.countries import CHANNELS, FILE, RULE, TOPICS
from engine.language.hours import ALWAYS, DAYS, NEVER
from engine.language.schema_forms import FORMS, Schema, choice, listing, mapping, ref, say, text

_TIME: Schema = {
    "type": "string",
    "pattern": r"^\s*[0-9]{1,2}:[0-9]{2} ?[-–] ?[0-9]{1,2}:[0-9]{2}\s*$",
}
_TIMES: Schema = {"anyOf": [choice((NEVER, ALWAYS)), _TIME, listing(_TIME)]}
_DAYS: dict[str, Schema] = {day: _TIMES for day in DAYS}

_RULE: dict[str, Schema] = {
    "name": say(text(r"^[a-z0-9]+(?:-[a-z0-9]+)*$"), "Of a part of the country: florida."),
    "title": say(ref("text"), "What people call it."),
    "channels": say(listing(choice(CHANNELS), minItems=1), "Which messages it is about."),
    "topics": say(choice(TOPICS), "promotions: what needs consent; all: receipts too."),
    "numbers": say(listing(text(r"^\+[1-9][0-9]{0,14}$")), "How its numbers begin: +1305."),
    "allowed": say(
        {"anyOf": [_TIMES, mapping(DAYS, _DAYS, minProperties=1)]}, "When: 08:00-21:00, by day."
    ),
    "needs": say(choice(("dlt",)), "A registered template."),
    "source": say(ref("text"), "Where it is written, so that you can check it."),
}
_FILE: dict[str, Schema] = {
    "country": say(text("^[A-Z]{2}$"), "Two capital letters: FR."),
    "title": say(ref("text"), "What people call it."),
    "rules": say(
        listing(mapping(RULE, _RULE, ("channels", "topics", "allowed", "source"))),
        "Each by itself; all of them hold.",
    ),
}


def country_schema() -> Schema:
    """What ``config/rules/*.yaml`` must look like."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The rules of a country, for Winback",
        **mapping(FILE, _FILE, FILE),
        "$defs": {"text": FORMS["text"]},
    }
