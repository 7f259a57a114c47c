"""What is written out for speed says the same as what Jinja would have made."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import TemplateError
from jinja2.compiler import CodeGenerator
from markupsafe import Markup

from engine.errors import RenderError
from engine.rendering.filters import FILTERS
from engine.rendering.parts import compile_part
from engine.rendering.sandbox import Sandbox
from engine.rendering.steps import MOST_TURNS
from engine.rendering.tags import Flat


class Plain(Sandbox):
    """The same sandbox with Jinja's own generator, which calls it for everything."""

    code_generator_class = CodeGenerator


class Odd(dict[str, Any]):
    """A mapping that is no plain dict, and whose attribute nobody may read."""

    secret = "told"


VALUES = {
    "event": {
        "name": "<b>\"Loom\" & 'co'</b>\x00\ud800",
        "plain": "Lamp",
        "none": None,
        "zero": 0,
        "price": 19.9,
        "deep": {"er": {"est": "down"}},
        "items": [{"n": 1}, {"n": None}, {"m": 3}, Odd(n="<4>"), "text", 7],
        "list": [1],
        "get": "a key, not a method",
    },
    "odd": Odd(n="&"),
    "safe": Markup("<i>\x01</i>"),
    "profile": {},
    "dir": "rtl",
    "shop": {"url": "https://loom.example", "currency": "USD"},
    "number_locale": "en",
}

SAME = (
    "{{ event.name }}|{{ event.plain }}|{{ safe }}|{{ event.zero }}|{{ event.price }}",
    "{{ event.deep.er.est }}|{{ event.get }}|{{ odd.n }}|{{ event['name'] }}",
    "{{ event.none | default('-') }}{{ event.nowhere.at.all | default('-') }}",
    "{% if event.none or event.nowhere.x or profile.x %}yes{% else %}no{% endif %}",
    "{{ odd.secret | default('hidden') }}{{ event.plain.upper | default('hidden') }}",
    "{{ event.keys | default('hidden') }}{{ event.__class__ | default('hidden') }}",
    "{{ event.plain.__class__.__mro__ | default('hidden') }}",
    "{% for i in event.items %}{{ loop.index }}{{ loop.first }}{{ i.n | default('?') }}{{ loop.last"
    " }}{{ loop.revindex }}{{ loop.depth }}{{ loop.cycle('a', '<') }};{% endfor %}",
    "{% for i in event.items if i.n %}{{ i.n }}{% endfor %}",
    "{% for i in event.items %}{% if loop.index == 2 %}{% break %}{% endif %}x{% endfor %}",
    "{% macro m(x) %}<u>{{ x.name }}</u>{% endmacro %}{{ m(event) }}{{ m({'name': '<'}) }}",
    "{% macro m(x) %}{{ caller() }}{% endmacro %}{% call m(1) %}{{ event.name }}{% endcall %}",
    "{% set a %}<p>{{ event.name }}</p>{% endset %}{{ a }}{{ a ~ event.name }}{{ a | upper }}",
    "{% filter upper %}{{ event.name }}{% endfilter %}",
    "{% autoescape false %}{{ event.name }}{% endautoescape %}{{ event.name }}",
    "{% autoescape true %}{{ event.name }}{% endautoescape %}{{ event.name }}",
    "{% autoescape event.zero %}{{ event.name }}{% endautoescape %}",
    "{% set ns = namespace(n=1) %}{% for i in event.items %}{% set ns.n = ns.n + 1 %}{% endfor %}"
    "{{ ns.n }}",
    "{{ event.name | ltr }}{{ event.name | safe }}{{ (event.name ~ '<') | ltr }}{{ safe | ltr }}",
    "{{ event.price | money(event.currency) | ltr }}{{ '1' | money }}",
    "{{ '<' ~ event.plain }}{{ '<' }}{{ 1 + 1 }}{{ ('<' | safe) ~ '<' }}",
    "{{ [event.plain, event.name] | join(',') }}{{ event.name | length }}",
)
REFUSED = (
    "{{ event.nowhere }}",
    "{{ event.none }}",
    "{{ event.nowhere.at.all }}",
    "{{ event.list }}",
    "{{ event.deep }}",
    "{{ event }}",
    "{{ event.plain.upper() }}",
    "{{ odd.secret }}",
)


def both(source: str, *, autoescape: bool) -> tuple[str, str]:
    made = []
    for kind in (Sandbox, Plain):
        jinja = kind(autoescape=autoescape, filters=FILTERS)
        try:
            made.append(jinja.from_string(source).render(VALUES))
        except TemplateError as error:
            made.append(repr(error))
    return made[0], made[1]


@pytest.mark.parametrize("autoescape", [True, False], ids=["html", "text"])
@pytest.mark.parametrize("source", SAME, ids=range(len(SAME)))
def test_the_same_is_printed(source: str, autoescape: bool) -> None:
    ours, jinjas = both(source, autoescape=autoescape)
    assert "Error" not in ours
    assert ours == jinjas


@pytest.mark.parametrize("autoescape", [True, False], ids=["html", "text"])
@pytest.mark.parametrize("source", REFUSED, ids=range(len(REFUSED)))
def test_the_same_is_refused(source: str, autoescape: bool) -> None:
    ours, jinjas = both(source, autoescape=autoescape)
    assert "Error" in ours
    assert ours == jinjas


def test_html_is_escaped_once_and_has_no_control_characters() -> None:
    made, _ = both("{{ event.name }}{{ safe }}", autoescape=True)
    assert made == "&lt;b&gt;&#34;Loom&#34; &amp; &#39;co&#39;&lt;/b&gt;<i></i>"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
        "{{ m(40) }}",
    ],
    ids=["loops", "a macro that calls itself twice"],
)
def test_turns_are_counted(source: str) -> None:
    part = compile_part(Sandbox(autoescape=True, filters=FILTERS), Flat(source), "x")
    with pytest.raises(RenderError, match=f"turn more than {MOST_TURNS:,} times"):
        part.render({})
