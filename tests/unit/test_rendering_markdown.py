"""Mails written in Markdown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RenderError
from engine.rendering import Renderer
from engine.rendering.names import uses
from tests.unit.test_rendering import POLICY, mail, message, shown

ROOT = Path(__file__).resolve().parents[2]
FRONT = '---\nsubject: "Hi"\n---\n'
FIRST = 4  # the line in which a body below FRONT begins
LEAVE = "\n\n[Leave]({{ unsubscribe_url }})\n"
EVENT = {
    "name": "Lamp <b>*x*</b>",
    "price": "19.90",
    "currency": "USD",
    "url": "https://loom.example/lamp?a=1&b=2",
    "image_url": "https://loom.example/lamp.jpg",
    "products": [{"name": "A & B"}, {"name": "C"}],
}
LAYOUT = """<mjml><mj-body><mj-section><mj-column><mj-text>Top {{ shop.name }}</mj-text>
</mj-column></mj-section>{% block content %}{% endblock %}
<mj-section><mj-column><mj-text>Foot <a href="{{ unsubscribe_url }}">Go</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates" / "t").mkdir(parents=True)
    return tmp_path / "templates"


@pytest.fixture
def renderer(folder: Path) -> Renderer:
    return Renderer(
        folder, POLICY, public_url="https://loom.example", secret="s" * 32, look_every=0
    )


def write(folder: Path, body: str, name: str = "t/email.en.md", front: str = FRONT) -> None:
    (folder / name).write_text(front + body, "utf-8")


def inner(html: str) -> str:
    """The mail's words, in one line."""
    return " ".join(shown(re.sub(r"<(?=td|div|li|ol|ul|p)", " <", html)).split())


def test_words_become_a_mail_and_its_text(folder: Path, renderer: Renderer) -> None:
    write(
        folder,
        "# Hello {{ profile.first_name }}\n\nSee **{{ event.name }}** & _more_ in\n"
        "[our shop]({{ shop.url }}/sale?a=1&b=2) or <https://loom.example/x>.\n\n"
        "- one\n- two\n\n1. first\n2. second\n\n> said\n\n---\n\n    code {{ event.price }}\n"
        + LEAVE,
    )
    made = mail(renderer, EVENT, first_name="Zoë")
    assert "<strong>Lamp &lt;b&gt;*x*&lt;/b&gt;</strong> &amp; <em>more</em>" in made.html
    assert 'href="https://loom.example/sale?a=1&amp;b=2"' in made.html
    assert re.search(r"font-size:26px[^>]*>Hello Zoë<", made.html)
    assert "<li>one</li>" in made.html and "<ol" in made.html and "<blockquote" in made.html
    assert inner(made.html).startswith("Loom & Co Hello Zoë See Lamp <b>*x*</b> & more in our")
    assert made.text.startswith(
        "Hello Zoë\n\nSee *Lamp <b>*x*</b>* & _more_ in\n"
        "our shop (https://loom.example/sale?a=1&b=2) or https://loom.example/x.\n\n"
        "- one\n- two\n\n1. first\n2. second\n\n> said\n\n- - -\n\ncode 19.90\n\n"
        "Leave (https://loom.example/u/"
    )


def test_a_button_and_a_picture_with_its_size(folder: Path, renderer: Renderer) -> None:
    write(
        folder,
        "![A lamp, {{ event.name }}]({{ event.image_url }}){width=280 height=200}\n\n"
        "[![To the lamp]({{ event.image_url }})]({{ event.url | link }})\n\n"
        "[Have *another* look]({{ event.url | link }}){.button}\n"
        "[Or this one]({{ shop.url }}){.button}\n" + LEAVE,
    )
    made = mail(renderer, EVENT)
    first, second = re.findall(r"<img[^>]*>", made.html)
    assert 'width="280"' in first and 'height="200"' in first
    assert 'alt="A lamp, Lamp &lt;b&gt;*x*&lt;/b&gt;"' in first
    assert 'src="https://loom.example/lamp.jpg"' in first
    assert re.search(r'width="\d+"', second) and 'alt="To the lamp"' in second
    assert 'href="https://loom.example/lamp?a=1&amp;b=2"' in made.html
    assert re.search(r"Have <em>another</em> look\s*</a>", made.html)
    assert "{" not in inner(made.html)
    # A picture is nothing to read; one that is a link is.
    assert "lamp.jpg" not in made.text
    assert made.text.startswith(
        "To the lamp (https://loom.example/lamp?a=1&b=2)\n\n"
        "Have _another_ look:\nhttps://loom.example/lamp?a=1&b=2\n\nOr this one:\n"
    )


def test_statements_go_around_paragraphs_and_lists(folder: Path, renderer: Renderer) -> None:
    write(
        folder,
        "Before\n{% if event.gone %}\n# Not this\n\n[Nor](https://a.b){.button}\n{% else %}\nThis\n"
        "{% endif %}\n{% for p in event.products %}\n- {{ p.name }}\n{% endfor %}\n"
        "After{% if event.name %}, of course{% endif %}.\n\n"
        "- a\n  {% if event.gone %}\n  no\n  {% endif %}\n- b\n" + LEAVE,
    )
    made = mail(renderer, EVENT)
    assert inner(made.html).startswith("Loom & Co Before This A & B C After, of course. a b Leave")
    assert made.html.count("<li>A &amp; B</li>") == made.html.count("<li>C</li>") == 1
    assert made.html.count("<table") == made.html.count("</table>")
    assert made.text.startswith("Before\n\nThis\n\n- A & B\n- C\n\nAfter, of course.\n\n- a\n")


def test_a_piece_of_mjml_is_put_in(folder: Path, renderer: Renderer) -> None:
    (folder / "_piece.mjml").write_text(
        '<mj-section css-class="piece"><mj-column><mj-text>Piece {{ event.name }}</mj-text>'
        "</mj-column></mj-section>",
        "utf-8",
    )
    write(folder, 'A\n{% include "_piece.mjml" %}\nB\n' + LEAVE)
    made = mail(renderer, EVENT)
    assert "A Piece Lamp" in inner(made.html) and 'class="piece' in made.html
    assert made.text.startswith("A\n\nB\n\nLeave")
    (folder / "_piece.mjml").write_text(
        "<mj-section><mj-column><mj-text>Other</mj-text></mj-column></mj-section>", "utf-8"
    )
    assert "A Other B" in inner(mail(renderer, EVENT).html)


def test_it_stands_in_the_shops_frame(folder: Path, renderer: Renderer) -> None:
    write(folder, "Hello\n" + LEAVE)
    assert "Foot" not in mail(renderer).html
    # A layout that appears is used from the next message on.
    (folder / "_layout.en.mjml").write_text(LAYOUT, "utf-8")
    made = mail(renderer)
    assert inner(made.html) == "Top Loom & Co Hello Leave Foot Go"
    assert made.text.split("--\n")[1].startswith("Loom & Co\nhttps://loom.example/u/")
    (folder / "_footer.en.txt").write_text("-- \nBye: {{ unsubscribe_url }}", "utf-8")
    assert "\n--\nBye: https://loom.example/u/" in mail(renderer).text
    (folder / "_layout_order.mjml").write_text(LAYOUT.replace("Foot", "Order"), "utf-8")
    write(folder, "Hello\n", front='---\nsubject: "Hi"\nlayout: _layout_order.mjml\n---\n')
    assert "Order Go" in inner(mail(renderer).html)
    write(folder, "Hello\n" + LEAVE, front='---\nsubject: "Hi"\nlayout: none\n---\n')
    assert inner(mail(renderer).html) == "Loom & Co Hello Leave Loom & Co"


def test_one_that_reads_from_the_right(folder: Path, renderer: Renderer) -> None:
    write(folder, "سلام\n\n- ایک\n" + LEAVE.replace("Leave", "بند کریں"), "t/email.ur.md")
    made = mail(renderer, locale="ur")
    assert '<html lang="ur" dir="rtl"' in made.html
    assert "text-align:right" in made.html
    assert all(line.startswith("\u200f") for line in made.text.splitlines() if line.strip())


def test_a_text_of_its_own_wins_and_mjml_before_markdown(folder: Path, renderer: Renderer) -> None:
    write(folder, "Hello\n" + LEAVE)
    (folder / "t" / "email.en.txt").write_text("Own text", "utf-8")
    assert mail(renderer).text == "Own text\n"
    write(folder, LAYOUT, "t/email.en.mjml")
    assert "Hello" not in mail(renderer).html


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("A\n\n<div>x</div>\n", 2, "HTML cannot stand in Markdown: '<div>x</div>'"),
        ("A <b>x</b>\n", 0, "HTML cannot stand"),
        ("<!-- x -->\n", 0, "HTML cannot stand"),
        ("A\n\nSee [x](https://a.b){.button} here\n", 2, "A button stands alone"),
        ("- [x](https://a.b){.button}\n", 0, "A button stands alone"),
        ("![x](https://a.b/c.png){big}\n", 0, "its size in pixels"),
        ('- a\n\n  {% include "_p.mjml" %}\n', 0, "not within a list"),
        ('{% extends "_p.mjml" %}\n', 0, "layout:"),
        ("A\n\n{% if x %}\nB\n", 6, "endif"),
        ("A\n\n{{ event.gone }}\n", 2, "'gone' has no value here"),
        ("A\n\n{{ event.name | shout }}\n", 2, "No filter named 'shout'"),
    ],
)
def test_what_cannot_be_is_said_with_its_line(
    folder: Path, renderer: Renderer, body: str, line: int, words: str
) -> None:
    (folder / "_p.mjml").write_text("<mj-raw>x</mj-raw>", "utf-8")
    write(folder, body + LEAVE)
    with pytest.raises(RenderError, match=re.escape(words)) as failed:
        mail(renderer, EVENT)
    assert failed.value.file == "templates/t/email.en.md"
    assert failed.value.line == FIRST + line


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("layout: _gone.mjml", "There is no _gone.mjml"),
        ("layout: _bare.mjml", "no {% block content %}"),
        ("laout: none", "did you mean layout"),
    ],
)
def test_a_frame_that_is_none(folder: Path, renderer: Renderer, front: str, words: str) -> None:
    (folder / "_bare.mjml").write_text("<mjml><mj-body></mj-body></mjml>", "utf-8")
    write(folder, "Hello" + LEAVE, front=f'---\nsubject: "Hi"\n{front}\n---\n')
    with pytest.raises(RenderError, match=re.escape(words)):
        mail(renderer)


def test_nobody_is_kept_from_leaving(folder: Path, renderer: Renderer) -> None:
    write(folder, "Hello\n")
    with pytest.raises(RenderError, match="a link to leave by"):
        mail(renderer)


def test_a_script_is_no_link(folder: Path, renderer: Renderer) -> None:
    write(folder, "[x](javascript:alert(1)) ![y](data:text/html,z)\n" + LEAVE)
    html = mail(renderer).html
    assert 'href="javascript' not in html and 'src="data' not in html


def test_lint_knows_what_it_prints(folder: Path) -> None:
    write(folder, "A {{ event.name }}\n\n{% if offer %}\n{{ offer.coupon }}\n{% endif %}\n")
    assert {(use.holder, use.name, use.line) for use in uses(folder, "t", "email")} == {
        ("event", "name", FIRST)
    }


# --- what the README shows -----------------------------------------------------------------

README = (ROOT / "templates" / "README.md").read_text("utf-8")
(EXAMPLE,) = re.findall(r"```markdown\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("event", [EVENT, {}])
@pytest.mark.parametrize("offer", [{"coupon": "SAVE10", "percent": 10}, {}])
def test_the_example_of_the_readme_is_a_mail(
    tmp_path: Path, event: dict[str, Any], offer: dict[str, Any]
) -> None:
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    (tmp_path / "templates" / "t").mkdir()
    write(tmp_path / "templates", EXAMPLE, front="")
    renderer = Renderer(
        tmp_path / "templates", POLICY, public_url="https://loom.example", secret="s" * 32
    )
    assert renderer.check("t", "email") == []
    made: Any = renderer.render(message(offer=offer), {"email": "a@b.example"}, event)
    assert ("SAVE10" in made.html) == ("SAVE10" in made.text) == bool(offer)
    assert ("lamp.jpg" in made.html) == bool(event)
    assert "Unsubscribe" in inner(made.html) and "Unsubscribe: https://" in made.text
    assert "lamp.jpg" not in made.text


def test_the_whatsapp_example_of_the_readme_is_sound(tmp_path: Path) -> None:
    example = next(
        block
        for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
        if block.startswith("content sid")
    )
    place = tmp_path / "templates" / "t"
    place.mkdir(parents=True)
    (place / "whatsapp.en.yaml").write_text(example, "utf-8")
    renderer = Renderer(
        tmp_path / "templates", POLICY, public_url="https://loom.example", secret="s" * 32
    )
    assert renderer.check("t", "whatsapp") == []
    made: Any = renderer.render(message("whatsapp"), {"phone": "+14155550142"}, EVENT)
    assert made.body.startswith("Hello there, Lamp <b>*x*</b> is still here: https://loom.exam")
