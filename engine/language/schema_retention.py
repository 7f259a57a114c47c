"""The schema of the key ``retention``."""

from __future__ import annotations

from engine.language.retention import KINDS, NEVER
from engine.language.schema_forms import Schema, mapping, ref, say

_KEPT: Schema = {"anyOf": [{"enum": [*NEVER, 0]}, ref("duration")]}
_SAY = {
    "refusals": "Why messages waited or were not sent: winback refusals.",
    "rejected events": "What was refused at the door: winback rejected.",
    "short links": "The links of text messages. Older ones lead nowhere any more.",
    "receipts": "What providers reported of each message. How far it has come stays.",
    "browsing": "Pages and products that shoppers looked at, beyond what your rules ask for.",
    "traces": "The decisions of runs that are over: winback explain.",
    "attempts": "The calls to providers, for messages that are settled.",
}

RETENTION: Schema = say(
    mapping(KINDS, {kind: say(_KEPT, _SAY[kind] + " 30 days or more.") for kind in KINDS}),
    "How long what piles up is kept. What promises rest on stays.",
)
