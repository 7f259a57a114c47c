"""The findings with which a journey does not run: title and explanation by code."""

from __future__ import annotations

ERRORS = {
    "J001": (
        "the file is not YAML",
        "The file could not be read as YAML 1.2 in UTF-8. Mostly a line is indented differently "
        "from its neighbours, a tab was used to indent, a quote was not closed, or a value that "
        "holds ': ' or begins with one of { [ & * ! | > % @ ` stands without quotes. The parser "
        "stops at the first such place, so there may be more findings once it is mended.",
    ),
    "J002": (
        "not one document with keys",
        "A journey file is one YAML document with the keys journey, trigger and steps at its "
        "left edge. It may not be empty, a list or a bare text, and '---' may not start a "
        "second one: every journey has its own file.",
    ),
    "J003": (
        "anchors, aliases and tags",
        "YAML's anchors (&name), aliases (*name), merge keys (<<) and tags (!name) are refused: "
        "a journey is to be read from top to bottom by people who do not know them. Write the "
        "thing out again. If you meant the character itself, put the value in quotes.",
    ),
    "J004": (
        "the same key twice",
        "A mapping holds the same key twice, and only one of them could count. Delete one. In a "
        "split with equal shares give the arms names: {50% a: [...], 50% b: [...]}.",
    ),
    "J005": (
        "unknown key",
        "This key means nothing here. It is misspelt, or it stands at the wrong indentation: a "
        "key of a step must be in line with the word that begins the step ('send', 'wait', "
        "...).",
    ),
    "J006": (
        "a key is missing",
        "Something that cannot be left out is not there: a journey needs journey, trigger and "
        "steps; a trigger and a stop need event; a send needs template; a wait for needs event "
        "and at most. A trigger may have date, every or segment instead of event.",
    ),
    "J007": (
        "the wrong kind of value",
        "A list stands where a text is expected, a text where a list is, or nothing at all. "
        "Lists begin each entry with '- '; a mapping is 'key: value' lines or {key: value}.",
    ),
    "J008": (
        "not a duration",
        "Durations are whole numbers with a unit: second, minute, hour, day, week, with or "
        "without s, also together: '1 day 12 hours'. Months and years are refused, for they "
        "differ in length: say 30 days.",
    ),
    "J009": (
        "shares that do not work out",
        "A percentage is a whole number from 0 to 100 with or without '%'. The shares of a "
        "split must be at least 1% each and add up to 100%. An arm of 'send nothing' is an "
        "empty list: {90%: [...], 10%: []}.",
    ),
    "J010": (
        "the name is not the file's",
        "The value of 'journey' must be the name of the file without .yaml, so that a name in a "
        "report leads to its file. It is made of small letters, digits and '-'. A jump names "
        "the other journey in the same way.",
    ),
    "J011": (
        "not one of the choices",
        "The value is not one of those that this key knows. The message lists them.",
    ),
    "J012": (
        "unknown step",
        "A step begins with one of: wait, wait for, send, branch, split, update, audience, "
        "emit, webhook, offer, jump, exit. This one begins with something else, which is mostly "
        "a misspelling.",
    ),
    "J013": (
        "two steps in one",
        "One entry of the list names two kinds of steps. Begin a new entry with '- ' for the "
        "second.",
    ),
    "J014": (
        "the condition cannot be read",
        "A condition is a Jinja expression without {{ }}: event.price >= 20 and not "
        "bought(key). It knows event, trigger, key, profile and now, the functions bought, did "
        "and count, comparisons, and, or, not, in, + - * / and filters such as | lower. The "
        "column points at the place in the expression. A value that holds ': ' or ' #' needs "
        "quotes around it all.",
    ),
    "J015": (
        "the key must come from the event",
        "The key says what a run is about, and must be known from the trigger event alone, so "
        "that the same event always means the same run: event.product_id or event.cart_id. "
        "Profile, history and time change and cannot be part of it.",
    ),
    "J016": (
        "unknown topic",
        "The topic decides which consent is needed. It must be one of those under 'topics' in "
        "config/winback.yaml; add it there, or use one that is.",
    ),
    "J017": (
        "unknown channel",
        "Winback sends by email, sms and whatsapp.",
    ),
    "J018": (
        "the template is not there",
        "The folder templates/NAME must hold the text for this channel: email.en.mjml (or "
        ".html or .md) for email, sms.en.txt for sms, whatsapp.en.yaml for whatsapp, and one file "
        "more per language. The name is the folder's, without a path.",
    ),
    "J019": (
        "a step that is never reached",
        "Everything before this step ends the run: an exit stands above it, or a branch or wait "
        "for that exits on every way. Delete it, or move the exit.",
    ),
    "J020": (
        "two files for one journey",
        "The folder holds the same journey twice, as .yaml and as .yml. Neither runs until one "
        "is deleted, for it cannot be known which is meant.",
    ),
    "J021": (
        "not an audience",
        "An audience is PLATFORM/NAME, such as google/left-behind. The platforms are google and "
        "meta, and those that get files: tiktok, pinterest, x, and file for all others. The name "
        "is made of small letters, digits and '-'.",
    ),
    "J022": (
        "a wait that is none",
        "A wait must be longer than nothing. To go on at once, leave the step out. An offer "
        "must be valid for longer than nothing.",
    ),
    "J023": (
        "two triggers in one",
        "A run starts in one way: by an event, a date in the data (date), the calendar (every) "
        "or a segment. Write a second journey for the second way; one may jump to the other.",
    ),
    "J024": (
        "not a time of day",
        "Times of day are hours and minutes from 00:00 to 23:59, such as 09:00 or 18:30.",
    ),
    "J025": (
        "not a date",
        "A date is written 2026-11-01, a moment 2026-11-01 09:00 (in the journey's time zone, "
        "or with an offset: 2026-11-01T09:00+05:30). Where a date may come from the data it is "
        "an expression, such as profile.subscription_ends.",
    ),
    "J026": (
        "a date that does not come from the profile",
        "A trigger by date is looked up in the profiles of all shoppers before anything has "
        "happened, so it can depend on nothing but the profile: profile.birthday. To send "
        "something to all shoppers on one day, use every: day with starts and ends.",
    ),
    "J027": (
        "not a web address",
        "A webhook goes to https://host/path; http:// is for this machine alone, for what is "
        "sent is personal. The address is fixed: what differs from shopper to shopper goes into "
        "the body. Passwords do not belong into it.",
    ),
    "J028": (
        "an event that a journey cannot make up",
        "Orders, consent, identity, what a provider reports and what Winback counts by are "
        "believed wherever they are seen. A journey that made one up would falsify sales, "
        "permission or delivery. Give the event a name of your own.",
    ),
    "J029": (
        "the name of a step",
        "A step's name is a word or a few without '/', at most 60 letters, and no other step of "
        "the journey has it: plans, reports and tests find the step by it.",
    ),
    "J030": (
        "a template that is not registered in India",
        "The operators of India let through a promotion by SMS only if its template is registered "
        "with them (DLT). Register it, then write its id under 'dlt: {entity, header, templates}' "
        "in config/winback.yaml. If none of your shoppers has an Indian number, switch the rules "
        "of India off there: 'country rules: {IN: off}'.",
    ),
}
