"""The reasons for which a message may not go, by the codes that they are counted under.

A code never changes its meaning: reports, exports and alarms are built on it. Beside it goes a
sentence about the message at hand, which may be worded anew at any time.
"""

from __future__ import annotations

from engine.model.policy import Cap, Rule

OVERDUE = "overdue"
NEXT_WINDOW = "overdue.window"
UNREADABLE = "journey.unreadable"
NO_PROVIDER = "provider.missing"
NO_ADDRESS = "address.missing"
UNRENDERED = "template.failed"
QUIET = "quiet.shop"
NO_TIME = "quiet.never"
_LAW = "quiet.law"
_HOLIDAY = "holiday"

#: What each code says of all messages that it holds back. The codes of countries are made.
MEANINGS = {
    OVERDUE: "overdue",
    NEXT_WINDOW: "overdue: waits for the next window",
    UNREADABLE: "its version of the journey no longer loads",
    NO_PROVIDER: "no provider for the channel",
    NO_ADDRESS: "no address",
    UNRENDERED: "the template failed",
    "suppressed.bounce": "suppressed: the address does not exist",
    "suppressed.complaint": "suppressed: reported as spam",
    "suppressed.opt-out": "suppressed: opted out at the provider",
    "suppressed.other": "suppressed",
    "consent.missing": "no consent",
    "consent.withdrawn": "consent withdrawn",
    "consent.unconfirmed": "consent not confirmed yet",
    "consent.stopped": "stopped by keyword",
    "consent.paused": "paused by the shopper",
    "cap.all": "frequency cap",
    "cap.channel": "frequency cap of the channel",
    "cap.topic": "frequency cap of the topic",
    QUIET: "quiet hours",
    NO_TIME: "no time at which all rules allow it",
    "law.in.dlt": "no DLT id for the template (India)",
}

#: Words in the reason of a block -> the code. The first that fits.
_BLOCKS = (
    ("spam", "complaint"),
    ("complain", "complaint"),
    ("unsubscribe", "opt-out"),
    ("opted out", "opt-out"),
    ("stop", "opt-out"),
    ("21610", "opt-out"),
    ("bounce", "bounce"),
    ("no such", "bounce"),
    ("invalid", "bounce"),
    ("sms failed", "bounce"),
)


def law_code(rule: Rule, *, holiday: bool = False) -> str:
    """``quiet.law.in``, ``quiet.law.us.florida``, ``quiet.law.fr.holiday``."""
    parts = (_LAW, rule.country.lower(), rule.name, _HOLIDAY if holiday else "")
    return ".".join(filter(None, parts))


def cap_code(cap: Cap) -> str:
    if cap.topic != "*":
        return "cap.topic"
    return "cap.all" if cap.channel == "*" else "cap.channel"


def block_code(reason: str) -> str:
    """The code of a suppression by the reason that was written down with it."""
    small = reason.lower()
    return "suppressed." + next((code for word, code in _BLOCKS if word in small), "other")


def meaning(code: str) -> str:
    """What a code says, for a table; for one that is not known the code itself."""
    if code.startswith(f"{_LAW}."):
        country, *more = code.removeprefix(f"{_LAW}.").split(".")
        where = " ".join((country.upper(), *(part for part in more if part != _HOLIDAY)))
        return f"{'public holiday' if _HOLIDAY in more else 'quiet hours'} of {where}"
    return MEANINGS.get(code, code)
