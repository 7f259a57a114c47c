"""``audiences`` of config/winback.yaml: which lists are at a platform, and what is wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.language import load_policy
from engine.model.audience import AdList


def read(text: str) -> tuple[dict[str, AdList], list[str]]:
    policy, found = load_policy(text)
    return dict(policy.audiences), [f"{one.code} {one.message} {one.hint}" for one in found]


def test_lists_as_people_copy_them() -> None:
    found, wrong = read(
        """
        audiences:
          google/left-behind: {list: "7891234", account: 123-456-7890, login account: 987-654-3210}
          meta/left-behind: {list: "23850000000000000"}
          meta/vips: {list: 4567, provider: file}
        """
    )
    assert not wrong
    assert found == {
        "google/left-behind": AdList("google/left-behind", "7891234", "1234567890", "9876543210"),
        "meta/left-behind": AdList("meta/left-behind", "23850000000000000"),
    }


def test_without_a_list_nothing_leaves() -> None:
    assert read("shop: {name: A}") == ({}, [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('google/x: {list: "123"}', "J006 'google/x' needs 'account'"),
        ("meta/x: {}", "J006 'meta/x' needs 'list'"),
        ("meta/x: {list: act_1}", "J011 'list' cannot be 'act_1'"),
        ("tiktok/x: {list: 123}", "J021 'tiktok/x' is not an audience"),
        ("goggle/x: {list: 123}", "did you mean"),
        ("meta/X Y: {list: 123}", "J021"),
        ("meta/x: {list: 123, acount: 5}", "did you mean 'account'?"),
        ("meta/x: {provider: post}", "J011 'provider' cannot be 'post'"),
        ("meta/x: {provider: file, segment: vips}", "a segment feeds no file"),
        ("meta/x: 123", "J007"),
    ],
)
def test_what_is_wrong_is_told(line: str, told: str) -> None:
    found, wrong = read(f"audiences:\n  {line}\n")
    assert found == {} or "acount" in line
    assert any(told in one for one in wrong), wrong


def test_a_segment_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "top-customers.yaml").write_text("")
    config = tmp_path / "winback.yaml"
    config.write_text("audiences: {meta/a: {list: 123, segment: top-custmers}}")
    policy, found = load_policy(config)
    assert [(one.code, one.hint) for one in found] == [("J011", "did you mean 'top-customers'?")]
    assert policy.audiences["meta/a"].segment == ""
    config.write_text("audiences: {meta/a: {list: 123, segment: top-customers}}")
    policy, found = load_policy(config)
    assert not found
    assert policy.audiences["meta/a"].segment == "top-customers"
