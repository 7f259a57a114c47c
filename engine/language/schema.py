"""JSON Schema (2020-12) of journeys and of the shop's rules, so that editors complete and check
them as they are typed.

Made from the tables that the loader reads by. What the loader takes without an error, the schema
takes; what only the loader can see (conditions, what another file says, sums) it leaves to lint.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.language.audiences import AUDIENCE, FORMATS, ID, TO
from engine.language.audiences import KEYS as AUDIENCE_KEYS
from engine.language.context import CHANNELS
from engine.language.countries import DLT, SWITCH
from engine.language.journeys import CHANGES, KEYS, REQUIRED, STOP
from engine.language.keywords import KEYS as KEYWORDS
from engine.language.keywords import MEANINGS
from engine.language.link_rules import LINKS, UTM
from engine.language.policy import KEYS as RULES
from engine.language.policy import PROVIDERS
from engine.language.restraints import CAP
from engine.language.schema_countries import country_schema
from engine.language.schema_forms import (
    FORMS,
    Schema,
    choice,
    listing,
    mapping,
    one_of,
    ref,
    say,
    text,
)
from engine.language.schema_retention import RETENTION
from engine.language.schema_segments import segment_schema
from engine.language.schema_steps import step_forms
from engine.language.sending import (
    AUTO_PAUSE,
    COUNT,
    DAY,
    OFF,
    RATE,
    SENDER,
    SHARE,
    UNKNOWN_OUTCOMES,
    WARM_UP,
)
from engine.language.shop import SHOP
from engine.language.texts import COUNTRY, PRICE, SEGMENTS, SMS
from engine.language.topics import BASES, CONSENTS, FROM, TOPIC
from engine.language.triggers import OF_ALL, TRIGGERS, WITHOUT_KEYS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_HOURS = r"^\s*(?:[01]?[0-9]|2[0-3]):[0-5][0-9] ?[-–] ?(?:[01]?[0-9]|2[0-3]):[0-5][0-9]\s*$"
_COUNT = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 999_999_999},
        {"type": "string", "pattern": "^[0-9]{1,9}$"},
    ]
}
_PRIORITY = {
    "anyOf": [
        {"type": "integer", "minimum": -9999, "maximum": 9999},
        {"type": "string", "pattern": "^[+-]?[0-9]{1,4}$"},
    ]
}


def _shop(pattern: str) -> Schema:
    """Python's patterns are for the whole text, and a dot that takes line breaks is foreign."""
    return ref("text") if pattern.startswith("(?s)") else text(f"^(?:{pattern})$")


_TRIGGER: dict[str, Schema] = {
    "event": say(ref("event"), "The event that starts a run."),
    "date": say(ref("data-date"), "A date in the data that starts a run: profile.birthday."),
    "every": say(ref("schedule"), "Start a run every day, month or weekday."),
    "segment": say(
        one_of(("entered", "left"), {"entered": ref("text"), "left": ref("text")}),
        "Start a run when the shopper enters or leaves a segment.",
    ),
    "without": say(
        mapping(
            WITHOUT_KEYS,
            {
                "event": say(ref("event"), "The event that must not come."),
                "if": ref("condition"),
                "within": say(ref("duration"), "How long it must not come."),
            },
            ("event", "within"),
        ),
        "Only if this does not follow: {event: Order Completed, within: 2 hours}.",
    ),
    "yearly": say(ref("boolean"), "Every year on this day, not only once."),
    "shift": say(ref("shift"), "So much before (-3 days) or after the date."),
    "at": say(ref("time"), "At what time of the day; 09:00 if left out."),
    "if": say(ref("condition"), "Start only if this holds."),
    "key": say(ref("condition"), "One run for each shopper and this: event.product_id."),
    "again": say(ref("again"), "When a shopper may start again: never, always, after 30 days."),
}
_STOP = mapping(
    STOP,
    {
        "event": say(ref("event"), "The event that ends the run wherever it stands."),
        "if": ref("condition"),
        "goal": say(ref("boolean"), "Whether this is what the journey wants: a success."),
    },
    ("event",),
)
_JOURNEY: dict[str, Schema] = {
    "journey": say(text(_NAME), "The name of the journey, which is that of its file."),
    "title": say(ref("text"), "What it is for, in words."),
    "owner": say(ref("text"), "Who to ask."),
    "priority": say(_PRIORITY, "Of two messages for the last slot of a cap the higher goes."),
    "starts": say(ref("moment"), "No run begins before this day."),
    "ends": say(ref("moment"), "No run begins from this day on."),
    "timezone": say(ref("text"), "For its dates and schedule: Asia/Kolkata. Else the shop's."),
    "on change": say(choice(CHANGES), "What becomes of those in flight when it is edited."),
    "trigger": say(
        {
            "anyOf": [
                mapping(
                    (kind, *keys, *OF_ALL),
                    {key: _TRIGGER[key] for key in (kind, *keys, *OF_ALL)},
                    (kind,),
                )
                for kind, keys in TRIGGERS.items()
            ]
        },
        "What starts a run.",
    ),
    "stop": say({"anyOf": [_STOP, listing(_STOP)]}, "What ends a run wherever it stands."),
    "holdout": say(ref("percent"), "The share of shoppers who get nothing, to compare with."),
    "steps": say({**ref("steps"), "minItems": 1}, "What happens, one after the other."),
}


def _by_sender(form: Schema) -> Schema:
    """A mapping by the name of a provider, or by an address or number that sends."""
    names = sorted({name for known in PROVIDERS.values() for name in known})
    who = {"anyOf": [choice(names), {"pattern": SENDER}]}
    return {"type": "object", "propertyNames": who, "additionalProperties": form}


def _keywords() -> Schema:
    """Three words that stop, start and ask for help in each language, and our answers."""
    words: dict[str, Schema] = {name: listing(ref("text")) for name in MEANINGS}
    table = {
        "answers": choice(("provider", "ours")),
        "words": {"type": "object", "additionalProperties": mapping(MEANINGS, words)},
        "texts": {
            "type": "object",
            "additionalProperties": mapping(MEANINGS, {name: ref("text") for name in MEANINGS}),
        },
    }
    senders = {"type": "object", "additionalProperties": mapping(KEYWORDS, table)}
    return mapping((*KEYWORDS, "senders"), {**table, "senders": senders})


_RULES: dict[str, Schema] = {
    "shop": say(
        mapping(tuple(SHOP), {key: _shop(pattern) for key, (_, pattern, _) in SHOP.items()}),
        "Who writes, and where the shop is.",
    ),
    "topics": say(
        {
            "type": "object",
            "propertyNames": {"pattern": r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$"},
            "additionalProperties": mapping(
                TOPIC,
                {
                    "title": say(ref("text"), "What the shopper reads."),
                    "consent": say(choice(CONSENTS), "The permission it needs."),
                    "basis": say(choice(BASES), "Why the law lets you write (GDPR Art. 6)."),
                    "confirm within": say(ref("duration"), "How long a double opt-in can wait."),
                    "from": say(
                        mapping(tuple(FROM), {k: _shop(SHOP[of][1]) for k, of in FROM.items()}),
                        "Who its messages come from, where that is not the shop's own.",
                    ),
                },
                ("consent",),
            ),
        },
        "What you write about, and the permission it needs.",
    ),
    "quiet hours": say(
        mapping(CHANNELS, {name: {"type": "string", "pattern": _HOURS} for name in CHANNELS}),
        "When a channel stays silent, by the shopper's clock: {sms: 21:00-10:00}.",
    ),
    "caps": say(
        listing(
            mapping(
                CAP,
                {
                    "messages": say(_COUNT, "How many messages at most."),
                    "within": say(ref("duration"), "In how long a time."),
                    "channel": say(choice((*CHANNELS, "*")), "Of which channel; else of all."),
                    "topic": say(ref("text"), "Of which topic; else of all."),
                },
                ("messages", "within"),
            )
        ),
        "How much one shopper gets at most, over all journeys together.",
    ),
    "providers": say(
        mapping(
            tuple(PROVIDERS),
            {
                name: {
                    "anyOf": [
                        choice(known),
                        listing(choice(known), minItems=1, uniqueItems=True),
                    ]
                }
                for name, known in PROVIDERS.items()
            },
        ),
        "Who carries the messages. Of a list each stands in for those before it.",
    ),
    "limits": say(_by_sender(text(RATE)), "How fast: {sendgrid: 100 per second}."),
    "warm up": say(
        _by_sender(
            mapping(
                WARM_UP,
                {
                    "from": say(text(DAY), "The first day: 2026-12-01."),
                    "first day": say(text(COUNT), "How many messages go on it."),
                    "doubling every": say(ref("duration"), "As many again: 1 day, if not given."),
                },
                WARM_UP[:2],
            )
        ),
        "For a sender nobody knows yet: few messages at first, and twice as many each day.",
    ),
    "auto pause": say(
        {
            "anyOf": [
                {"enum": [OFF, False]},
                mapping(
                    AUTO_PAUSE,
                    {
                        "complaints": say(text(SHARE), "Above this share it pauses: 0.3%."),
                        "bounces": say(text(SHARE), "Above this share it pauses: 5%."),
                        "within": say(ref("duration"), "Of the messages of so long a time."),
                        "at least": say(text(COUNT), "Not before so many were reported on."),
                    },
                ),
            ]
        },
        "When a journey, a sender or a provider pauses itself.",
    ),
    "unknown outcomes": say(
        mapping(
            UNKNOWN_OUTCOMES,
            {"close after": say(ref("duration"), "A day or more; 3 days without it.")},
        ),
        "When a message whose provider never answered is asked about no more.",
    ),
    "retention": RETENTION,
    "ads consent": say(choice(("opt-in", "opt-out")), "Who may be put on ad audiences."),
    "audiences": say(
        {
            "type": "object",
            "propertyNames": text(AUDIENCE),
            "additionalProperties": mapping(
                AUDIENCE_KEYS,
                {
                    "list": say(text(ID), "The platform's id of the list, in quotes."),
                    "account": say(text(ID), "Google: the account that owns it, only digits."),
                    "login account": say(text(ID), "Google: the manager account, if any."),
                    "segment": say(text(), "The segment whose members are on it."),
                    "provider": say(choice(("api", "file")), "file: write files, send nothing."),
                    "to": say(text(TO), "Files: a folder, sftp://user@host/…, s3://bucket/…"),
                    "format": say(choice(FORMATS), "Files: csv, if nothing is said."),
                },
            ),
        },
        "The ad audiences that are kept up to date at Google and Meta, and files for all others.",
    ),
    "country rules": say(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z]{2}$"},
            "additionalProperties": choice(SWITCH),
        },
        "Countries whose rules (config/rules) are not kept: {FR: off}.",
    ),
    "dlt": say(
        mapping(
            DLT,
            {
                "entity": say(text("^[0-9]{19}$"), "The id of your business, 19 digits."),
                "header": say(text("^[A-Za-z0-9]{3,6}$"), "The header that you send under."),
                "templates": say(
                    {"type": "object", "additionalProperties": text("^[0-9]{19}$")},
                    "By template the id that it is registered under.",
                ),
            },
            DLT,
        ),
        "What the operators of India know your business and its templates by.",
    ),
    "blast radius": say(_COUNT, "How many messages more a change may send on its first day."),
    "keywords": say(_keywords(), "What STOP, START and HELP are, by language and number."),
    "links": say(
        mapping(
            LINKS,
            {
                "track": say({"type": "boolean"}, "Count the clicks, over the shop's own address."),
                "shorten": say({"type": "boolean"}, "Make links in text messages short."),
                "utm": say(
                    mapping(UTM, {name: {"type": "string"} for name in UTM}),
                    "For the shop's analytics; {journey} and the like stand for the message's.",
                ),
            },
        ),
        "What becomes of links in messages.",
    ),
    "sms": say(
        mapping(
            SMS,
            {
                "transliterate": say(
                    {"enum": [True, False, "true", "false", "all"]},
                    "Write curly quotes, dashes and accents in plainer letters where it saves.",
                ),
                "max segments": say(text(SEGMENTS), "Lint warns of longer ones. 3, if not given."),
                "prices": say(
                    {
                        "type": "object",
                        "propertyNames": {"pattern": COUNTRY},
                        "additionalProperties": text(PRICE),
                    },
                    "What one segment costs, by country: {IN: 0.0083 USD}.",
                ),
            },
        ),
        "How text messages are written, and what they cost.",
    ),
}


def journey_schema() -> Schema:
    """What ``journeys/*.yaml`` must look like."""
    return {
        "$schema": _DIALECT,
        "title": "A journey of Winback",
        **mapping(KEYS, _JOURNEY, REQUIRED),
        "$defs": {**FORMS, **step_forms()},
    }


def rules_schema() -> Schema:
    """What ``config/winback.yaml`` must look like."""
    return {
        "$schema": _DIALECT,
        "title": "The shop's rules of Winback",
        **mapping(RULES, _RULES),
        "$defs": {name: FORMS[name] for name in ("text", "duration")},
    }


#: The schemas by what they are of.
SCHEMAS: dict[str, Callable[[], Schema]] = {
    "journeys": journey_schema,
    "rules": rules_schema,
    "segments": segment_schema,
    "countries": country_schema,
}


def schema_text(name: str) -> str:
    """The schema of one of ``SCHEMAS`` as the file that is published."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"
