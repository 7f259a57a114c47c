"""Marks that stand for tags while other tools work on the markup."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from engine.rendering.tags import Tags


def test_the_same_tag_has_the_same_mark_in_every_template(tmp_path: Path) -> None:
    (tmp_path / "_layout.txt").write_text("{% if key %}{{ key }}{% endif %}")
    source = '{{ shop.name }} {% include "_layout.txt" %}'
    one, other = Tags(tmp_path), Tags(tmp_path)
    first = one.resolve("a/sms.txt", source)
    second = other.resolve("b/sms.txt", '{% include "_layout.txt" %}')
    assert second and second in first and second != first
    assert one.restore(first).source == "{{\n shop.name }} {%\n if key %}{{\n key }}{%\n endif %}"
    places = one.restore(first).places
    assert set(places.values()) == {("a/sms.txt", 1), ("_layout.txt", 1)}


def test_a_changed_layout_is_compiled_anew(tmp_path: Path) -> None:
    layout = tmp_path / "_layout.txt"
    for text in ("one", "two {{ key }}", "one"):
        layout.write_text(text)
        tags = Tags(tmp_path)
        flat = tags.restore(tags.resolve("a/sms.txt", '{% include "_layout.txt" %}'))
        assert flat.source.replace("\n", "") == text


def test_two_tags_never_share_a_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(zlib, "crc32", lambda data: 7)
    tags = Tags(tmp_path)
    marks = [tags.add(text) for text in ("{{ a }}", "{{ b }}", "{{ a }}")]
    assert marks[0] == marks[2] != marks[1]
    assert tags.restore("".join(marks[:2])).source == "{{\n a }}{{\n b }}"
