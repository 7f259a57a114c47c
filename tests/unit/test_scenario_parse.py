"""Scenario files: every mistake at its place, all at once; times as they are said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.reader import parse
from engine.language.report import Report
from engine.language.tree import plain_value
from engine.testing.scenario.parse import load_scenarios
from engine.testing.scenario.times import TimeError, parse_time, show_gap
from engine.testing.scenario.write import flow, moment
from tests.scenario_kit import POLICY, parsed, story

KOLKATA = ZoneInfo("Asia/Kolkata")
FIRST = datetime(2026, 3, 2, 4, 30, tzinfo=UTC)  # ten in the morning in Kolkata


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-03-02 10:00", "2026-03-02 04:30"),
        ("2026-03-02T10:00:30", "2026-03-02 04:30:30"),
        ("2026-03-02T10:00+00:00", "2026-03-02 10:00"),
        ("2026-03-02 10:00Z", "2026-03-02 10:00"),
        ("+90 minutes", "2026-03-03 01:30"),
        ("+ 1 day 12 hours", "2026-03-04 12:00"),
        ("+0 seconds", "2026-03-03 00:00"),
        ("day 1 at 00:00", "2026-03-01 18:30"),
        ("day 2 at 18:00", "2026-03-03 12:30"),
        ("day 31 at 09:15:30", "2026-04-01 03:45:30"),
    ],
)
def test_times(said: str, at: str) -> None:
    assert parse_time(said, KOLKATA, FIRST, utc("2026-03-03 00:00")) == utc(at)


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("tomorrow", "'tomorrow' is not a time", "write 2026-03-01 10:00"),
        ("2026-03-02", "is a day, not a time", "write 2026-03-02 10:00"),
        ("2026-02-30 10:00", "is not a time", "write 2026"),
        ("day 0 at 10:00", "the first day is day 1", "write day 1"),
        ("day 2 at 25:00", "no such time of day", "write 2026"),
        ("day 2", "is not a time", "day 2 at 18:00"),
        ("+2 huors", "unknown unit 'huors'", "did you mean 'hours'?"),
        ("+1 month", "no fixed length", "30 days"),
        ("1999-01-01 10:00", "too far off", "between 2000 and 2200"),
        ("+3600 days", "too far off", "between 2000 and 2200"),
    ],
)
def test_what_is_no_time(said: str, message: str, hint: str) -> None:
    with pytest.raises(TimeError) as raised:
        parse_time(said, KOLKATA, FIRST, utc("2195-01-01 00:00"))
    assert message in str(raised.value)
    assert hint in raised.value.hint


def test_a_day_is_a_local_day_through_clock_changes() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = utc("2026-03-27 23:30")  # the 28th in Berlin
    assert parse_time("day 1 at 10:00", berlin, first, None) == utc("2026-03-28 09:00")
    assert parse_time("day 2 at 10:00", berlin, first, None) == utc("2026-03-29 08:00")
    assert parse_time("day 2 at 02:30", berlin, first, None) == utc("2026-03-29 01:00")


def test_gaps_in_words() -> None:
    assert show_gap(utc("2026-03-01 12:00") - utc("2026-03-01 10:00")) == "2 hours later"
    assert show_gap(utc("2026-03-01 10:00") - utc("2026-03-02 10:05")) == (
        "1 day 5 minutes earlier"
    )


def test_whose_clock_it_is() -> None:
    told = {
        "timezone: Asia/Tokyo": "Asia/Tokyo",
        "profile: {timezone: Asia/Karachi, phone: '+919876543210'}": "Asia/Karachi",
        "profile: {phone: '+923001234567'}": "Asia/Karachi",
        "profile: {email: asha@example.org}": "UTC",
    }
    for line, zone in told.items():
        (scenario,), _ = parsed(f"scenario: A\n{line}\nexpect: nothing\n")
        assert scenario.zone.key == zone


def test_events_are_what_the_collector_would_take() -> None:
    (scenario,), told = parsed(
        """\
        scenario: A
        profile: {firstName: Asha, email: " Asha@Example.org "}
        events:
          - event: Completed Order
            properties: {revenue: 10.50, order_id: 7}
          - {event: Identify, user: u1, properties: {lastName: Rao}}
          - {event: Page, device: none, properties: {email: asha@example.org, name: Home}}
        expect: nothing
        """
    )
    assert not told
    assert scenario.given.identifiers == ("email:asha@example.org", "anonymous:shopper")
    assert scenario.given.properties["first_name"] == "Asha"
    order, identify, page = scenario.events
    assert (order.name, order.kind, str(order.properties["revenue"])) == (
        *("Order Completed", "track"),
        "10.50",
    )
    assert identify.kind == "identify" and identify.properties == {"last_name": "Rao"}
    assert identify.identifiers == ("user:u1", "anonymous:shopper")
    assert page.kind == "page" and page.identifiers == ("email:asha@example.org",)
    assert order.order_key < identify.order_key < page.order_key
    assert scenario.given.time < order.time


def test_a_single_scenario_needs_no_list_and_an_expected_mail_no_list_either() -> None:
    scenarios, told = parsed("scenario: A\nevents: []\nexpect: [{send: email}]\n")
    assert len(scenarios) == 1 and not told


MISTAKES = {
    "scenarios": "1:1 J007 a file of scenarios is a list, not 'scenarios'",
    "- scenario: A\n": "1:3 J006 a scenario needs 'expect'",
    "- {scenario: A, expect: nothing, evnts: []}": "1:34 J005 unknown key 'evnts' in a scenario",
    "- {scenario: A, expect: []}": "1:25 J007 'expect' is an empty list",
    "- {scenario: A, expect: something}": "1:25 J007 'expect' must be a list, not 'something'",
    "- {scenario: A, expect: nothing, journey: viwed}": "1:43 J011 there is no journey 'viwed'",
    "- {scenario: A, expect: nothing, timezone: Mars}": "1:34 J011 there is no time zone 'Mars'",
    "- {scenario: A, expect: nothing, holdout: yes}": "1:43 J011 'holdout' cannot be 'yes'",
    "- {scenario: A, expect: nothing, arms: {steps/3: b}}": "1:41 J011 there is no split at",
    "- {scenario: A, expect: nothing, arms: b}": "1:40 J007 'arms' must be a mapping, not 'b'",
    "- {scenario: A, expect: nothing, profile: asha}": "1:43 J007 the profile must be a mapping",
    "- {scenario: A, expect: nothing, profile: {orders: many}}": "1:34 J007 'orders' cannot be",
    "- {scenario: A, expect: nothing, events: [{at: noon, event: A}]}": "1:48 J008 'noon' is not",
    "- {scenario: A, expect: nothing, events: [{event: A, device: none}]}": (
        "1:44 J007 the collector would refuse this: names no shopper"
    ),
    "- {scenario: A, expect: [{at: +1 hour}]}": "1:26 J006 an expectation needs one of send,",
    "- {scenario: A, expect: [{send: email, exit: goal}]}": "1:26 J013 an expectation says one",
    "- {scenario: A, expect: [{send: email, reason: x}]}": "1:40 J005 'reason' says nothing of",
    "- {scenario: A, expect: [{send: }]}": "1:27 J007 'send' says nothing",
    "- {scenario: A, expect: [email]}": "1:26 J007 an expectation must be a mapping",
    "- {scenario: A, expect: nothing, until: later}": "1:41 J008 'later' is not a time",
    "- &a {scenario: A}": "1:3 J003 anchors",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_stand_where_they_are(text: str) -> None:
    scenarios, told = parsed(text)
    assert not scenarios
    assert [line for line in told if line.startswith(MISTAKES[text])], told


def test_events_out_of_order() -> None:
    _, told = parsed(story("{send: email}", events="{at: 2026-03-02 09:00, event: A}"))
    assert told == ["5:8 J008 this event comes before the one above it — put them in order of time"]


def test_an_unknown_arm_names_those_there_are() -> None:
    split = (
        "journey: split\ntrigger: {event: A}\n"
        "steps:\n  - split: {50% calm: [{exit: x}], 50% loud: [{exit: y}]}\n"
    )
    _, told = parsed("scenario: A\narms: {steps/0: lowd}\nexpect: nothing\n", split)
    assert told == ["2:17 J011 the split at 'steps/0' has no arm 'lowd' — did you mean 'loud'?"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{send: emial}", "6:14 J011 there is no channel 'emial' — did you mean 'email'?"),
        (
            "{skip: fax}",
            "6:14 J011 there is no channel 'fax' — there are email, sms, whatsapp, webhook",
        ),
        ("{enter: viewd}", "6:15 J011 there is no journey 'viewd' — did you mean 'viewed'?"),
        (
            "{send: email, step: remindr}",
            "6:27 J011 there is no step 'remindr' — did you mean 'reminder'?",
        ),
        (
            "{wait: steps/9}",
            "6:14 J011 there is no step 'steps/9' — did you mean 'steps/3'?",
        ),
    ],
)
def test_names_that_are_nowhere_can_never_be_met(line: str, told: str) -> None:
    scenarios, found = parsed(story(line))
    assert not scenarios
    assert found == [told]


def test_a_bad_scenario_hurts_only_itself(tmp_path: Path) -> None:
    good, bad = "- {scenario: A, expect: nothing}\n", "- {scenario: B, expcet: nothing}\n"
    (tmp_path / "a.yaml").write_text(bad + good)
    (tmp_path / "b.yaml").write_text("- {")
    files = [tmp_path / name for name in ("a.yaml", "b.yaml", "gone.yaml")]
    found = load_scenarios(files, POLICY, {})
    assert [each.name for each in found.scenarios] == ["A"]
    assert {(Path(d.file).name, d.code) for d in found.diagnostics} == {
        ("a.yaml", "J005"),
        ("b.yaml", "J001"),
        ("gone.yaml", "J001"),
    }


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.decimals("-1e6", "1e6", places=2)
    | texts
    | st.sampled_from(["true", "Null", "10:00", "+1 hour", "day 2 at 10:00", "a: b", "a #b", "-"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_read_again(value: object) -> None:
    report = Report("a.yaml")
    tree = parse(f"- {{it: {flow(value)}}}\n", report)
    assert tree is not None, (flow(value), report.diagnostics())
    assert plain_value(tree) == [{"it": value}]


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
)
def test_a_moment_is_read_again(at: datetime) -> None:
    for zone in (ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), KOLKATA):
        assert parse_time(moment(at, zone), zone, None, None) == at.replace(microsecond=0)


@given(st.text(max_size=200) | texts.map(lambda t: f"- scenario: A\n  expect:\n  - {t}"))
def test_no_text_breaks_the_reader(text: str) -> None:
    parsed(text)
