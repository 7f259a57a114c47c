"""The published schema takes what the loader takes, and refuses what an editor can see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from engine.core.durations import DurationError, parse_duration
from engine.language import load_journey, load_policy
from engine.language.countries import load_rules
from engine.language.reader import parse
from engine.language.report import Report
from engine.language.schema import SCHEMAS, journey_schema, rules_schema, schema_text
from engine.language.schema_forms import FORMS, mapping
from engine.language.steps import KINDS
from engine.language.tree import plain_value
from engine.language.triggers import TRIGGERS

ROOT = Path(__file__).resolve().parents[2]
BROKEN = sorted((ROOT / "tests" / "unit" / "language" / "broken").glob("*.yaml"))
SHIPPED = [
    *sorted((ROOT / "journeys").glob("*.yaml")),
    *sorted((ROOT / "journeys" / "cookbook").glob("*.yaml")),
    *sorted((ROOT / "tests" / "journeys" / "answers").glob("*.yaml")),
]
JOURNEYS = Draft202012Validator(journey_schema())
RULES = Draft202012Validator(rules_schema())

#: Codes of mistakes in structure, and the files whose mistake needs more than a look at it.
STRUCTURE = {
    *("J002", "J005", "J006", "J007", "J008", "J009", "J010", "J011", "J012", "J013", "J017"),
    *("J021", "J023", "J024", "J025", "J027", "J028"),
}
ONLY_LINT = {
    "duration-endless",  # 3660 days at most, over all its parts
    "name-of-another-file",
    "none-left-of-no-pool",
    "split-sum",
    "split-zero",
    "starts-impossible",  # the 30th of February
    "timezone-misspelt",
    "timezone-offset",
    "wait-until-impossible-day",
    "wait-until-moment-and-at",
    "wait-until-moment-late",
    "wait-until-weekday",
    "webhook-port",
}


def read(source: Path | str) -> Any:
    content = source.read_bytes() if isinstance(source, Path) else source
    tree = parse(content, Report("x"))
    return None if tree is None else plain_value(tree)


def expected(file: Path) -> list[str]:
    """The codes of the errors that a broken file says it has."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.split()[3] for line in lines if line.startswith("#! ") and " error " in line]


def errors(text: str) -> list[str]:
    return [error.message for error in JOURNEYS.iter_errors(read(text))]


@pytest.mark.parametrize("name", SCHEMAS)
def test_they_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name]())
    text = schema_text(name)
    used = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text))
    defined = set(SCHEMAS[name]()["$defs"])
    assert used <= defined
    assert all(re.fullmatch(r"[a-z-]+", each) for each in used), "a reference is a URI"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("journeys", "journeys/journey.schema.json"),
        ("rules", "config/winback.schema.json"),
        ("countries", "config/rules/country.schema.json"),
    ],
)
def test_the_published_file_is_fresh(name: str, file: str) -> None:
    published = (ROOT / file).read_text(encoding="utf-8")
    assert published == schema_text(name), f"write it anew: winback lint --schema {name} > {file}"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_what_is_shipped_is_valid(file: Path) -> None:
    assert [error.message for error in JOURNEYS.iter_errors(read(file))] == []


def test_the_shipped_rules_are_valid() -> None:
    assert [error.message for error in RULES.iter_errors(read(ROOT / "config/winback.yaml"))] == []


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: file.stem)
def test_the_broken_ones(file: Path) -> None:
    """Whatever has no error is valid; a mistake in structure is none."""
    value, codes = read(file), expected(file)
    if value is None:  # no YAML that we take: there is nothing to validate
        assert codes
    elif not codes:
        assert [error.message for error in JOURNEYS.iter_errors(value)] == []
    elif set(codes) <= STRUCTURE and file.stem not in ONLY_LINT:
        assert not JOURNEYS.is_valid(value)


@pytest.mark.parametrize("stem", sorted(ONLY_LINT))
def test_the_exceptions_are_some(stem: str) -> None:
    """So that the list does not hide what the schema has learnt to see."""
    file = next(file for file in BROKEN if file.stem == stem)
    assert JOURNEYS.is_valid(read(file))


@pytest.mark.parametrize(
    "stem",
    [
        *("unknown-step", "unknown-key-top", "unknown-key-in-send", "unknown-key-in-trigger"),
        *("two-steps-in-one", "no-trigger", "no-journey", "no-steps", "template-not-named"),
        *("wait-for-without-limit", "webhook-without-url", "stop-without-event", "steps-empty"),
        *("wait-until-key", "without-within", "trigger-two-kinds", "channel-pigeon"),
        *("duration-month", "duration-bare-number", "holdout-too-much", "emit-an-order"),
    ],
)
def test_what_an_editor_must_mark(stem: str) -> None:
    assert not JOURNEYS.is_valid(read(next(file for file in BROKEN if file.stem == stem)))


HEAD = "journey: a\ntrigger: {event: X}\nsteps:\n"


@pytest.mark.parametrize(
    "step",
    [
        "wait_for: {event: X, at_most: 1 day}",
        "wait for: {event: X, at_most: 1 day}",
        "{send: sms, template: t, on unknown: retry, if_overdue: next window after 2 hours}",
        "{wait: {until: '9:00', on: weekend}, name: morning}",
        "wait: {until: 2026-11-27 10:00}",
        "wait: {until: profile.ends, shift: -7 days, at: 09:00}",
        "split: {50% a: [], 50% b: [{exit: no}]}",
        "split: [{percent: 10, name: few, steps: []}, {percent: 90%, steps: []}]",
        "branch: [{if: true, steps: []}, {else: []}]",
        "offer: {coupon: generate WB, percent: 10, valid: 3 days, colour: red}",
        "offer: {coupon: pool winter, percent: 10}",
        "{offer: {coupon: pool winter-2026}, if none left: exit}",
        "{send: sms, template: t, offer: {coupon: pool winter}, if_none_left: Sorry5}",
        "{send: sms, template: t, offer: {coupon: generate WB}}",
        "{send: sms, template: t, offer: {coupon: ''}}",
        "webhook: {url: 'http://localhost:80/x', body: {a: [1, {b: = key}]}}",
    ],
)
def test_every_spelling_that_the_loader_takes(step: str) -> None:
    assert load_journey(f"{HEAD}  - {step}\n")[0] is not None
    assert errors(f"{HEAD}  - {step}\n") == []


@pytest.mark.parametrize(
    "step",
    [
        "{wait for: {event: X, at most: 1 day}, els: []}",
        "wait_for: {event: X}",
        "{wait: {until: '18:00', shift: 1 day}}",
        "{wait: {until: profile.ends, on: monday}}",
        "{wait: 1 day, exit: now}",
        "{send: email, template: t, when quiet: later}",
        "{split: {half: []}}",
        "{split: {}}",
        "{update: {orders: 3}}",
        "{update: {}}",
        "{audience: {add: google/a, remove: google/b}}",
        "{offer: {percent: 0}}",
        "{offer: {coupon: generate wb}}",
        "{webhook: {url: 'https://user:word@host/'}}",
        "{}",
    ],
)
def test_and_none_that_it_refuses(step: str) -> None:
    assert load_journey(f"{HEAD}  - {step}\n")[0] is None
    assert errors(f"{HEAD}  - {step}\n") != []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_step_offers_the_keys_of_the_loader(kind: str) -> None:
    """What lint says it knows is what an editor offers."""
    _, found = load_journey(f"{HEAD}  - {{{kind}: x, zzzzz: 1}}\n")
    said = next(each.hint for each in found if each.code == "J005" and "zzzzz" in each.message)
    schema = journey_schema()["$defs"][f"step-{kind.replace(' ', '-')}"]
    assert said == f"step '{kind}' knows {', '.join(schema['properties'])}"


def test_each_kind_of_trigger_has_its_keys() -> None:
    kinds = journey_schema()["properties"]["trigger"]["anyOf"]
    assert [kind["required"] for kind in kinds] == [[name] for name in TRIGGERS]
    assert set(kinds[0]["properties"]) == {"event", "without", "if", "key", "again"}


def test_a_key_without_a_form_is_not_published() -> None:
    with pytest.raises(ValueError, match="new"):
        mapping(("old", "new"), {"old": {}})


@pytest.mark.parametrize(
    "rules",
    [
        "shop: {name: Chai, sms_from: '+919876543210', currency: INR}",
        "topics: {news: {consent: opt-out, title: 5}}",
        "topics: {news: {consent: none, from: {email: a@b.example, name: A & B, sms: '+4915'}}}",
        "quiet_hours: {sms: 21:00-10:00, email: 23:00 – 6:00}",
        "caps: [{messages: 3, within: 7 days}, {messages: '1', within: 1 day, channel: '*'}]",
        "providers: {email: smtp}\nads consent: opt-in\nblast_radius: 20",
    ],
)
def test_rules_that_are_fine(rules: str) -> None:
    assert [f for f in load_policy(rules)[1] if f.severity == "error"] == []
    assert [error.message for error in RULES.iter_errors(read(rules))] == []


@pytest.mark.parametrize(
    "rules",
    [
        "shop: {currency: Rupee}",
        "shop: {nmae: Chai}",
        "topics: {news: {title: News}}",
        "topics: {News!: {consent: none}}",
        "topics: {news: {consent: none, from: {email: A <a@b.example>}}}",
        "topics: {news: {consent: none, from: a@b.example}}",
        "quiet hours: {sms: 21-10}",
        "quiet hours: {pigeon: 21:00-10:00}",
        "caps: [{messages: 3}]",
        "caps: {messages: 3, within: 1 day}",
        "providers: {sms: sendgrid}",
        "cap: []",
    ],
)
def test_rules_that_are_not(rules: str) -> None:
    assert load_policy(rules)[1]
    assert not RULES.is_valid(read(rules))


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", " ", "  "]),
            st.integers(0, 99_999),
            st.sampled_from(["", " "]),
            st.sampled_from(
                ["hour", "Hours", "DAYS", "day", "weeks", "fortnight", "month", "s", ""]
            ),
        ),
        max_size=3,
    )
)
def test_a_duration_is_one_for_both(parts: list[tuple[str, int, str, str]]) -> None:
    text = "".join(f"{a}{n}{b}{unit}" for a, n, b, unit in parts)
    valid = Draft202012Validator(FORMS["duration"]).is_valid(text)
    try:
        parse_duration(text)
    except DurationError as error:
        assert not valid or "longer than" in str(error)
    else:
        assert valid


COUNTRIES = Draft202012Validator(SCHEMAS["countries"]())
COUNTRY_FILES = sorted((ROOT / "config" / "rules").glob("*.yaml"))


@pytest.mark.parametrize("file", COUNTRY_FILES, ids=lambda file: str(file.stem))
def test_the_shipped_countries_are_valid(file: Path) -> None:
    assert [error.message for error in COUNTRIES.iter_errors(read(file))] == []


def country(tmp_path: Path, rule: str, head: str = "country: FR\ntitle: France\n") -> bool:
    """Whether loader and schema take the file; they must agree."""
    text = f"{head}rules: [{rule}]\n"
    (tmp_path / "fr.yaml").write_text(text)
    _, found = load_rules(tmp_path)
    loads = not [f for f in found if f.severity == "error"]
    assert COUNTRIES.is_valid(read(text)) == loads, (found, text)
    return loads


_SOUND = "channels: [sms], topics: all, source: here"


@pytest.mark.parametrize(
    "allowed",
    [
        "08:00-20:00",
        "never",
        "['08:00-12:00', 14:00 – 20:00]",
        "{weekdays: 8:00-20:00, weekend: never, holidays: never}",
        "{every_day: always, sunday: never}",
    ],
)
def test_countries_that_are_fine(tmp_path: Path, allowed: str) -> None:
    assert country(tmp_path, f"{{{_SOUND}, allowed: {allowed}}}")


@pytest.mark.parametrize(
    "rule",
    [
        f"{{{_SOUND}}}",
        f"{{{_SOUND}, allowed: 8-20}}",
        f"{{{_SOUND}, allowed: {{someday: never}}}}",
        f"{{{_SOUND}, allowed: never, colour: red}}",
        f"{{{_SOUND}, allowed: never, needs: luck}}",
        f"{{{_SOUND}, allowed: never, numbers: ['0300']}}",
        f"{{{_SOUND}, allowed: never, title: null}}",
        "{channels: [pigeon], topics: all, source: here, allowed: never}",
        "{channels: [sms], topics: some, source: here, allowed: never}",
    ],
)
def test_countries_that_are_not(tmp_path: Path, rule: str) -> None:
    assert not country(tmp_path, rule)


def test_a_country_needs_its_letters(tmp_path: Path) -> None:
    assert not country(tmp_path, "", head="country: france\ntitle: France\n")
    assert not country(tmp_path, "", head="country: FR\n")


@pytest.mark.parametrize("nothing", ["null", "~", "Null", "NULL", ""])
def test_nothing_is_no_text(nothing: str) -> None:
    """``title: null`` is not the word null, for the loader as for the schema."""
    text = f"shop: {{name: {nothing}, url: https://x.example}}"
    assert [f.code for f in load_policy(text)[1] if f.severity == "error"] == ["J007"]
    assert not RULES.is_valid(read(text))
    quoted = "shop: {name: 'null'}"
    assert load_policy(quoted)[1] == [] and RULES.is_valid(read(quoted))


@pytest.mark.parametrize("nothing", ["null", "~", "Null", "NULL", ""])
def test_a_journey_is_not_called_nothing(nothing: str) -> None:
    text = (
        f"journey: a\ntitle: {nothing}\ntrigger: {{event: Product Viewed}}\n"
        "stop: [{event: Order Completed}]\nsteps: [{wait: 2 hours}]\n"
    )
    [found] = [f for f in load_journey(text, "a")[1] if f.severity == "error"]
    assert (found.code, found.line) == ("J007", 2)
    assert "'title' must be a text" in str(found)
    assert not JOURNEYS.is_valid(read(text))
    named = text.replace(f"title: {nothing}\n", "title: 'null'\n")
    assert not [f for f in load_journey(named, "a")[1] if f.severity == "error"]
    assert JOURNEYS.is_valid(read(named))
