"""Audience files on their way out: to a folder, to a real SFTP server, to a real S3 store."""

from __future__ import annotations

import asyncio
import csv
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import boto3  # type: ignore[import-untyped]
import duckdb
import pytest
from moto.server import ThreadedMotoServer

from engine.audiences.formats import convert
from engine.audiences.places import S3, Folder, Place, Sftp, open_place
from engine.clock import ManualClock
from engine.core.book import JourneyBook
from engine.errors import ConfigError, DeliveryError
from engine.model.audience import AdFile
from engine.model.policy import Policy, Shop
from engine.runtime.handover import hand_over
from engine.runtime.shell import Shell
from engine.runtime.sync import Handed
from engine.settings import Settings
from engine.store.database import Database
from tests.integration.test_audience_sync import Shopkeeper, hashed

SECRETS = ("hunter2", "a@example.com", "b@example.com")


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Shopkeeper]:
    with Database(database_url) as database:
        yield Shopkeeper(database, tmp_path / "home")


class Server(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("shop", "hunter2")


class SftpHost:
    """asyncssh's own server in a thread; what it was asked to do is kept in its order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.renames = True
        root.mkdir()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        host = self

        class Files(asyncssh.SFTPServer):
            def __init__(self, chan: Any) -> None:
                super().__init__(chan, chroot=str(root).encode())

            def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
                host.asked.append(f"open {Path(path.decode()).name}")
                return super().open(path, pflags, attrs)

            def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
                if not host.renames:
                    raise asyncssh.SFTPOpUnsupported("no")
                host.asked.append(f"rename {Path(newpath.decode()).name}")
                return super().posix_rename(oldpath, newpath)

        async def listen() -> Any:
            return await asyncssh.create_server(
                Server,
                "127.0.0.1",
                0,
                server_host_keys=[self.key],
                sftp_factory=Files,
                authorized_client_keys=None,
            )

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)
        self.port = self._server.get_port()

    def known(self, key: asyncssh.SSHKey, path: Path) -> Path:
        line = key.export_public_key().decode().strip()
        path.write_text(f"[127.0.0.1]:{self.port} {line}\n")
        return path

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpHost]:
    host = SftpHost(tmp_path / "remote")
    yield host
    host.close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def bucket_of(url: str) -> Any:
    resource = boto3.resource(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="hunter2",
    )
    return resource.create_bucket(Bucket="shop-audiences")


def give(shop: Shopkeeper, place: Place, **file: Any) -> Handed | None:
    """Sync, then hand over the one list."""
    ad_file = AdFile(**{"audience": "tiktok/left-behind", "to": "there", **file})
    policy = Policy(shop=Shop(country="PK"), audience_files={ad_file.audience: ad_file})
    shop.sync(policy=policy)
    assert isinstance(shop.clock, ManualClock)
    shell = Shell(shop.database, shop.clock, lambda *_: JourneyBook(), lambda: policy)
    done = hand_over(shell, shop.home, lambda _: place, convert)
    assert len(done) <= 1
    return done[0] if done else None


def two(shop: Shopkeeper, audience: str = "tiktok/left-behind") -> list[Any]:
    shop.shopper(1, email="a@example.com", phone="0300 1234567")
    shop.shopper(2, email="b@example.com")
    return [shop.run(profile, audience) for profile in (1, 2)]


def emails(text: str) -> set[str]:
    return {row[0] for row in list(csv.reader(text.splitlines()))[1:]}


def test_a_folder_gets_the_list_and_then_the_difference(shop: Shopkeeper, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs = two(shop)
    assert give(shop, Folder(out)) == Handed("tiktok/left-behind", 2, 2, 0)
    assert [path.name for path in out.iterdir()] == ["members.csv"]
    assert emails((out / "members.csv").read_text()) == hashed("a@example.com", "b@example.com")
    assert give(shop, Folder(out)) is None, "nothing has changed"

    shop.stop(runs[0])
    shop.shopper(3, email="c@example.com")
    shop.run(3, "tiktok/left-behind")
    assert give(shop, Folder(out)) == Handed("tiktok/left-behind", 2, 1, 1)
    by_kind = {path.name.partition("-")[0]: path for path in out.iterdir()}
    assert emails(by_kind["removals"].read_text()) == hashed("a@example.com")
    assert emails(by_kind["additions"].read_text()) == hashed("c@example.com")
    assert emails(by_kind["members.csv"].read_text()) == hashed("b@example.com", "c@example.com")
    for path in out.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert not any(plain in path.read_text() for plain in SECRETS)
    assert shop.run_sql(
        "select action, status, members, detail from audience_request order by claimed_at"
    ) == [
        ("file", "done", 2, "added 2, removed 0"),
        ("file", "done", 2, "added 1, removed 1"),
    ]


def test_an_addition_that_came_too_late_never_goes(shop: Shopkeeper, tmp_path: Path) -> None:
    class Away:
        def put(self, files: Any) -> None:
            raise DeliveryError("away", permanent=False, retry_after=timedelta(minutes=5))

    out = tmp_path / "out"
    runs = two(shop)
    assert give(shop, Folder(out)) is not None
    shop.shopper(3, email="c@example.com")
    late = shop.run(3, "tiktok/left-behind")
    failed = give(shop, Away())
    assert failed is not None and failed.problem == "away"
    assert give(shop, Folder(out)) is None, "the place is left alone for a while"
    shop.stop(late)
    shop.stop(runs[1])
    shop.clock.move_to(shop.clock.now() + timedelta(minutes=20))
    assert give(shop, Folder(out)) == Handed("tiktok/left-behind", 1, 0, 1)
    assert not list(out.glob("additions-*")), "they have bought meanwhile"
    assert not list(shop.folder("tiktok/left-behind").glob(".out*"))


@pytest.mark.parametrize("dies_after", [0, 1, 2, 3])
def test_a_crash_in_the_middle_is_mended_by_going_on(
    shop: Shopkeeper, tmp_path: Path, dies_after: int
) -> None:
    class Dying(Folder):
        def put(self, files: Any) -> None:
            super().put(files[:dies_after])
            raise KeyboardInterrupt

    out = tmp_path / "out"
    runs = two(shop)
    give(shop, Folder(out))
    shop.stop(runs[0])
    shop.shopper(3, email="c@example.com")
    shop.run(3, "tiktok/left-behind")
    with pytest.raises(KeyboardInterrupt):
        give(shop, Dying(out))
    assert give(shop, Folder(out)) == Handed("tiktok/left-behind", 2, 1, 1)
    on = hashed("a@example.com", "b@example.com")
    for path in sorted(out.glob("*-*"), key=lambda p: p.name.partition("-")[2]):
        told = emails(path.read_text())
        on = on - told if path.name.startswith("removals") else on | told
    assert on == emails((out / "members.csv").read_text())
    assert on == hashed("b@example.com", "c@example.com")
    statuses = shop.run_sql("select status from audience_request order by claimed_at")
    assert [status for (status,) in statuses] == ["done", "failed", "done"]


def test_sftp_verifies_the_host_uploads_aside_and_renames(
    shop: Shopkeeper, sftp: SftpHost, tmp_path: Path
) -> None:
    known = sftp.known(sftp.key, tmp_path / "known_hosts")
    place = Sftp(
        "127.0.0.1", sftp.port, "shop", "/in/tiktok", known_hosts=known, password="hunter2"
    )
    runs = two(shop)
    assert give(shop, place) == Handed("tiktok/left-behind", 2, 2, 0)
    shop.stop(runs[0])
    assert give(shop, place) == Handed("tiktok/left-behind", 1, 0, 1)
    there = {path.name: path.read_text() for path in (sftp.root / "in/tiktok").iterdir()}
    assert emails(there.pop("members.csv")) == hashed("b@example.com")
    [(name, removals)] = there.items()
    assert name.startswith("removals-") and emails(removals) == hashed("a@example.com")
    assert sftp.asked[-4:] == [f"open .{name}.part", f"rename {name}",
                               "open .members.csv.part", "rename members.csv"]  # fmt: skip


def test_sftp_takes_a_key_and_refuses_a_stranger(sftp: SftpHost, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text("x\n")
    stranger = sftp.known(asyncssh.generate_private_key("ssh-ed25519"), tmp_path / "other")
    unknown = tmp_path / "empty"
    unknown.write_text("")
    known = sftp.known(sftp.key, tmp_path / "known_hosts")
    for hosts in (stranger, unknown):
        place = Sftp("127.0.0.1", sftp.port, "shop", "/", known_hosts=hosts, password="hunter2")
        with pytest.raises(DeliveryError, match="known hosts") as told:
            place.put([("members.csv", file)])
        assert told.value.permanent and "hunter2" not in str(told.value)
        assert hosts.read_text().count("\n") <= 1, "nothing is learnt"
    place = Sftp("127.0.0.1", sftp.port, "shop", "/", known_hosts=known, password="wrong")
    with pytest.raises(DeliveryError, match="refuses the login"):
        place.put([("members.csv", file)])
    assert sftp.asked == [], "no file was opened for any of them"

    sftp.renames = False
    place = Sftp("127.0.0.1", sftp.port, "shop", "/", known_hosts=known, password="hunter2")
    with pytest.raises(DeliveryError, match="at once"):
        place.put([("members.csv", file)])
    assert not (sftp.root / "members.csv").exists()


def test_sftp_that_is_away_is_tried_later(tmp_path: Path, sftp: SftpHost) -> None:
    known = sftp.known(sftp.key, tmp_path / "known_hosts")
    place = Sftp("127.0.0.1", 1, "shop", "/", known_hosts=known, password="hunter2")
    with pytest.raises(DeliveryError, match="cannot be reached") as told:
        place.put([("members.csv", known)])
    assert not told.value.permanent


def test_s3_takes_whole_files_small_and_large(shop: Shopkeeper, s3: str, tmp_path: Path) -> None:
    bucket = bucket_of(s3)
    place = S3("shop-audiences", "/ads/tiktok", endpoint=s3, region="us-east-1",
               access_key_id="id", secret_access_key="hunter2")  # fmt: skip
    runs = two(shop)
    assert give(shop, place) == Handed("tiktok/left-behind", 2, 2, 0)
    shop.stop(runs[0])
    assert give(shop, place) == Handed("tiktok/left-behind", 1, 0, 1)
    there = {o.key: o.get()["Body"].read().decode() for o in bucket.objects.all()}
    assert emails(there.pop("ads/tiktok/members.csv")) == hashed("b@example.com")
    [(name, removals)] = there.items()
    assert name.startswith("ads/tiktok/removals-") and emails(removals) == hashed("a@example.com")

    large = tmp_path / "large.csv"
    large.write_bytes(b"0123456789abcdef\n" * 400_000)
    place.put([("large.csv", large)])
    found = bucket.Object("ads/tiktok/large.csv").get()
    assert found["Body"].read() == large.read_bytes()
    assert found["ETag"].strip('"').endswith("-2"), "in two parts, of 5 MB at most"


def test_s3_without_its_bucket_is_told_without_the_key(s3: str, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text("x\n")
    place = S3("not-there", "", endpoint=s3, region="us-east-1",
               access_key_id="id", secret_access_key="hunter2")  # fmt: skip
    with pytest.raises(DeliveryError, match="s3://not-there") as told:
        place.put([("members.csv", file)])
    assert "hunter2" not in str(told.value)


def test_other_formats_hold_the_same_rows(shop: Shopkeeper, tmp_path: Path) -> None:
    two(shop)
    lines, table = tmp_path / "lines", tmp_path / "table"
    give(shop, Folder(lines), format="jsonl")
    give(shop, Folder(table), format="parquet")
    source = shop.folder("tiktok/left-behind") / "members.csv"
    heads, *rows = csv.reader(source.read_text(encoding="utf-8").splitlines())
    names = ["Email_SHA256", "Email_SHA256_1", "Phone_SHA256", "Phone_SHA256_1", "MAID_SHA256"]
    assert [name.removesuffix("_1") for name in names] == heads
    wanted = [{n: v for n, v in zip(names, row, strict=True) if v} for row in rows]
    assert len(wanted) == 2
    told = [json.loads(line) for line in (lines / "members.jsonl").read_text().splitlines()]
    assert told == wanted
    with duckdb.connect() as connection:
        found = connection.execute("from read_parquet(?)", [str(table / "members.parquet")])
        assert [column[0] for column in found.description or ()] == names
        assert found.fetchall() == [tuple(one.get(name) for name in names) for one in wanted]


def test_places_ask_for_what_they_need(tmp_path: Path) -> None:
    def settings(**more: str) -> Settings:
        return Settings.from_environment({"WINBACK_HOME": str(tmp_path), **more})

    with pytest.raises(ConfigError, match="WINBACK_SFTP_KEY"):
        open_place("sftp://shop@h.example/in", tmp_path, settings())
    with pytest.raises(ConfigError, match="WINBACK_SFTP_KNOWN_HOSTS"):
        open_place(
            "sftp://shop@h.example/in",
            tmp_path,
            settings(WINBACK_SFTP_PASSWORD="x", WINBACK_SFTP_KNOWN_HOSTS=str(tmp_path / "none")),
        )
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        open_place("s3://bucket/in", tmp_path, settings())
    assert isinstance(open_place("out", tmp_path, settings()), Folder)
