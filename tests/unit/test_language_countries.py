"""config/rules/*.yaml, and what config/winback.yaml says about them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.language import load_journey, load_policy
from engine.model.policy import Cap, Dlt, Policy

RULE = """\
country: FR
title: France
rules:
  - channels: [sms]
    topics: promotions
    allowed: {weekdays: 8:00-20:00, saturday: ["10:00-12:00", 14:00-24:00], sunday: never}
    source: https://law.example
"""
NINETEEN = "1234567890123456789"


def hour(number: int) -> timedelta:
    return timedelta(hours=number)


def load(folder: Path, shop: str = "shop: {}", **files: str) -> tuple[Policy, list[str]]:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "winback.yaml").write_text(shop)
    for name, text in files.items():
        (folder / "rules" / f"{name}.yaml").write_text(text)
    policy, found = load_policy(folder / "winback.yaml")
    return policy, [str(each).removeprefix(f"{folder}/") for each in found]


def test_a_rule_is_read(tmp_path: Path) -> None:
    policy, found = load(tmp_path, fr=RULE)
    assert found == []
    [rule] = policy.rules
    assert (rule.country, rule.name, rule.title) == ("FR", "", "France")
    assert (rule.channels, rule.promotions, rule.needs_dlt) == ({"sms"}, True, False)
    assert rule.hours.days[:5] == (((hour(8), hour(20)),),) * 5
    assert rule.hours.days[5] == ((hour(10), hour(12)), (hour(14), hour(24)))
    assert rule.hours.days[6] == ()
    assert (rule.hours.holidays, rule.hours.country) == (None, "FR")


def test_the_particular_day_outdoes_the_general(tmp_path: Path) -> None:
    allowed = "{every day: always, weekend: 10:00-18:00, sunday: never, holidays: never}"
    policy, found = load(tmp_path, fr=_with(allowed))
    assert found == []
    hours = policy.rules[0].hours
    assert hours.days[0] == ((hour(0), hour(24)),)
    assert hours.days[5] == ((hour(10), hour(18)),)
    assert (hours.days[6], hours.holidays) == ((), ())


def _with(allowed: str, more: str = "") -> str:
    lines = RULE.splitlines(keepends=True)
    lines[5] = f"    allowed: {allowed}\n" + (f"    {more}\n" if more else "")
    return "".join(lines)


def test_a_country_is_switched_off_by_one_line(tmp_path: Path) -> None:
    assert load(tmp_path, "country rules: {FR: off}", fr=RULE)[0].rules == ()
    assert len(load(tmp_path, "country rules: {FR: on}", fr=RULE)[0].rules) == 1
    _, found = load(tmp_path, "country rules: {FRA: off}", fr=RULE)
    assert len(found) == 1
    assert found[0].endswith("there are no rules of 'FRA' — did you mean 'FR'?")


def test_a_shop_without_rules_has_none(tmp_path: Path) -> None:
    (tmp_path / "winback.yaml").write_text("shop: {}")
    policy, found = load_policy(tmp_path / "winback.yaml")
    assert (policy.rules, found) == ((), [])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "J002 the file is empty"),
        (RULE.replace("FR", "fr"), "J011 'country' cannot be 'fr'"),
        (RULE.replace("FR", "XX"), "J011 there is no country 'XX'"),
        (RULE.replace("title: France\n", ""), "J006 the rules of a country needs 'title'"),
        (RULE.replace("[sms]", "[pigeon]"), "J017 unknown channel 'pigeon'"),
        (RULE.replace("promotions", "promotion"), "J011 'topics' cannot be 'promotion'"),
        (RULE.replace("    source: https://law.example\n", ""), "J006 a rule needs 'source'"),
        (_with("at noon"), "J011 'at noon' is no time of day"),
        (_with("20:00-08:00"), "J011 '20:00-08:00' is no time of day"),
        (_with("8:00-25:00"), "J011 '8:00-25:00' is no time of day"),
        (_with("8:61-10:00"), "J011 '8:61-10:00' is no time of day"),
        (_with('["8:00-12:00", 11:00-14:00]'), "J011 times that overlap"),
        (_with("{weekdays: always}"), "J006 'allowed' says nothing of saturday"),
        (_with("{everyday: always}"), "J011 'everyday' is no day — did you mean 'every day'?"),
        (_with("always", "numbers: [1305]"), "J011 no number begins with '1305'"),
        (_with("always", "needs: dtl"), "J011 'needs' cannot be 'dtl'"),
        (_with("always", "name: Some Where"), "J011 'name' cannot be 'Some Where'"),
        (RULE + RULE.split("rules:\n")[1], "J004 two rules without a name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, expected: str) -> None:
    _, found = load(tmp_path, fr=text)
    assert any(expected in each for each in found), found
    assert all("rules/fr.yaml:" in each for each in found)


def test_a_rule_without_hours_is_left_out_and_the_others_hold(tmp_path: Path) -> None:
    wrong = RULE.replace("FR", "DE").replace("sunday: never", "sunday: no")
    policy, _ = load(tmp_path, de=wrong, fr=RULE)
    assert [rule.country for rule in policy.rules] == ["FR"]


def test_two_files_of_one_country(tmp_path: Path) -> None:
    policy, found = load(tmp_path, a=RULE, b=RULE)
    assert len(policy.rules) == 1
    assert "rules/b.yaml:1:1" in found[0] and "in a.yaml too" in found[0]


def test_a_cap_for_a_topic() -> None:
    topics = "topics: {news: {consent: opt-in}, orders: {consent: none}}\n"
    policy, found = load_policy(topics + "caps: [{messages: 2, within: 1 day, topic: news}]")
    assert (policy.caps, found) == ((Cap(2, timedelta(days=1), "*", "news"),), [])
    for topic, words in (("nws", "did you mean 'news'?"), ("orders", "no cap holds for it")):
        policy, found = load_policy(
            topics + f"caps: [{{messages: 2, within: 1 day, topic: {topic}}}]"
        )
        assert policy.caps == ()
        assert words in str(found[0])


def test_the_ids_of_india() -> None:
    text = f'dlt: {{entity: "{NINETEEN}", header: WILLOW, templates: {{cart: "{NINETEEN}"}}}}'
    policy, found = load_policy(text)
    assert (policy.dlt, found) == (Dlt(NINETEEN, "WILLOW", {"cart": NINETEEN}), [])
    for wrong in (text.replace(f'"{NINETEEN}", h', '"12", h'), text.replace("WILLOW", "WILLOWS")):
        policy, found = load_policy(wrong)
        assert policy.dlt is None
        assert [each.code for each in found] == ["J011"]


INDIAN = (
    RULE.replace("FR", "IN")
    .replace("France", "India")
    .replace("topics:", "needs: dlt\n    topics:")
)
JOURNEY = """\
journey: cart
trigger: {event: Product Added}
stop: {event: Order Completed}
steps:
  - {send: sms, template: cart}
  - {send: email, template: cart}
"""


@pytest.mark.parametrize(
    "shop, refused",
    [
        ("shop: {country: IN}", True),
        ("shop: {country: US}", False),
        ("shop: {country: IN}\ncountry rules: {IN: off}", False),
        (
            "shop: {country: IN}\n"
            f'dlt: {{entity: "{NINETEEN}", header: W11, templates: {{cart: "{NINETEEN}"}}}}',
            False,
        ),
        (
            "shop: {country: IN}\n"
            f'dlt: {{entity: "{NINETEEN}", header: W11, templates: {{other: "{NINETEEN}"}}}}',
            True,
        ),
        ("shop: {country: IN}\ntopics: {offers: {consent: none}}", False),
    ],
)
def test_lint_refuses_a_promotion_in_india_that_is_not_registered(
    tmp_path: Path, shop: str, refused: bool
) -> None:
    policy, found = load(tmp_path, shop, india=INDIAN)
    assert found == []
    _, diagnostics = load_journey(JOURNEY, policy=policy)
    wrong = [each for each in diagnostics if each.code == "J030"]
    assert bool(wrong) is refused
    if refused:
        assert (wrong[0].line, wrong[0].severity) == (5, "error")


def test_what_waits_over_a_sunday_must_outlive_it(tmp_path: Path) -> None:
    policy, _ = load(tmp_path, "shop: {country: FR}", fr=RULE)

    def warned(after: str) -> list[str]:
        send = f"{{send: sms, template: cart, if overdue: skip after {after}}}"
        text = JOURNEY.replace("{send: sms, template: cart}", send)
        _, diagnostics = load_journey(text, policy=policy)
        return [each.message for each in diagnostics if each.code == "J066"]

    # Saturday at midnight until Monday at eight
    assert warned("31 hours") == ["quiet hours in FR can last 1 day 8 hours, and then it is late"]
    assert warned("32 hours") == []
