"""No input whatever makes the loaders raise."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.language import load_journey, load_policy
from engine.language.reader import LARGEST

ROOT = Path(__file__).parents[2]
SEEDS = [
    file.read_text(encoding="utf-8")
    for file in sorted((Path(__file__).parent / "language" / "broken").glob("*.yaml"))
]
WORDS = [
    *("journey: x", "trigger:", "event: X", "steps:", "- wait: 1 day", "- send: email", "if: "),
    *("template: t", "- branch:", "- split:", "50%: []", "- else: []", "{", "}", "[", "]", ": "),
    *("&a", "*a", "!!x", "|", ">", "'", '"', "#", "\t", "\n", "\n  ", "\n    ", "? ", "---", "..."),
    *("wait: {until: ", "on: ", "every: ", "date: ", "shift: -", "at: ", "= ", "2026-11-01"),
    *("<<", "event.price > 3", "नमस्ते", "سلام", "\0", "\ufeff", "%YAML 1.1", "- ", "~", "\u2028"),
]

_HEAD = "journey: x\ntrigger: {event: X}\nsteps: [{wait: 1 day}]\n"
_STEP = "journey: x\ntrigger: {event: X}\nsteps:\n  - "
FORMS = [
    _HEAD + "starts: %s\nends: %s\n",
    _HEAD + "timezone: %s\npriority: %s\n",
    "journey: x\ntrigger: {date: %s, shift: %s}\nsteps: [{wait: 1 day}]\n",
    "journey: x\ntrigger: {every: %s, at: %s}\nsteps: [{wait: 1 day}]\n",
    "journey: x\ntrigger: {segment: {entered: %s}, if: %s}\nsteps: [{wait: 1 day}]\n",
    _STEP + "{wait: {until: %s, at: %s}}\n",
    _STEP + "{webhook: {url: %s, body: {a: %s}}}\n",
    _STEP + "{offer: {coupon: %s, valid: %s}}\n",
    _STEP + "{jump: %s, name: %s}\n",
]


def never_raises(content: str | bytes) -> None:
    for load in (load_journey, load_policy):
        result, found = load(content)
        text = content if isinstance(content, str) else content.decode("latin-1")
        for finding in found:
            assert finding.line >= 1 and finding.column >= 1, finding
            assert finding.line <= len(text.splitlines()) + 1, finding
            assert "\n" not in str(finding)
        if result is None:
            assert any(finding.severity == "error" for finding in found)


@given(st.text(max_size=12), st.text(max_size=12))
@example("x", "it's \\ \u2028")
@example("2026-11-27", "'")
def test_any_text_in_the_places_of_the_language(one: str, two: str) -> None:
    """Valid but for what stands where a time, date, name, address or expression is expected."""
    texts = [json.dumps(text) for text in (one, two)]
    for form in FORMS:
        never_raises(form % (texts[0], texts[1]))


@given(st.text(max_size=300))
@example("\ufeff")
@example("\x00")
@example("a: \x85")
@example("\ud800")
def test_any_text(text: str) -> None:
    never_raises(text)


@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    never_raises(content)


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_the_words_of_the_language_in_any_order(words: list[str]) -> None:
    never_raises("".join(words))


@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_journeys_with_slips_of_the_keyboard(text: str, chance: random.Random) -> None:
    letters = list(text)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(letters))
        match chance.randrange(4):
            case 0:
                del letters[at]
            case 1:
                letters.insert(at, chance.choice("\t\n :-{}[]'\"|>&*!%@`#,?~क"))
            case 2:
                letters[at] = chance.choice(letters)
            case _:
                start = chance.randrange(len(letters))
                letters[at:at] = letters[start : start + chance.randint(1, 40)]
        letters = letters or [" "]
    never_raises("".join(letters))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(
        re.split(
            ", ",
            "1 day, -1 day, 09:00, 9pm, monday, weekdays, month, 2026-11-01, 9999-12-31, "
            "0001-01-01 00:00, 2026-02-30T10:00+05:30, Asia/Kolkata, = key, = key +, "
            "profile.birthday, https://[, https://a.example/, generate WB, a, X, Order Completed, "
            "next window after 1 day, skip after 0 days",
        )
    )
)
KEYS = st.sampled_from(
    re.split(
        ", ",
        "journey, title, trigger, stop, holdout, steps, event, if, key, again, goal, wait, send, "
        "template, topic, offer, branch, else, split, percent, name, update, audience, add, "
        "remove, exit, then, valid, wait for, at most, if overdue, on_unknown, 50%, 50% a, "
        "owner, priority, starts, ends, timezone, on change, without, within, date, yearly, shift, "
        "at, every, segment, entered, left, until, on, when quiet, when capped, emit, properties, "
        "webhook, url, body, coupon, jump",
    )
)
SHAPES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(KEYS, SHAPES, max_size=6))
def test_the_keys_of_the_language_in_any_shape(shape: dict[str, object]) -> None:
    never_raises(json.dumps(shape, ensure_ascii=False))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the file is empty"),
        ("\n\n# nothing\n", "the file is empty"),
        ("a: \0", "this character cannot be in YAML"),
        ("[" * 100_000, "nested deeper than 50"),
        ("{a: " * 60_000, "nested deeper than 50"),
        ("- " * 100_000, "nested deeper than 50"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "anchors (&, *) are not used here"),
        ("x" * (LARGEST + 1), "the file is larger than 256 KB"),
        ("a: 'open", "not YAML: found unexpected end of the file"),
    ],
)
def test_what_is_meant_to_hurt_is_one_finding(text: str, message: str) -> None:
    journey, found = load_journey(text)
    assert journey is None
    assert [finding.message for finding in found] == [message]


@pytest.mark.parametrize(
    "content, place",
    [(b"journey: a\ntitle: caf\xe9", (2, 11)), (b"\xff", (1, 1)), (b"\xef\xbb\xbfa: \x80", (1, 4))],
)
def test_broken_utf_8_is_found_where_it_is(content: bytes, place: tuple[int, int]) -> None:
    [finding] = load_journey(content)[1]
    assert finding.message == "this is not UTF-8"
    assert (finding.line, finding.column) == place


def test_a_byte_order_mark_is_no_mistake() -> None:
    good = (ROOT / "tests/journeys/answers/win-back.yaml").read_bytes()
    plain, marked = load_journey(good)[0], load_journey(b"\xef\xbb\xbf" + good)[0]
    assert plain is not None and marked is not None
    assert plain.version == marked.version
    assert marked.source == good.decode()
