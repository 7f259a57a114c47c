"""Segments as marketers write them: what is shipped, what the README shows, and every mistake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.language import CODES, compile_segment, load_policy, load_segments
from engine.language.reader import parse
from engine.language.report import Report
from engine.language.schema import schema_text
from engine.language.schema_segments import segment_schema
from engine.language.segment_lists import load_lists
from engine.language.segment_rules import KINDS
from engine.language.tree import plain_value
from engine.model.diagnostic import Diagnostic
from engine.model.policy import Policy, Shop, Topic

ROOT = Path(__file__).resolve().parents[3]
SEGMENTS = ROOT / "config" / "segments"
SCHEMA = Draft202012Validator(segment_schema())
README = (SEGMENTS / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(segment: (\S+)\n.*?)```", README, re.DOTALL)


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name.replace('_', '-')}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def found(tmp_path: Path, rules: str, **more: Any) -> list[str]:
    """The findings about a segment with these rules under ``who``."""
    indented = "\n".join(f"  {line}" for line in rules.strip("\n").splitlines())
    folder(tmp_path, it=f"segment: it\nwho:\n{indented}\n")
    return [told(each) for each in load_segments(tmp_path, **more).diagnostics]


def told(each: Diagnostic) -> str:
    hint = f" — {each.hint}" if each.hint else ""
    return f"{each.line}:{each.column} {each.code} {each.message}{hint}"


def valid(text: str) -> bool:
    tree = parse(text, Report("x"))
    assert tree is not None
    return bool(SCHEMA.is_valid(plain_value(tree)))


def test_what_is_shipped_has_nothing_wrong_with_it() -> None:
    policy, _ = load_policy(ROOT / "config" / "winback.yaml")
    journeys = [file.stem for file in (ROOT / "journeys").glob("*.yaml")]
    read = load_segments(SEGMENTS, policy=policy, journeys=journeys)
    assert [told(each) for each in read.diagnostics] == []
    files = {file.stem for file in SEGMENTS.glob("*.yaml")}
    assert read.segments.keys() == files and len(files) >= 6
    listed = set(re.findall(r"^\| `([a-z-]+)\.yaml` \|", README, re.MULTILINE))
    assert listed == files
    for name in files:
        assert valid((SEGMENTS / f"{name}.yaml").read_text())


@pytest.mark.parametrize(("text", "name"), BLOCKS, ids=[name for _, name in BLOCKS])
def test_what_the_readme_shows_works(tmp_path: Path, text: str, name: str) -> None:
    policy, _ = load_policy(ROOT / "config" / "winback.yaml")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "press.txt").write_text("user:42\n")
    folder(tmp_path, big_spenders="segment: big-spenders\nwho: {if: profile.orders > 1}\n")
    folder(tmp_path, **{name: text})
    read = load_segments(tmp_path, policy=policy, journeys=["win-back", "cart-left-behind"])
    assert [told(each) for each in read.diagnostics] == []
    assert valid(text)


def test_the_readme_shows_every_rule() -> None:
    shown = " ".join(text for text, _ in BLOCKS)
    shown += " ".join(file.read_text() for file in SEGMENTS.glob("*.yaml"))
    for kind, keys in KINDS.items():
        for key in keys:
            named = f"{key}:" in shown or f"{key} ·" in shown or f"· {key}" in shown
            assert named, f"{key} of {kind}"


def test_the_published_schema_is_the_current_one() -> None:
    published = (SEGMENTS / "segment.schema.json").read_text(encoding="utf-8")
    assert published == schema_text("segments"), (
        "write it anew: winback lint --schema segments > config/segments/segment.schema.json"
    )
    Draft202012Validator.check_schema(segment_schema())


#: Rules, what is said about them, and whether an editor sees it by the schema.
MISTAKES: list[tuple[str, str, bool]] = [
    (
        "never: Order Completed",
        "3:3 S001 'never' is no rule — write 'did not: …'",
        True,
    ),
    ("dod: Page", "3:3 S001 'dod' is no rule — did you mean 'did'?", True),
    ("just words", "3:3 S001 a rule is a mapping, not 'just words' — write for example"
     " 'did: Order Completed'", True),
    (
        "did: Page\nfirst: Page",
        "4:3 S002 'did' and 'first' are two rules — begin a new entry with '- '",
        True,
    ),
    (
        "did: Page\ntimes: 3\nsum of: event.price\nis: 4",
        "5:3 S002 'times' and 'sum of' are two questions — make two rules",
        False,
    ),
    ("in segment: nobody", "3:15 S003 there is no segment 'nobody' — write"
     " config/segments/nobody.yaml", False),
    ("in segment: it", "3:15 S003 'it' leads back to 'it' — end the circle in one of them", False),
    (
        "if: profile.ends > now",
        "3:22 S004 'now' means nothing here — say 'within', 'longer ago than' or 'date' instead",
        False,
    ),
    (
        "if: event.price > 3",
        "3:7 S004 'event' means nothing here — name the event: 'did: Product Viewed' with 'if'"
        " beside it",
        False,
    ),
    (
        'did: Page\nif: bought("p1")',
        "4:7 S004 bought(), did() and count() mean nothing in the 'if' of an event — make a rule of"
        " its own of it",
        False,
    ),
    (
        "did: Page\ntimes: often",
        "4:10 S005 'times' cannot be 'often' — write for example at least 2, more than 500, or"
        " 2 to 4",
        True,
    ),
    (
        "did: Page\ntimes: 4 to 2",
        "4:10 S005 'times' begins with the larger number: '4 to 2' — write 2 to 4",
        False,
    ),
    ("rfm: {recency: 7}", "3:18 S005 no score is '7' — scores go from 1 to 5", False),
    (
        "did: Page\nwithin: 2 days\nlonger ago than: 3 days",
        "5:3 S006 no event can be longer ago than that and within this time — make 'within' the"
        " longer of the two",
        False,
    ),
    (
        "did: Page\nsince: 2026-03-01\nbefore: 2026-02-01",
        "5:3 S006 'before' is not after 'since' — exchange the two dates",
        False,
    ),
    ("on list: press", "3:12 S008 there is no list 'press' — write config/segments/lists/press.txt",
     False),
    ("on list: Press!", "3:12 S008 'Press!' cannot be a list — use small letters, digits and '-'",
     True),
    ("did: Page\nwhithin: 3 days", "4:3 J005 unknown key 'whithin' in rule 'did' — did you mean"
     " 'within'?", True),
    ("did: Page\nis: 3", "4:3 J005 'is' of what? — write 'times: at least 2', or 'sum of:"
     " event.revenue' beside 'is'", False),
    ("did: Page\nsum of: event.price", "4:3 J006 'sum of' needs 'is' — add 'is: more than 500'",
     False),
    ("date: profile.ends", "3:3 J006 rule 'date' needs one of two keys — write 'in the next: 7"
     " days' or 'in the last: 30 days'", True),
    ("message: email", "3:3 J006 rule 'message' needs one of two keys — write 'was: clicked' or"
     " 'was not: opened'", True),
    ("message: sms\nwas: reported as spam", "4:3 J011 nobody tells of sms that it was reported as"
     " spam — write 'message: email'", False),
    ("lives in: {country: Atlantis}", "3:23 J011 'Atlantis' is no country — write two capital"
     " letters, such as GB, or the English name", False),
    ("consent: fax", "3:12 J017 unknown channel 'fax' — choose from email, sms, whatsapp, ads",
     True),
    ("random: 110%", "3:11 J009 '110%' is no share of shoppers — write 10%, or a part of the"
     " hundred: 10% to 20%", False),
    ("did: Page\nwithin: 3 months", "4:11 J008 '3 months': a month has no fixed length — say '30"
     " days' instead", True),
    ("not: [{did: Page}, {did: Screen}]", "3:8 J007 'not' is about one rule, not a list — say"
     " which: 'not: {any: [...]}' or 'not: {all: [...]}'", True),
    ("all: []", "3:8 J007 there is no rule in this list — write at least one rule, each beginning"
     " with '- '", True),
    ("did: Prodct Viewed", "3:8 J053 no standard event is called 'Prodct Viewed' — did you mean"
     " 'Product Viewed'?", False),
    ("did: Product Viewed\nif: event.prize > 3", "4:7 J052 'Product Viewed' carries no 'prize' in"
     " Segment's specification — did you mean 'price'?", False),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "says", "seen"), MISTAKES, ids=[m[0][:30] for m in MISTAKES])
def test_every_mistake_is_said_where_it_stands(
    tmp_path: Path, rules: str, says: str, seen: bool
) -> None:
    (tmp_path / "lists").mkdir()
    findings = found(tmp_path, rules)
    assert says in findings
    if says.split()[1][1:] < "050":  # an error, not a warning
        assert load_segments(tmp_path).segments == {}
    indented = "\n".join(f"  {line}" for line in rules.splitlines())
    assert valid(f"segment: it\nwho:\n{indented}\n") == (not seen)


def test_names_of_files_topics_and_journeys(tmp_path: Path) -> None:
    folder(
        tmp_path,
        one="segment: Other\nwho: {did: Page}\n",
        two="segment: three\nwho: {did: Page}\n",
        four="segment: four\nwho:\n  - consent: email\n    topic: ofers\n  - in journey: win-bak\n",
        six="segment: six\nwho: {did: Page}\n",
    )
    (tmp_path / "six.yml").write_text("segment: six\nwho: {did: Page}\n")
    policy = Policy(topics={"offers": Topic("offers")})
    read = load_segments(tmp_path, policy=policy, journeys=["win-back"])
    assert [f"{Path(each.file).name}:{told(each)}" for each in read.diagnostics] == [
        "four.yaml:4:12 J016 unknown topic 'ofers' — did you mean 'offers'?",
        "four.yaml:5:17 S051 there is no journey 'win-bak' — did you mean 'win-back'?",
        "one.yaml:1:10 S007 'Other' cannot be the name of a segment — use small letters, digits and"
        " '-', at most 100",
        "six.yml:1:1 S010 the segment 'six' is in six.yaml too — delete one of the two",
        "two.yaml:1:10 S007 the segment 'three' is in the file 'two.yaml' — give both the same"
        " name",
    ]
    assert read.segments == {}


def test_a_bad_segment_takes_along_only_those_that_name_it(tmp_path: Path) -> None:
    folder(
        tmp_path,
        bad="segment: bad\nwho: {did: Page, times: often}\n",
        names_it="segment: names-it\nwho: {not: {in segment: bad}}\n",
        good="segment: good\nwho: {did: Page}\n",
    )
    read = load_segments(tmp_path)
    assert set(read.segments) == {"good"}
    assert read.names == {"bad", "names-it", "good"}
    assert [each.code for each in read.diagnostics] == ["S005"]


def test_a_version_is_of_all_that_decides(tmp_path: Path) -> None:
    def version(**shop: str) -> str:
        policy = Policy(shop=Shop(**shop))
        segment = load_segments(tmp_path, policy=policy).segments["it"]
        assert compile_segment(segment.source) == segment or (
            compile_segment(segment.source).version == segment.version
        )
        return segment.version

    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "vip.txt").write_text("a@b.de\n")
    it = "segment: it\ntitle: One\nwho: {any: [{in segment: other}, {on list: vip}]}\n"
    folder(tmp_path, it=it, other="segment: other\nwho: {did: Page}\n")
    seen = [version()]
    folder(tmp_path, it=f"# A note.\n{it.replace('One', 'Another title')}")
    assert version() == seen[0]
    folder(tmp_path, other="segment: other\nwho: {did: Screen}\n")
    seen.append(version())
    (tmp_path / "lists" / "vip.txt").write_text("a@b.de\nc@d.de\n")
    seen.append(version())
    (tmp_path / "lists" / "vip.txt").write_text("C@d.de\n\n# sorted otherwise\nA@b.de\n")
    assert version() == seen[-1]
    seen += [version(currency="EUR"), version(timezone="Asia/Karachi")]
    assert len(set(seen)) == len(seen)


def test_lists_are_of_people_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "vip.txt").write_text(
        "Anna@Example.org  # a note\n+44 20 7946-0000\nuser:42\n\nemail: b@c.de\nAnna Smith\n+12\n"
    )
    lists, findings = load_lists(tmp_path)
    assert lists["vip"].identifiers == {
        "email:anna@example.org",
        "phone:+442079460000",
        "user:42",
        "email:b@c.de",
    }
    assert [(each.line, each.code) for each in findings] == [(6, "S009"), (7, "S009")]
    assert "Smith" not in str(findings[0])


def test_every_code_of_segments_is_shown_here() -> None:
    shown = set(re.findall(r"\b(S[0-9]{3})\b", Path(__file__).read_text()))
    assert {code for code in CODES if code.startswith("S")} == shown | {"S052"}
