"""The findings about segments alone: title and explanation by code."""

from __future__ import annotations

SEGMENT_ERRORS = {
    "S001": (
        "not a rule",
        "A rule of a segment begins with one of: did, did not, first, last, if, date, in journey, "
        "was in journey, reached goal of, message, consent, lives in, in segment, rfm, on list, "
        "random; or puts others together: all, any, not. This one begins with something else, "
        "which is mostly a misspelling.",
    ),
    "S002": (
        "two rules in one",
        "One entry names two kinds of rules. Begin a new entry with '- ' for the second, under "
        "'all' if both must hold, under 'any' if one is enough.",
    ),
    "S003": (
        "a segment that is not there, or goes round in a circle",
        "'in segment' names another file of config/segments, without .yaml. Segments may name "
        "each other, but never in a circle: neither could be decided before the other.",
    ),
    "S004": (
        "a name that a segment's condition does not have",
        "A segment is asked at any time, not when an event comes, so the condition of an 'if' of "
        "its own knows the profile and what bought(), did() and count() tell. Beside 'did', "
        "'first' and 'last', 'if' is asked about each of the events and knows event and profile. "
        "'now' is refused everywhere: say within, longer ago than, or date, and a shopper comes "
        "and goes at the very minute.",
    ),
    "S005": (
        "not a number or a range of them",
        "Write 3, at least 3, more than 3, at most 3, less than 3, or 2 to 4. Scores are whole "
        "numbers from 1 to 5.",
    ),
    "S006": (
        "a time in which nothing can lie",
        "The event would have to be longer ago than it may be at most, or after a date that is "
        "not before the other. Change one of the two.",
    ),
    "S007": (
        "the name is not the file's",
        "The value of 'segment' must be the name of the file without .yaml, so that a name in a "
        "report or a journey leads to its file. It is made of small letters, digits and '-'.",
    ),
    "S008": (
        "a static list that is not there",
        "'on list' names a file in config/segments/lists, without .txt: one e-mail address, phone "
        "number or user id a line.",
    ),
    "S009": (
        "a line of a list that names nobody",
        "Each line is an e-mail address, a phone number with its country code (+44 …), or a user "
        "id of your shop written user:42. Empty lines and what follows # are left out.",
    ),
    "S010": (
        "two files for one segment",
        "The folder holds the same segment twice, as .yaml and as .yml. Neither counts until one "
        "is deleted, for it cannot be known which is meant.",
    ),
}

SEGMENT_WARNINGS = {
    "S051": (
        "a journey that is not there",
        "No journey of this project has this name. Past runs of one that was deleted still count; "
        "mostly it is misspelt.",
    ),
    "S052": (
        "a journey that starts by a segment that is not there",
        "No segment of config/segments has this name, so nobody ever enters or leaves it and the "
        "journey never starts.",
    ),
}
