"""``winback import consent`` and ``winback export consent``, as a shop would use them."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cli.main import group
from engine.core.consent import allowed
from engine.intake.consent_file import ConsentFileError, Reader, Refused
from engine.model.event import Event
from engine.model.policy import Policy, Shop, Topic
from engine.store import profiles
from tests.integration.runtime_kit import LEFT, Make, Pipeline
from tests.unit.core.build import T0, at, event

JOURNEY = LEFT
NOW = datetime(2026, 3, 10, tzinfo=UTC)
OFFERS = Topic("offers", consent="double opt-in")
POLICY = Policy(
    shop=Shop(country="IN", timezone="Asia/Kolkata"),
    topics={"offers": OFFERS, "news": Topic("news"), "orders": Topic("orders", consent="none")},
)
CONFIG = """
topics:
  offers: {title: Offers, consent: double opt-in}
  news: {title: News, consent: opt-in}
  orders: {title: Orders, consent: none}
"""
HEAD = "identifier,channel,topic,granted,at,source,text,method\n"


def read(text: str | bytes, tmp_path: Path, *, lines: bool = False) -> list[Event | Refused]:
    file = tmp_path / "consent"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(Reader(POLICY, NOW).read(file, lines=lines))


class TestReading:
    def test_a_line_is_an_event_with_its_proof(self, tmp_path: Path) -> None:
        (one,) = read(
            HEAD
            + 'Zoe@Example.com,Email,offers,Yes,2024-05-01 10:00,old list,"Yes, offers",form\n',
            tmp_path,
        )
        assert isinstance(one, Event)
        assert (one.name, one.identifiers) == ("Consent Given", ("email:zoe@example.com",))
        assert one.time == datetime(2024, 5, 1, 4, 30, tzinfo=UTC), "the shop's own time"
        said = one.properties
        assert (said["channel"], said["topic"], said["source"]) == ("email", "offers", "old list")
        assert said["method"] == "import: form" and "confirmed" not in said
        assert said["proof"] == {"text": "Yes, offers", "file": "consent", "line": 2}

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("98765 43210", "phone:+919876543210"),
            ("+1 415-555-0001", "phone:+14155550001"),
            ("user:42", "user:42"),
            ("email:A@b.de", "email:a@b.de"),
            ("phone:+14155550001", "phone:+14155550001"),
        ],
    )
    def test_whom(self, tmp_path: Path, written: str, expected: str) -> None:
        (one,) = read(HEAD + f"{written},sms,,yes,2024-05-01T00:00Z,,,\n", tmp_path)
        assert isinstance(one, Event) and one.identifiers == (expected,)
        assert one.properties["topic"] == "*"

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (",email,offers,yes,2024-05-01,,,", "identifier is empty"),
            ("zoe,email,offers,yes,2024-05-01,,,", "user:42"),
            ("a@b.de,pigeon,offers,yes,2024-05-01,,,", "channel must be one of"),
            ("a@b.de,email,ofers,yes,2024-05-01,,,", "there is no topic 'ofers'"),
            ("a@b.de,email,orders,yes,2024-05-01,,,", "there is no topic 'orders' to agree to"),
            ("a@b.de,email,(stop),yes,2024-05-01,,,", "there is no topic"),
            ("a@b.de,email,offers,maybe,2024-05-01,,,", "granted must be yes or no"),
            ("a@b.de,email,offers,,2024-05-01,,,", "granted must be yes or no"),
            ("a@b.de,email,offers,yes,01/05/2024,,,", "at must be a time like"),
            ("a@b.de,email,offers,yes,,,,", "at must be a time like"),
            ("a@b.de,email,offers,yes,2026-03-11,,,", "in the future"),
            ("a@b.de,email,offers,yes,1899-12-30,,,", "before there was any"),
            ("a@b.de,email,offers", "3 cells, and 8 columns"),
        ],
    )
    def test_a_bad_line_says_why_and_hurts_only_itself(
        self, tmp_path: Path, row: str, reason: str
    ) -> None:
        good = "b@b.de,email,offers,no,2024-05-01,,,\n"
        first, bad, last = read(HEAD + good + row + "\n" + good, tmp_path)
        assert isinstance(first, Event) and isinstance(last, Event)
        assert isinstance(bad, Refused) and bad.line == 3
        assert reason in bad.reason and "a@b.de" not in bad.reason

    def test_spreadsheets_of_europe_and_json_lines(self, tmp_path: Path) -> None:
        (one,) = read(
            b"\xef\xbb\xbfIdentifier;Channel;Granted;At\r\na@b.de;email;1;2024-05-01\r\n", tmp_path
        )
        assert isinstance(one, Event)
        found = read(
            '{"identifier": "a@b.de", "channel": "email", "granted": true, "at": "2024-05-01Z"}\n'
            "\n[1]\nnonsense\n",
            tmp_path,
            lines=True,
        )
        assert [getattr(each, "line", None) for each in found[1:]] == [3, 4]

    @pytest.mark.parametrize("text", ["", "name,mail\nzoe,a@b.de\n", b"\xff\xfe\x00identifier"])
    def test_what_is_no_such_file(self, tmp_path: Path, text: str | bytes) -> None:
        with pytest.raises(ConsentFileError):
            read(text, tmp_path)

    @given(st.dictionaries(st.sampled_from(HEAD.strip().split(",")), st.text(max_size=20)))
    @settings(deadline=None, max_examples=200)
    def test_whatever_is_in_it_is_read_or_refused(self, row: dict[str, str]) -> None:
        found = Reader(POLICY, NOW)
        with suppress(ValueError):
            found._event(row, "f", 1)


class Cli:
    def __init__(self, line: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.line, self.folder = line, folder
        (folder / "config").mkdir()
        (folder / "config" / "winback.yaml").write_text(CONFIG)
        monkeypatch.setenv("DATABASE_URL", line.database.url)
        monkeypatch.setenv("WINBACK_HOME", str(folder / "var"))
        monkeypatch.setenv("WINBACK_CLOCK", "")

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(
            group, ["--project-dir", str(self.folder), *words], standalone_mode=False
        )

    def file(self, *rows: str) -> str:
        path = self.folder / "subscribers.csv"
        path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
        return str(path)

    def may(self, name: str, channel: str = "email") -> bool:
        with self.line.database.connection() as connection:
            id = self.line.profile(name)
            found = profiles.consents(connection, [id]).get(id, [])
        return allowed(OFFERS, "offers", channel, found)


@pytest.fixture
def cli(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(make(policy=POLICY), tmp_path, monkeypatch)


def test_twice_is_once_and_the_rest_is_put_aside(cli: Cli) -> None:
    file = cli.file(
        "a@b.de,email,offers,yes,2025-05-01T00:00Z,shop,Yes,double opt-in",
        "b@b.de,email,offers,yes,2025-05-01T00:00Z,shop,Yes,form",
        "c@b.de,email,nonsense,yes,2025-05-01T00:00Z,,,",
    )
    told = cli.run("import", "consent", file, "--json")
    assert told.return_value == 1
    assert '"taken": 2' in told.output and '"refused": 1' in told.output
    (row,) = csv.DictReader(Path(file + ".rejected").read_text().splitlines())
    assert row["identifier"] == "c@b.de" and row["reason"].startswith("line 4: there is no topic")
    cli.line.drain()
    assert cli.may("email:a@b.de") and not cli.may("email:b@b.de"), "the second is to be confirmed"
    before = cli.line.one("select count(*) from event where name like 'Consent Given'")
    assert cli.run("import", "consent", file).return_value == 1
    assert cli.line.drain().duplicates == 2
    assert cli.line.one("select count(*) from event where name = 'Consent Given'") == before
    Path(file + ".rejected").write_text(
        Path(file + ".rejected").read_text().replace("nonsense", "news")
    )
    assert cli.run("import", "consent", file + ".rejected").return_value == 0


def test_what_is_newer_stands(cli: Cli) -> None:
    who = ("email:a@b.de",)
    cli.line.drain(event("Consent Withdrawn", T0, who=who, channel="email", topic="offers"))
    cli.run("import", "consent", cli.file("a@b.de,email,,yes,2025-05-01,,,double opt-in"))
    cli.line.drain()
    assert not cli.may("email:a@b.de")
    assert cli.line.one("select traits ->> 'email' from profile") == "a@b.de"


def test_an_old_address_does_not_come_back_with_it(cli: Cli) -> None:
    cli.line.drain(
        event("Identify", T0, kind="identify", who=("user:1", "email:old@b.de")),
        event("Identify", at(minutes=1), kind="identify", who=("user:1", "email:new@b.de")),
    )
    cli.run("import", "consent", cli.file("old@b.de,email,,yes,2025-05-01,,,"))
    cli.line.drain()
    assert cli.line.one("select traits ->> 'email' from profile") == "new@b.de"


def test_a_dry_run_takes_nothing(cli: Cli) -> None:
    told = cli.run("import", "consent", cli.file("a@b.de,email,,yes,2025-05-01,,,"), "--dry-run")
    assert told.return_value == 0 and "would be taken" in told.output
    assert cli.line.one("select count(*) from inbox") == 0


def test_what_is_exported_can_be_imported(cli: Cli) -> None:
    who = ("user:1", "email:a@b.de")
    proof = {"text": "=cmd|' /C calc'!A0", "url": "https://shop.example/join"}
    cli.line.drain(
        event("Consent Given", T0, who=who, channel="email", topic="offers", proof=proof),
        event("Consent Given", T0, who=("user:2",), channel="sms"),
        event("Consent Withdrawn", at(hours=1), who=who, channel="email", topic="offers"),
    )
    told = cli.run("export", "consent", "--shopper", "a@b.de", "--output", str(cli.folder / "out"))
    assert told.return_value == 0, told.output
    rows: list[dict[str, Any]] = list(csv.DictReader((cli.folder / "out").read_text().splitlines()))
    assert [(r["identifier"], r["word"], r["granted"]) for r in rows] == [
        ("user:1", "yes", "yes"),
        ("user:1", "no", "no"),
    ]
    assert rows[0]["text"] == "'=cmd|' /C calc'!A0", "no spreadsheet runs it"
    found = [e for e in read((cli.folder / "out").read_text(), cli.folder) if isinstance(e, Event)]
    assert [(e.name, e.time, e.identifiers) for e in found] == [
        ("Consent Given", T0, ("user:1",)),
        ("Consent Withdrawn", at(hours=1), ("user:1",)),
    ]
    assert found[0].properties["proof"]["text"] == proof["text"]

    told = cli.run("export", "consent", "--format", "jsonl")
    lines = [json.loads(line) for line in io.StringIO(told.stdout) if line.startswith("{")]
    assert {(line["identifier"], line["channel"]) for line in lines} == {
        ("user:1", "email"),
        ("user:2", "sms"),
    }
    nobody = cli.run("export", "consent", "--shopper", "nobody@b.de")
    assert "Nobody here" in str(nobody.exception)
