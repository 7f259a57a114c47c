"""``audiences`` of config/winback.yaml: which lists are at a platform, and what is wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.language import load_policy
from engine.model.audience import AdFile, AdList


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


def test_files_and_where_they_go() -> None:
    policy, wrong = load_policy(
        """
        audiences:
          tiktok/vips: {segment: vips, to: /srv/ads/tiktok}
          x/vips: {to: "sftp://shop@files.example.com:2222/in/x", format: jsonl}
          file/vips: {to: "s3://shop-audiences/vips", format: parquet}
          meta/vips: {list: 4567, provider: file, to: out, segment: vips}
          pinterest/vips: {}
        """
    )
    assert not wrong and not policy.audiences
    assert dict(policy.audience_files) == {
        "tiktok/vips": AdFile("tiktok/vips", "vips", "/srv/ads/tiktok"),
        "x/vips": AdFile("x/vips", "", "sftp://shop@files.example.com:2222/in/x", "jsonl"),
        "file/vips": AdFile("file/vips", "", "s3://shop-audiences/vips", "parquet"),
        "meta/vips": AdFile("meta/vips", "vips", "out"),
        "pinterest/vips": AdFile("pinterest/vips"),
    }


def test_a_password_in_the_file_is_refused_and_not_repeated() -> None:
    _, wrong = load_policy('audiences: {x/vips: {to: "sftp://shop:hunter2@h.example/in"}}')
    [told] = [f"{one.message} {one.hint}" for one in wrong]
    assert "WINBACK_SFTP_PASSWORD" in told and "hunter2" not in told


def test_without_a_list_nothing_leaves() -> None:
    assert read("shop: {name: A}") == ({}, [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('google/x: {list: "123"}', "J006 'google/x' needs 'account'"),
        ("meta/x: {}", "J006 'meta/x' needs 'list'"),
        ("meta/x: {list: act_1}", "J011 'list' cannot be 'act_1'"),
        ("tiktok/x: {list: 123}", "'list' is of Google and Meta only"),
        ("tiktok/x: {provider: api}", "there is no API of 'tiktok' here"),
        ("bing/x: {list: 123}", "J021 'bing/x' is not an audience"),
        ("x/x: {format: parquet}", "J006 'format' needs 'to'"),
        ("x/x: {format: xml, to: out}", "J011 'format' cannot be 'xml'"),
        ("x/x: {to: 'ftp://a@b/c'}", "J011 'to' cannot be 'ftp://a@b/c'"),
        ("x/x: {to: 'sftp://b/c'}", "J011 'to' cannot be 'sftp://b/c'"),
        ("x/x: {to: 's3://B_/c'}", "J011 'to' cannot be"),
        ("meta/x: {list: 123, to: out}", "J011 'to' is of files only"),
        ("goggle/x: {list: 123}", "did you mean"),
        ("meta/X Y: {list: 123}", "J021"),
        ("meta/x: {list: 123, acount: 5}", "did you mean 'account'?"),
        ("meta/x: {provider: post}", "J011 'provider' cannot be 'post'"),
        ("meta/x: 123", "J007"),
    ],
)
def test_what_is_wrong_is_told(line: str, told: str) -> None:
    found, wrong = read(f"audiences:\n  {line}\n")
    assert found == {} or "acount" in line or "to: out" in line
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
