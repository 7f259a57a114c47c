"""The steps of a journey as JSON Schema, one definition for each kind that the loader knows."""

from __future__ import annotations

from engine.core.facts import COUNTED
from engine.language.actions import PLATFORMS
from engine.language.context import CHANNELS
from engine.language.schema_forms import (
    Schema,
    choice,
    listing,
    mapping,
    one_of,
    ref,
    say,
    text,
)
from engine.language.steps import KINDS, REQUIRED, SHARE, WAIT_FOR
from engine.language.waits import UNTIL

_NAME = say(
    text(r"^[^/\s](?:[^/\n]{0,58}[^/\s])?$"),
    "What plans, reports and tests call this step. No other step of the journey has it.",
)
_SHARES = r"^\s*(?:100|0?[0-9]{1,2}) ?%?(?: +[\s\S]*)?\s*$"
_COUPON = text(
    r"^\s*(?!(?:generate|pool)(?:\s|$))\S|^\s*generate\s+[A-Z0-9][A-Z0-9-]{0,11}\s*$|"
    r"^\s*pool\s+[a-z0-9]+(?:-[a-z0-9]+)*\s*$"
)
_ADDRESS = text(
    r"^(?:[hH][tT]{2}[pP][sS]://(?![^/?#]*@)|"
    r"[hH][tT]{2}[pP]://(?:localhost|127\.0\.0\.1|\[::1\])(?=[:/?#]|$))[^\s{}]*$"
)
_OVERDUE = say(
    ref("overdue"), "What happens when this is late: send, skip after …, next window after …."
)

_UNTIL_TIME = mapping(
    ("until", "on"),
    {
        "until": say(ref("time"), "The next time the shopper's clock shows this."),
        "on": say(ref("days"), "Only on these days: weekday names, weekdays, weekend."),
    },
    ("until",),
)
_UNTIL_DATE = mapping(
    tuple(key for key in UNTIL if key != "on"),
    {
        "until": say(ref("date"), "A date in the data, or one day for all: 2026-11-27."),
        "at": say(ref("time"), "At what time of that day; 09:00 if left out."),
        "shift": say(ref("shift"), "So much before (-7 days) or after it."),
    },
    ("until",),
)
_WAIT = {"anyOf": [ref("duration"), _UNTIL_TIME, _UNTIL_DATE]}

_WAITED_FOR = mapping(
    WAIT_FOR,
    {
        "event": say(ref("event"), "The event that goes on with 'then'."),
        "if": say(ref("condition"), "Only an event for which this holds."),
        "at most": say(ref("duration"), "How long to wait before going on with 'else'."),
    },
    ("event", "at most"),
)
_ARM = {
    "anyOf": [
        mapping(
            ("if", "steps"),
            {
                "if": say(ref("condition"), "The first arm whose condition holds is taken."),
                "steps": ref("steps"),
            },
            ("if", "steps"),
        ),
        mapping(
            ("else",), {"else": say(ref("steps"), "The steps if no condition holds.")}, ("else",)
        ),
    ]
}
_SPLIT = {
    "anyOf": [
        {
            "type": "object",
            "patternProperties": {_SHARES: ref("steps")},
            "additionalProperties": False,
            "minProperties": 1,
        },
        listing(
            mapping(
                SHARE,
                {
                    "percent": say(ref("percent"), "The share of shoppers; all add up to 100."),
                    "name": say(ref("text"), "What reports call this arm."),
                    "steps": ref("steps"),
                },
                ("percent", "steps"),
            ),
            minItems=1,
        ),
    ]
}
_OFFERED = {
    "type": "object",
    "properties": {
        "coupon": say(
            _COUPON,
            "One code for everybody, or one of each run's own: 'generate WB', 'pool winter'.",
        ),
        "percent": say(ref("discount"), "The discount."),
        "valid": say(ref("duration"), "How long it is valid, from this step on."),
    },
    "minProperties": 1,
}
_NONE_LEFT = say(
    text(r"^\s*(?:skip|exit|(?=\S*[A-Z0-9])[A-Za-z0-9_-]{1,40})\s*$"),
    "When the pool has no code left: skip the message, exit, or a code for everybody instead.",
)
_OF_A_MESSAGE = {
    "type": "object",
    "properties": {
        "coupon": say(
            {"anyOf": [_COUPON, {"enum": [""]}, {"type": ["array", "object", "null"]}]},
            "A code, or one of each message's own: 'generate WB', 'pool winter'.",
        ),
        "valid": say(ref("duration"), "How long it is valid, from this message on."),
    },
}

_FORMS: dict[str, dict[str, Schema]] = {
    "wait": {"wait": say(_WAIT, "Wait so long, or until a moment: {until: '18:00'}.")},
    "wait for": {
        "wait for": say(_WAITED_FOR, "Wait for an event, but only so long."),
        "then": say(ref("steps"), "The steps when it came."),
        "else": say(ref("steps"), "The steps when time ran out."),
    },
    "send": {
        "send": say(choice(CHANNELS), "The channel of the message."),
        "template": say(
            text(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"), "The name of a folder in templates/."
        ),
        "topic": say(
            ref("text"), "What it is about: a topic of config/winback.yaml. Else: offers."
        ),
        "if overdue": _OVERDUE,
        "on_unknown": say(
            choice(("hold", "retry")), "When nobody knows whether the provider took it."
        ),
        "when quiet": say(choice(("wait", "skip")), "When it falls into the quiet hours."),
        "when capped": say(choice(("wait", "skip")), "When the shopper has had enough messages."),
        "offer": say(_OF_A_MESSAGE, "What this message offers: {coupon: WINTER10, valid: 3 days}."),
        "if none left": _NONE_LEFT,
    },
    "branch": {"branch": say(listing(_ARM), "Ways on by condition; the first that holds.")},
    "split": {"split": say(_SPLIT, "Ways on by chance: {50% a: […], 50% b: […]}.")},
    "update": {
        "update": say(
            {
                **ref("values"),
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"not": choice(COUNTED)},
            },
            "Traits of the shopper to set: {vip: true, tier: = 'gold' if profile.orders > 3}.",
        )
    },
    "audience": {
        "audience": say(
            one_of(
                ("add", "remove"),
                {
                    way: text(rf"^(?:{'|'.join(PLATFORMS)})/[a-z0-9]+(?:-[a-z0-9]+)*$")
                    for way in ("add", "remove")
                },
            ),
            "Put the shopper on an ad audience or take them off: {add: google/left-behind}.",
        )
    },
    "emit": {
        "emit": say(
            mapping(
                ("event", "properties"),
                {
                    "event": say(ref("emitted"), "A name of your own: Reminder Shown."),
                    "properties": ref("values"),
                },
                ("event",),
            ),
            "An event of this shopper, as if the shop had sent it.",
        )
    },
    "webhook": {
        "webhook": say(
            mapping(
                ("url", "body"),
                {"url": say(_ADDRESS, "https://host/path"), "body": ref("values")},
                ("url",),
            ),
            "A JSON POST to a machine of yours.",
        ),
        "if overdue": _OVERDUE,
    },
    "offer": {
        "offer": say(_OFFERED, "What the messages from here on offer."),
        "if none left": _NONE_LEFT,
    },
    "jump": {
        "jump": say(
            text(r"^[a-z0-9]+(?:-[a-z0-9]+)*$"), "Leave for another journey: the name of its file."
        )
    },
    "exit": {"exit": say(ref("text"), "Leave the journey, for this reason.")},
}


def step_forms() -> dict[str, Schema]:
    """A definition for each kind of step, and ``step`` and ``steps`` over them."""
    kinds = {
        f"step-{kind.replace(' ', '-')}": mapping(
            (*keys, "name"),
            {**_FORMS[kind], "name": _NAME},
            (kind, *REQUIRED.get(kind, ())),
        )
        for kind, keys in KINDS.items()
    }
    return {
        **kinds,
        "step": {"anyOf": [ref(name) for name in kinds]},
        "steps": listing(ref("step")),
    }
