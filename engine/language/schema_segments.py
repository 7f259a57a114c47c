"""JSON Schema of segments, from the tables that the loader reads by."""

from __future__ import annotations

from engine.language.context import CHANNELS
from engine.language.schema_forms import FORMS, Schema, choice, listing, mapping, ref, say, text
from engine.language.segment_events import ANY_CHANNEL, FATES, MEASURES
from engine.language.segment_people import PLACES, RANDOM, SAYS, SCORES
from engine.language.segment_rules import KINDS
from engine.language.segments import KEYS, REQUIRED
from engine.language.spans import BETWEEN, SPAN

_NAME = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_RULE = ref("rule")
_SPAN: Schema = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": SPAN},
        {"type": "string", "pattern": BETWEEN},
    ]
}
_PLACES = {"anyOf": [ref("text"), listing(ref("text"), minItems=1)]}

#: What each key of a rule holds. A key means the same beside every kind of rule.
_FORMS: dict[str, Schema] = {
    "all": say(listing(_RULE, minItems=1), "Every one of these rules."),
    "any": say(listing(_RULE, minItems=1), "At least one of these rules."),
    "not": say(
        {"anyOf": [_RULE, listing(_RULE, minItems=1, maxItems=1)]}, "Those it does not fit."
    ),
    "did": say(ref("event"), "Did this, at least once if nothing else is said."),
    "did not": say(ref("event"), "Did not do this: never, or not within a time."),
    "first": say(ref("event"), "About the very first of these events."),
    "last": say(ref("event"), "About the latest of these events."),
    "times": say(_SPAN, "How often: at least 2, 3, 2 to 4."),
    **{
        key: say(ref("condition"), f"The {word} of this over the events: event.revenue.")
        for key, word in MEASURES.items()
    },
    "is": say(_SPAN, "What it must be: more than 500."),
    "if": say(ref("condition"), "Only events for which this holds; alone: about the profile."),
    "within": say(ref("duration"), "In the last so long a time: 90 days."),
    "longer ago than": say(ref("duration"), "At least so long ago: 30 days."),
    "since": say(ref("moment"), "From this day on."),
    "before": say(ref("moment"), "Before this day."),
    "date": say(ref("data-date"), "A date in the data: profile.subscription_ends."),
    "in the next": say(ref("duration"), "It comes in so long a time."),
    "in the last": say(ref("duration"), "It was in so long a time."),
    "in journey": say(ref("text"), "Is in this journey now."),
    "was in journey": say(ref("text"), "Is or was in this journey."),
    "reached goal of": say(ref("text"), "Reached the goal of this journey."),
    "message": say(choice((*CHANNELS, ANY_CHANNEL)), "About messages by this channel."),
    "was": say(choice(FATES), "What became of them."),
    "was not": say(choice(FATES), "What became of none of them."),
    "consent": say(choice((*CHANNELS, "ads")), "What the shopper said about this channel."),
    "topic": say(ref("text"), "And about this topic."),
    "says": say(choice(SAYS), "What they said; yes, if not given."),
    "lives in": say(
        {**mapping(PLACES, dict.fromkeys(PLACES, _PLACES)), "minProperties": 1},
        "Where the shopper lives: {country: [GB, IE]}.",
    ),
    "in segment": say(text(_NAME), "Is in another segment."),
    "rfm": say(
        {**mapping(SCORES, dict.fromkeys(SCORES, _SPAN)), "minProperties": 1},
        "Scores from 1 to 5 among all buyers: {recency: at least 4}.",
    ),
    "on list": say(text(_NAME), "Is on config/segments/lists/NAME.txt."),
    "random": say(text(RANDOM), "A share of all shoppers, always the same ones: 10%."),
    "of": say(ref("text"), "By which name the dice are thrown; that of the segment, if not given."),
}
#: What a kind of rule needs besides its own key.
_NEEDS = {
    "date": [{"required": ["in the next"]}, {"required": ["in the last"]}],
    "message": [{"required": ["was"]}, {"required": ["was not"]}],
}


def segment_schema() -> Schema:
    """What ``config/segments/*.yaml`` must look like."""
    rules = []
    for kind, keys in KINDS.items():
        form = mapping(keys, {key: _FORMS[key] for key in keys}, (kind,))
        if kind in _NEEDS:
            twins = [
                {"required": [key.replace(" ", "_") for key in one["required"]]}
                for one in _NEEDS[kind]
            ]
            form["anyOf"] = [*_NEEDS[kind], *(twin for twin in twins if twin not in _NEEDS[kind])]
        rules.append(form)
    who = {"anyOf": [_RULE, listing(_RULE, minItems=1)]}
    forms = {
        "segment": say(text(_NAME), "The name of the segment, which is that of its file."),
        "title": say(ref("text"), "Who they are, in words."),
        "owner": say(ref("text"), "Who to ask."),
        "who": say(who, "Who is in it: one rule, or a list of which all must hold."),
    }
    names = ("text", "event", "condition", "duration", "moment", "data-date")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A segment of Winback",
        **mapping(KEYS, forms, REQUIRED),
        "$defs": {**{name: FORMS[name] for name in names}, "rule": {"anyOf": rules}},
    }
