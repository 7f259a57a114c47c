"""WhatsApp templates: an approved text by its sid, and what goes into it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RenderError
from engine.model.links import LinkRules
from engine.model.message import Message, WhatsApp
from engine.model.policy import Policy, Shop, Topic
from engine.rendering import Renderer
from engine.rendering.names import uses

SID = "HX" + "0a" * 16
DUE = datetime(2026, 11, 24, 10, tzinfo=UTC)
POLICY = Policy(
    shop=Shop(name="Loom", url="https://loom.example", whatsapp_from="+447400123456"),
    topics={"offers": Topic("offers")},
)
GOOD = f"""content sid: {SID}
variables:
  1: "{{{{ profile.first_name | default('there') }}}}"
  2: "{{{{ event.name }}}}"
  3: "{{{{ event.url | link }}}}"
body: |
  Hello {{{{1}}}}, {{{{ 2 }}}} is still here: {{{{3}}}}
"""
EVENT = {"name": "A\n  brass\tlamp", "url": "https://loom.example/lamp"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates" / "t").mkdir(parents=True)
    return tmp_path / "templates"


def write(folder: Path, text: str, name: str = "whatsapp.en.yaml") -> None:
    (folder / "t" / name).write_text(text, "utf-8")


def render(folder: Path, policy: Policy = POLICY, event: Any = None, **traits: Any) -> WhatsApp:
    renderer = Renderer(folder, policy, public_url="https://go.loom.example", secret="s" * 32)
    message = Message(
        id="0b1c2d3e-0000-0000-0000-000000000001",
        enrollment_id="e",
        profile_id=42,
        journey="left-behind",
        version="v",
        step="steps/1",
        channel="whatsapp",
        template="t",
        topic="offers",
        event_id="e1",
        created_at=DUE,
        due_at=DUE,
    )
    known = {"phone": "+923001234567", **traits}
    rendered = renderer.render(message, known, EVENT if event is None else event)
    assert isinstance(rendered, WhatsApp)
    return rendered


def test_the_variables_are_filled_and_the_text_is_shown(folder: Path) -> None:
    write(folder, GOOD)
    made = render(folder, first_name="Zoë")
    assert (made.to, made.sender, made.content_sid) == ("+923001234567", "+447400123456", SID)
    # WhatsApp takes no line breaks and tabs in a variable.
    assert made.variables == {"1": "Zoë", "2": "A brass lamp", "3": "https://loom.example/lamp"}
    assert made.body == "Hello Zoë, A brass lamp is still here: https://loom.example/lamp"
    assert render(folder).variables["1"] == "there"


def test_each_language_has_its_own_approved_text(folder: Path) -> None:
    write(folder, GOOD)
    write(folder, GOOD.replace("0a", "0b").replace("Hello", "سلام"), "whatsapp.ur.yaml")
    made = render(folder, locale="ur-PK")
    assert (made.locale, made.content_sid) == ("ur", "HX" + "0b" * 16)


def test_a_value_with_braces_is_not_taken_for_a_variable(folder: Path) -> None:
    write(folder, GOOD)
    made = render(folder, first_name="{{2}} {% raw %}")
    assert made.variables["1"] == "{{2}} {% raw %}"
    assert made.body.startswith("Hello {{2}} {% raw %}, A brass lamp")


def test_links_in_variables_are_short_and_remembered(folder: Path) -> None:
    write(folder, GOOD)
    rules = LinkRules(track=True, shorten=True, utm={"source": "winback"})
    made = render(folder, replace(POLICY, links=rules))
    (link,) = made.short_links
    assert made.variables["3"] == f"https://go.loom.example/w/{link.code}"
    assert link.url == "https://loom.example/lamp?utm_source=winback"
    assert made.variables["3"] in made.body


def test_an_empty_variable_is_an_error_with_its_line(folder: Path) -> None:
    write(folder, GOOD)
    with pytest.raises(RenderError, match="variable 2 is empty") as failed:
        render(folder, event={"name": " "})
    assert (failed.value.file, failed.value.line) == ("templates/t/whatsapp.en.yaml", 4)
    with pytest.raises(RenderError, match="'name' has no value here"):
        render(folder, event={})


def test_what_is_too_long_for_whatsapp_is_said(folder: Path) -> None:
    write(folder, GOOD)
    with pytest.raises(RenderError, match="WhatsApp takes 1024"):
        render(folder, event={"name": "x" * 1020})


def test_who_has_no_number_is_not_written_to(folder: Path) -> None:
    write(folder, GOOD)
    with pytest.raises(RenderError, match="no address for whatsapp"):
        render(folder, phone="")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- a\n", 1, "must give 'content sid'"),
        ("variables: {}\n", 1, "needs 'content sid'"),
        ("variables: {}\ncontent sid: HX12\n", 2, "needs 'content sid'"),
        (f"content sid: {SID}\nbodi: x\n", 2, "bodi is not known here"),
        (f"content sid: {SID}\nvariables: [a]\n", 2, "by name"),
        (f"content sid: {SID}\nvariables:\n  1: 5\n", 3, "into quotes"),
        (f"content sid: {SID}\nvariables: {{1: {{{{ x }}}}}}\n", 2, ""),
        (f'content sid: {SID}\nvariables:\n  1: "{{{{ x | nothing }}}}"\n', 3, "nothing"),
        (f'content sid: {SID}\nvariables:\n  1: "a"\n  3: "b"\n', 1, "no variable 2"),
        (f'content sid: {SID}\nvariables: {{1: "a"}}\nbody: "{{{{1}}}} {{{{2}}}}"\n', 1, "no var"),
        (f'content sid: {SID}\nvariables: {{1: "a"}}\nbody: "hello"\n', 1, "not in the body"),
    ],
)
def test_a_file_that_whatsapp_would_not_take_is_found_before(
    folder: Path, text: str, line: int, words: str
) -> None:
    write(folder, text)
    renderer = Renderer(folder, POLICY, public_url="https://go.loom.example", secret="s" * 32)
    (finding,) = renderer.check("t", "whatsapp")
    assert finding.file == "templates/t/whatsapp.en.yaml"
    assert finding.line == line
    assert words in finding.message


def test_lint_knows_what_it_prints(folder: Path) -> None:
    write(folder, GOOD)
    found = {(use.holder, use.name, use.line) for use in uses(folder, "t", "whatsapp")}
    assert found == {("event", "name", 4)}
