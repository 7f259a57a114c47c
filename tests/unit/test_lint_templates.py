"""What lint says about templates: that they compile, and that what they print can be there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.cli._templates import check_templates
from engine.language import load_journey, load_journeys, load_policy
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.policy import Policy
from engine.rendering.names import VARIABLES, Use, uses
from engine.rendering.renderer import Renderer

ROOT = Path(__file__).resolve().parents[2]
MAIL = """\
---
subject: "%s"
---
<mjml><mj-body><mj-section><mj-column>
<mj-text>%s</mj-text>
</mj-column></mj-section></mj-body></mjml>
"""
SEND = "{send: email, template: hello}"
LINE = 5  # where MAIL's text stands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates" / "hello").mkdir(parents=True)
    return tmp_path / "templates"


def mail(folder: Path, text: str, subject: str = "Hello", name: str = "email.en.mjml") -> None:
    (folder / "hello" / name).write_text(MAIL % (subject, text), encoding="utf-8")


def journey(
    *steps: str, event: str = "Product Viewed", name: str = "a", more: str = ""
) -> dict[str, Journey]:
    lines = "".join(f"  - {step}\n" for step in steps or [SEND])
    trigger = event if event.startswith("trigger") else f"trigger: {{event: {event}{more}}}"
    found, diagnostics = load_journey(f"journey: {name}\n{trigger}\nsteps:\n{lines}")
    assert found is not None, [str(each) for each in diagnostics]
    return {name: found}


def check(
    folder: Path, journeys: dict[str, Journey], *, all_of_them: bool = False
) -> list[Diagnostic]:
    return check_templates(folder, Policy(), journeys, all_of_them=all_of_them)


def short(folder: Path, found: list[Diagnostic]) -> list[str]:
    return [str(each).removeprefix(f"{folder}/") for each in found]


# T001, T002


def test_a_sound_template_is_nothing_to_speak_of(folder: Path) -> None:
    mail(folder, "Hello")
    assert check(folder, journey()) == []


@pytest.mark.parametrize(
    "text, line, said",
    [
        ("{% if event.name %}Hi", LINE, "Unexpected end of template"),
        ("{{ event.name | mony }}", LINE, "No filter named 'mony'"),
        ("</mj-text><mj-txt>", LINE, "mj-txt"),
        ("{% include 'none.mjml' %}", 0, "There is no none.mjml"),
    ],
)
def test_what_cannot_be_compiled(folder: Path, text: str, line: int, said: str) -> None:
    mail(folder, text)
    (found,) = check(folder, journey())
    assert (found.code, found.severity) == ("T002", "error")
    assert found.file == str(folder / "hello" / "email.en.mjml")
    assert found.line == max(line, 1)
    assert said in found.message


def test_in_the_file_where_it_is_written_and_once(folder: Path) -> None:
    (folder / "_part.mjml").write_text("Hi\n{{ event.name | mony }}\n")
    mail(folder, "{% include '_part.mjml' %}")
    mail(folder, "{% include '_part.mjml' %}", name="email.hi.mjml")
    (found,) = check(folder, journey())
    assert short(folder, [found])[0].startswith("_part.mjml:2:1 error T002")


def test_one_language_does_not_hide_another(folder: Path) -> None:
    mail(folder, "{{ ", name="email.en.mjml")
    mail(folder, "{% endif %}", name="email.hi.mjml")
    assert [Path(each.file).name for each in check(folder, journey())] == [
        "email.en.mjml",
        "email.hi.mjml",
    ]


def test_a_template_that_is_missing_is_the_journeys_finding(folder: Path) -> None:
    assert (
        check(folder, journey("{send: sms, template: hello}", "{send: email, template: no}")) == []
    )


def test_a_name_that_cannot_be_found(folder: Path) -> None:
    (folder / "a.b").mkdir()
    (folder / "a.b" / "email.en.mjml").write_text(MAIL % ("Hello", "Hello"))
    (found,) = check(folder, journey("{send: email, template: a.b}"))
    assert short(folder, [found])[0].startswith("a.b:1:1 error T001")


def test_only_what_is_sent_unless_all_are_asked_for(folder: Path) -> None:
    mail(folder, "{{ ")
    (folder / "_parts").mkdir()
    (folder / "_parts" / "email.en.mjml").write_text("no template of its own")
    assert check(folder, {}) == []
    assert [each.code for each in check(folder, {}, all_of_them=True)] == ["T002"]


# T003


@pytest.mark.parametrize(
    "text, column, said",
    [
        ("Hi {{ event.nmae }}", 16, "'event.nmae': no event that starts 'a' carries it"),
        ("Hi {{ event['nmae'] }}", 16, "'event.nmae'"),
        ("Hi {{ event.nmae | upper }}", 16, "'event.nmae'"),
        ("Hi {{ 'x' ~ event.nmae }}", 22, "'event.nmae'"),
        ("{% if event.price %}{{ event.nmae }}{% endif %}", 33, "'event.nmae'"),
        ("{% for p in event.products %}{{ event.nmae }}{% endfor %}", 42, "'event.nmae'"),
        ("{{ shop.nmae }}", 13, "the shop has no 'nmae'"),
        ("{{ evnt.name }}", 13, "no template knows 'evnt'"),
    ],
)
def test_a_value_that_nothing_provides(folder: Path, text: str, column: int, said: str) -> None:
    mail(folder, text)
    (found,) = check(folder, journey())
    assert (found.code, found.severity) == ("T003", "warning")
    assert (found.line, found.column) == (LINE, column)
    assert said in found.message
    assert found.hint in ("did you mean 'name'?", "did you mean 'event'?")


def test_in_the_subject_and_the_plain_text(folder: Path) -> None:
    mail(folder, "Hi", subject="{{ event.brnd }}")
    (folder / "hello" / "email.en.txt").write_text("Hi\n{{ event.titel }}\n")
    assert [(Path(f.file).name, f.line) for f in check(folder, journey())] == [
        ("email.en.mjml", 2),
        ("email.en.txt", 2),
    ]


def test_in_a_text_message(folder: Path) -> None:
    (folder / "hello" / "sms.en.txt").write_text("Hi {{ event.nmae }}")
    assert check(folder, journey()) == []
    (found,) = check(folder, journey("{send: sms, template: hello}"))
    assert short(folder, [found])[0].startswith("hello/sms.en.txt:1:7 warning T003")


@pytest.mark.parametrize(
    "text",
    [
        "{{ event.name }} {{ event.product_ids[0] }} {{ event.cart_url }}",
        "{{ event.title | default('it') }}",
        "{{ event.title or 'it' }}",
        "{{ event.title if event.title else 'it' }}",
        "{% if event.title %}{{ event.title }}{% endif %}",
        "{% if event.title and key %}{{ event.title | upper }}{% endif %}",
        "{% for item in event.products %}{{ item.name }}{{ loop.index }}{% endfor %}",
        "{% set t = event.title %}{% if t %}{{ t }}{% endif %}",
        "{{ event.link | link }}",
        "{{ event.price | money(event.money) }}",
        "{{ profile.anything }} {{ shop.name }} {{ key }} {{ unsubscribe_url }}",
        "{{ range(3) | sum }}",
        "{% macro hi(who) %}{{ who }}{% endmacro %}{{ hi('x') }}",
    ],
)
def test_what_is_there_or_not_missed(folder: Path, text: str) -> None:
    mail(folder, text)
    assert check(folder, journey()) == []


def test_the_event_of_any_journey_will_do(folder: Path) -> None:
    mail(folder, "{{ event.query }}")
    searched = journey(event="Products Searched", name="b")
    assert len(check(folder, journey())) == 1
    assert check(folder, searched) == []
    assert check(folder, journey() | searched) == []
    assert check(folder, journey() | journey(event="Price Dropped", name="c")) == []


def test_a_jump_brings_its_event_along(folder: Path) -> None:
    mail(folder, "{{ event.query }}")
    searched = journey("{jump: a}", event="Products Searched", name="b")
    assert check(folder, journey() | searched) == []


def test_a_calendar_carries_little(folder: Path) -> None:
    mail(folder, "{{ event.date }} {{ event.name }}")
    found = check(folder, journey(event="trigger: {every: sunday, again: always}"))
    assert ["'event.name'" in each.message for each in found] == [True]


# T004


@pytest.mark.parametrize(
    "steps",
    [
        [SEND],
        ["wait: 1 day", SEND, "{offer: {coupon: X, valid: 1 day}}"],  # too late
        ["{split: {50% a: [{offer: {coupon: X}}, {exit: no}], 50% b: []}}", SEND],
    ],
)
def test_an_offer_that_nobody_makes(folder: Path, steps: list[str]) -> None:
    mail(folder, "Use {{ offer.coupon }}")
    (found,) = check(folder, journey(*steps))
    assert str(found).removeprefix(f"{folder}/") == (
        "hello/email.en.mjml:5:17 warning T004 'offer.coupon': no offer before this message in "
        "'a' has it — put it into {% if … %}, or write what to print instead: | default('…')"
    )


@pytest.mark.parametrize(
    "steps",
    [
        ["{send: email, template: hello, offer: {coupon: X}}"],
        ["offer: {coupon: X}", "wait: 1 day", SEND],
        ["{offer: {coupon: generate WB}}", SEND],
        ["{split: {50% a: [{offer: {coupon: X}}], 50% b: []}}", SEND],  # on a way at least
        ["{branch: [{if: key, steps: [{offer: {coupon: X}}]}]}", "{wait: 1 day}", SEND],
    ],
)
def test_an_offer_that_somebody_makes(folder: Path, steps: list[str]) -> None:
    mail(folder, "Use {{ offer.coupon }}")
    assert check(folder, journey(*steps)) == []


@pytest.mark.parametrize(
    "text",
    [
        "{% if offer %}Use {{ offer.coupon }}{% endif %}",
        "{% if offer.coupon %}{{ offer.coupon }}: {{ offer.percent }}%{% endif %}",
        "{{ offer.coupon | default('') }}",
    ],
)
def test_an_offer_that_may_be_missing(folder: Path, text: str) -> None:
    mail(folder, text)
    assert check(folder, journey()) == []


def test_the_parts_of_an_offer(folder: Path) -> None:
    mail(folder, "{{ offer.ends_at | date }} {{ offer.percnt }} {{ offer.code }}")
    step = "{offer: {coupon: generate WB, percent: 10, valid: 3 days}}"
    (found,) = check(folder, journey(step, SEND))
    assert (found.code, found.hint) == ("T004", "did you mean 'percent'?")
    inline = "{send: email, template: hello, offer: {coupon: X, percnt: 5, valid: 3 days}}"
    (found,) = check(folder, journey(inline))  # a code is for those of an offer step
    assert "offer.code" in found.message


def test_the_journeys_without_an_offer_are_named(folder: Path) -> None:
    mail(folder, "{{ offer.coupon }}")
    steps = ["{offer: {coupon: X}}", SEND]
    (found,) = check(folder, journey(*steps, name="b") | journey() | journey(name="c"))
    assert "in 'a' and 'c' has it" in found.message


# The house


def test_the_shipped_templates_are_clean() -> None:
    policy, _ = load_policy(ROOT / "config" / "winback.yaml")
    journeys = load_journeys(ROOT / "journeys", policy=policy).journeys
    cookbook = ROOT / "journeys" / "cookbook"
    if cookbook.is_dir():
        journeys |= load_journeys(cookbook, policy=policy).journeys
    found = check_templates(ROOT / "templates", policy, journeys, all_of_them=True)
    assert [str(each) for each in found] == []


def test_every_variable_that_a_template_sees_is_known() -> None:
    """So that a new one is not called unknown."""
    renderer = Renderer(ROOT / "templates", Policy(), public_url="http://x", secret="-" * 32)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    message = Message("m", "e", 1, "a", "v", "steps/0", "email", "hello", "offers", "e", now, now)
    seen = renderer._variables(message, {}, {}, "", "en", "ltr")
    assert set(seen) <= VARIABLES


def test_a_use_is_told_once(folder: Path) -> None:
    mail(folder, "{{ event.a }}{{ event.a }}")
    assert uses(folder, "hello", "email") == [Use("event", "a", "hello/email.en.mjml", LINE)]
