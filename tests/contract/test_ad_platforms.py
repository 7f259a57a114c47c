"""Google's and Meta's audience APIs against simulators that hold them to the documented shapes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.audiences import open_platform
from engine.audiences.google import Google
from engine.audiences.http import MembersRefused
from engine.audiences.meta import Meta
from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.audience import AdList, Hashed, Listed
from engine.settings import Settings
from engine.testing.google import GoogleSimulator
from engine.testing.meta import MetaSimulator
from engine.testing.simulator import CUT, DROP, Answer, Request, Simulator, answering
from tests.shared_data import shared

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
AT_GOOGLE = AdList("google/left-behind", "77", "1234567890", "999")
AT_META = AdList("meta/left-behind", "23850000000000000")
PEOPLE: tuple[dict[str, Any], ...] = (
    {"email": "Ayesha.Khan+x@gmail.com", "first_name": "عائشہ", "last_name": "خان",
     "phone": "0300 1234567", "address": {"country": "PK", "postal_code": "54000"}},
    {"email": "priya@example.in", "first_name": "प्रिया", "last_name": "शर्मा"},
    {"email": "isil@example.com.tr", "first_name": "IŞIL", "last_name": "Yıldız",
     "address": {"country": "TR", "postal_code": "34000"}},
    {"email": "jurgen@example.de", "first_name": "Jürgen", "last_name": "Groß",
     "address": {"country": "DE", "postal_code": "10115"}},
    {"phone": "+1 650-555-1212"},
)  # fmt: skip


@pytest.fixture
def google() -> Iterator[GoogleSimulator]:
    with GoogleSimulator(spec=shared("specs/google/datamanager.v1.jsonschema.json")) as simulator:
        yield simulator


@pytest.fixture
def meta() -> Iterator[MetaSimulator]:
    with MetaSimulator() as simulator:
        yield simulator


def to_google(simulator: GoogleSimulator) -> Google:
    return Google(simulator.url, lambda: simulator.token)


def to_meta(simulator: MetaSimulator) -> Meta:
    return Meta(simulator.url, simulator.token, simulator.secret)


def hashes(platform: Google | Meta) -> list[Hashed]:
    rows = [platform.row(n, traits, "PK") for n, traits in enumerate(PEOPLE)]
    assert all(rows)
    return [row for row in rows if row is not None]


def listed(rows: list[Hashed], *, consented: bool = False) -> list[Listed]:
    return [Listed(row.cells, consented) for row in rows]


def people(rows: list[Hashed]) -> set[str]:
    return {one for row in rows for one in (row.email, row.phone) if one}


def test_google_takes_on_and_lets_go(google: GoogleSimulator) -> None:
    platform = to_google(google)
    rows = hashes(platform)
    taken = platform.add(AT_GOOGLE, listed(rows, consented=True), str(uuid4()))
    assert platform.status(taken.reference).state == "done"
    assert google.lists.on("77") == people(rows)
    assert platform.size(AT_GOOGLE).high == len(people(rows))
    taken = platform.remove(AT_GOOGLE, listed(rows[:2], consented=True), str(uuid4()))
    assert platform.status(taken.reference).state == "done"
    assert google.lists.on("77") == people(rows[2:])
    assert not google.wrong
    platform.close()


def test_what_google_is_sent_is_hashes_and_the_consent_that_was_given(
    google: GoogleSimulator,
) -> None:
    platform = to_google(google)
    rows = hashes(platform)
    platform.add(AT_GOOGLE, [Listed(rows[0].cells, True), *listed(rows[1:])], str(uuid4()))
    body = google.received[-1].body.decode()
    asked = json.loads(body)
    assert asked["destinations"] == [
        {
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
            "loginAccount": {"accountType": "GOOGLE_ADS", "accountId": "999"},
            "productDestinationId": "77",
        }
    ]
    yes = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
    assert [m.get("consent") for m in asked["audienceMembers"]] == [yes, *[None] * 4]
    plain = ("@", "3001234567", "عائشہ", "khan", NOTHING)
    assert not [text for text in plain if text in body]
    platform.remove(AT_GOOGLE, [Listed(rows[0].cells, True)], str(uuid4()))
    assert "consent" not in google.received[-1].body.decode()


def test_google_tells_by_place_who_failed_and_who_may_come_again(google: GoogleSimulator) -> None:
    platform = to_google(google)
    rows = hashes(platform)
    google.bad[rows[1].email] = "INVALID_FORMAT"
    google.passing.add(rows[3].email)
    taken = platform.add(AT_GOOGLE, listed(rows), str(uuid4()))
    told = platform.status(taken.reference)
    assert (told.state, told.refused, told.again) == ("done", {1: "invalid_format"}, {3})
    assert google.lists.on("77") == people([rows[0], rows[2], rows[4]])


def test_google_works_on_a_request_for_a_while(google: GoogleSimulator) -> None:
    google.processing = lambda number, action: 0.05
    platform = to_google(google)
    reference = platform.add(AT_GOOGLE, listed(hashes(platform)), str(uuid4())).reference
    assert platform.status(reference).state == "processing"
    while platform.status(reference).state == "processing":
        pass
    assert google.lists.size("77")


def test_one_bad_member_refuses_the_request_and_is_named(google: GoogleSimulator) -> None:
    platform = to_google(google)
    rows = listed(hashes(platform))
    cells = ("not a hash", *rows[2].cells[1:])
    with pytest.raises(MembersRefused) as refused:
        platform.add(AT_GOOGLE, [*rows[:2], Listed(cells), *rows[3:]], str(uuid4()))
    assert refused.value.places.keys() == {2}
    assert google.lists.size("77") == 0


def test_remove_older_leaves_whom_was_added_since(google: GoogleSimulator) -> None:
    platform = to_google(google)
    google.lists.add("77", ["stranger"], (datetime.now(UTC) - timedelta(days=1)).timestamp())
    start = datetime.now(UTC) - timedelta(minutes=1)
    platform.add(AT_GOOGLE, listed(hashes(platform)), str(uuid4()))
    platform.remove_older(AT_GOOGLE, start)
    assert google.lists.on("77") == people(hashes(platform))
    assert not google.wrong


def test_meta_takes_on_lets_go_and_replaces(meta: MetaSimulator) -> None:
    platform = to_meta(meta)
    rows = hashes(platform)
    platform.add(AT_META, listed(rows), str(uuid4()))
    assert meta.lists.on(AT_META.list) == people(rows)
    platform.remove(AT_META, listed(rows[:2]), str(uuid4()))
    assert meta.lists.on(AT_META.list) == people(rows[2:])
    session = str(uuid4())
    platform.replace(AT_META, listed(rows[:1]), session, 1, False, 2)
    assert meta.lists.on(AT_META.list) == people(rows[2:]), "not before the last part is there"
    platform.replace(AT_META, listed(rows[1:2]), session, 2, True, 2)
    assert meta.lists.on(AT_META.list) == people(rows[:2])
    assert platform.size(AT_META).low == len(people(rows[:2]))
    assert not meta.wrong
    platform.close()


def test_neither_token_nor_hashes_stand_in_an_address_of_meta(
    meta: MetaSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    platform = to_meta(meta)
    rows = hashes(platform)
    with caplog.at_level(logging.DEBUG):
        platform.add(AT_META, listed(rows), str(uuid4()))
        platform.remove(AT_META, listed(rows), str(uuid4()))
        platform.size(AT_META)
        meta.script([answering(400, b'{"error": {"code": 100}}'), DROP])
        for _ in range(2):
            with pytest.raises((DeliveryError, OutcomeUnknown)) as failed:
                platform.add(AT_META, listed(rows), str(uuid4()))
            caplog.records.append(logging.makeLogRecord({"msg": str(failed.value)}))
    said = "\n".join(record.getMessage() for record in caplog.records)
    for secret in (meta.token, meta.secret, *people(rows)):
        assert secret not in said
    for request in meta.received:
        assert "?" not in request.path
        payload = json.loads(parse_qs(request.body.decode())["payload"][0])
        assert NOTHING not in json.dumps(payload)
        assert all(len(row) == len(payload["schema"]) for row in payload["data"])


@pytest.mark.parametrize("where", ["google", "meta"])
@pytest.mark.parametrize(
    ("status", "fault", "permanent"),
    [(429, "busy", False), (401, "account", True), (403, "account", True), (400, "", True)],
)
def test_a_refusal_says_what_it_is_about(
    where: str,
    status: int,
    fault: str,
    permanent: bool,
    google: GoogleSimulator,
    meta: MetaSimulator,
) -> None:
    simulator: GoogleSimulator | MetaSimulator = google if where == "google" else meta
    platform: Google | Meta = to_google(google) if where == "google" else to_meta(meta)
    refusal = simulator.refusal(status)
    headers = dict(refusal.headers)
    simulator.script([answering(refusal.status, refusal.body, **headers)])
    ad_list = AT_GOOGLE if where == "google" else AT_META
    with pytest.raises(DeliveryError) as refused:
        platform.add(ad_list, listed(hashes(platform)), str(uuid4()))
    assert (refused.value.fault, refused.value.permanent) == (fault, permanent)
    if status == 429:
        assert refused.value.retry_after == timedelta(minutes=1)


@pytest.mark.parametrize("fault", [answering(503, b"{}"), CUT, DROP])
def test_no_answer_may_mean_anything(google: GoogleSimulator, fault: Any) -> None:
    google.script([fault])
    platform = to_google(google)
    with pytest.raises(OutcomeUnknown):
        platform.add(AT_GOOGLE, listed(hashes(platform)), str(uuid4()))


def test_nobody_there_is_known_not_to_have_taken_it(google: GoogleSimulator) -> None:
    platform = Google("http://127.0.0.1:1", lambda: "x")
    with pytest.raises(DeliveryError) as away:
        platform.add(AT_GOOGLE, listed(hashes(platform)), str(uuid4()))
    assert away.value.fault == "away"


def test_a_flagged_audience_is_named(meta: MetaSimulator) -> None:
    meta.flagged.add(AT_META.list)
    platform = to_meta(meta)
    with pytest.raises(DeliveryError, match="flagged"):
        platform.add(AT_META, listed(hashes(platform)), str(uuid4()))
    assert platform.size(AT_META).note == "Flagged"


def settings(tmp_path: Path, **env: str) -> Settings:
    return Settings.from_environment({"WINBACK_HOME": str(tmp_path), **env}, project_dir=tmp_path)


def test_googles_token_comes_from_a_service_account(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with tokens() as desk, GoogleSimulator(token="from the desk") as google:
        path = tmp_path / "key.json"
        account = {
            "type": "service_account",
            "client_email": "winback@shop.iam.example",
            "private_key": key.decode(),
            "private_key_id": "1",
            "token_uri": f"{desk.url}/token",
        }
        path.write_text(json.dumps(account))
        env = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(path),
            "GOOGLE_DATAMANAGER_BASE_URL": google.url,
        }
        platform = open_platform("google", settings(tmp_path, **env))
        for _ in range(2):
            platform.add(AT_GOOGLE, listed(hashes(platform)), str(uuid4()))
        assert google.count == 2
        assert desk.requests == 1, "a token is used until it ends"
        claim = parse_qs(desk.received[0].body.decode())
        assert claim["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]


class _Desk(Simulator):
    def reply(self, request: Request) -> Answer:
        body = json.dumps({"access_token": "from the desk", "expires_in": 3600}).encode()
        return Answer(200, body, (("Content-Type", "application/json"),))


def tokens() -> AbstractContextManager[Simulator]:
    return _Desk()


@pytest.mark.parametrize("platform", ["google", "meta"])
def test_without_a_key_it_says_which(platform: str, tmp_path: Path) -> None:
    name = {"google": "GOOGLE_APPLICATION_CREDENTIALS", "meta": "META_ACCESS_TOKEN"}[platform]
    with pytest.raises(ConfigError, match=name):
        open_platform(platform, settings(tmp_path))


def test_a_key_that_is_none_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{"private_key": "hush"}')
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    with pytest.raises(ConfigError) as wrong:
        open_platform("google", settings(tmp_path, **env))
    assert "hush" not in str(wrong.value) and "key.json" in str(wrong.value)
    assert "hush" not in repr(settings(tmp_path, META_ACCESS_TOKEN="hush"))
