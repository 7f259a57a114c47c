"""What Twilio's error codes and shoppers' one-word answers mean, as data.

Twilio advises against logic on codes, for they change: so one that is not listed here is
taken as passing (tried again later), never as a reason to block a shopper.
Source: https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

import unicodedata
from typing import Literal

#: The number is dead or its owner said no: block it.
DEAD = frozenset(
    {
        21211,  # invalid To
        21610,  # opted out by STOP
        21614,  # not able to get SMS
        30005,  # unknown handset
        30006,  # landline
        63003,  # not on WhatsApp
    }
)

#: Our account, sender or content is at fault: trying again will not help.
MISCONFIGURED = frozenset(
    {
        20003,  # authentication
        21408,  # region not enabled
        21606,  # From is not ours
        21611,  # the sender's queue is full
        21659,  # From is no Twilio number
        30007,  # filtered by the carrier
        30034,  # A2P 10DLC not registered
        30450,  # pumping protection
        30610,  # quiet hours of the compliance toolkit
        63016,  # outside WhatsApp's 24 hours
        63020,  # Meta's invitation not accepted
    }
)

#: Twilio's keywords (any case, alone), with what Hindi and Urdu speakers write instead.
_STOP = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "बंद", "बन्द", "بند"})
_START = frozenset({"start", "yes", "unstop", "शुरू", "شروع"})
_HELP = frozenset({"help", "info", "मदद", "مدد"})


def meaning(opt_out_type: str, body: str) -> Literal["stop", "start", "help", ""]:
    """What an incoming message asks for. ``opt_out_type`` is Twilio's own reading of it, given
    when Advanced Opt-Out is on."""
    word = unicodedata.normalize("NFC", opt_out_type or body).strip(" \t\r\n.!\"'").casefold()
    if word in _STOP:
        return "stop"
    if word in _START:
        return "start"
    return "help" if word in _HELP else ""
