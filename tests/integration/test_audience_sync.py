"""Ad audience files against a real PostgreSQL: who is on them, who leaves, and after crashes."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from engine.audiences import PLATFORMS
from engine.clock import ManualClock
from engine.model.policy import Policy, Shop
from engine.runtime.listfile import NewFile
from engine.runtime.sync import SyncReport, sync_audiences
from engine.store.audiences import AudienceStore
from engine.store.database import Database

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
GOOGLE = "google/left-behind"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        yield database


class Shopkeeper:
    """Puts shoppers into the tables as the drain would, and runs the sync."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database = database
        self.home = home
        self.clock = ManualClock(NOW)

    def shopper(self, profile: int, **traits: Any) -> None:
        self.run_sql(
            "insert into profile (id, born_of, traits) values (%s, %s, %s::jsonb)",
            profile,
            f"user:{profile}",
            json.dumps(traits),
        )
        self.run_sql("insert into identity values (%s, %s)", f"user:{profile}", profile)

    def run(self, profile: int, audience: str = GOOGLE, key: str = "sku-1") -> uuid.UUID:
        """A run of the shopper that adds them to the audience."""
        run = uuid.uuid4()
        self.run_sql(
            """insert into enrollment (profile_id, id, journey, version, key, bucket, event_id,
               entered_at, status) values (%s, %s, %s, 'v', %s, 0, 'e', %s, 'active')""",
            profile,
            run,
            audience,
            key,
            self.clock.now(),
        )
        self.run_sql(
            "insert into audience_member values (%s, %s, %s, true, false, %s)",
            profile,
            audience,
            run,
            self.clock.now(),
        )
        return run

    def stop(self, run: uuid.UUID) -> None:
        """What the drain does on a purchase."""
        self.run_sql("update enrollment set status = 'stopped' where id = %s", run)
        self.run_sql(
            "update audience_member set wanted = false, changed_at = %s where enrollment_id = %s",
            self.clock.now(),
            run,
        )

    def accept(self, profile: int, name: str = "Order Completed") -> None:
        """An event that is accepted and not yet drained."""
        self.run_sql(
            """insert into inbox (lane, sender, links, name, identifiers, id, time, received_at,
               body) values (0, %s, false, %s, %s, %s, %s, %s, '{}')""",
            f"user:{profile}",
            name,
            [f"user:{profile}"],
            str(uuid.uuid4()),
            self.clock.now(),
            self.clock.now(),
        )

    def consent(self, profile: int, granted: bool, topic: str = "*") -> None:
        self.run_sql(
            """insert into consent values (%s, 'ads', %s, %s, %s)
               on conflict (profile_id, channel, topic)
               do update set granted = excluded.granted, at = excluded.at""",
            profile,
            topic,
            granted,
            self.clock.now(),
        )

    def sync(self, *, everything: bool = False, policy: Policy | None = None) -> SyncReport:
        self.clock.move_to(self.clock.now() + timedelta(minutes=1))
        return sync_audiences(
            self.database,
            self.home,
            self.clock,
            policy or Policy(shop=Shop(country="PK")),
            book=AudienceStore,
            platforms=PLATFORMS,
            held=held,
            everything=everything,
        )

    def run_sql(self, statement: Any, *values: Any) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def folder(self, audience: str = GOOGLE) -> Path:
        return self.home / "audiences" / audience

    def members(self, audience: str = GOOGLE, column: str = "Email") -> set[str]:
        return emails_in(self.folder(audience) / "members.csv", column)

    def changes(self, kind: str, audience: str = GOOGLE) -> list[set[str]]:
        return [emails_in(path) for path in sorted(self.folder(audience).glob(f"{kind}-*.csv"))]


def held(connection: Any, profiles: list[int]) -> set[int]:
    rows = connection.execute(
        """select i.profile_id from identity i join inbox b on i.identifier = any(b.identifiers)
           where i.profile_id = any(%s) and b.name = 'Order Completed'""",
        (profiles,),
    ).fetchall()
    return {profile for (profile,) in rows}


def emails_in(path: Path, column: str = "Email") -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        heads, *rows = csv.reader(file)
        values = [row[heads.index(column)] for row in rows]
    assert len(values) == len(set(values)), "each row once"
    return set(values)


def hashed(*emails: str) -> set[str]:
    return {sha256(email.encode()).hexdigest() for email in emails}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shopkeeper:
    return Shopkeeper(database, tmp_path)


def test_the_purchase_takes_the_shopper_off(shop: Shopkeeper) -> None:
    runs = {}
    for profile, email in ((1, "a@example.com"), (2, "b@example.com")):
        shop.shopper(profile, email=email)
        runs[profile] = shop.run(profile)
    first = shop.sync()
    assert [(s.audience, s.members, s.added, s.removed) for s in first.audiences] == [
        (GOOGLE, 2, 2, 0)
    ]
    assert shop.members() == hashed("a@example.com", "b@example.com")
    assert shop.sync() == SyncReport(), "nothing changed, nothing is written"

    shop.stop(runs[1])
    second = shop.sync()
    assert [(s.members, s.added, s.removed) for s in second.audiences] == [(1, 0, 1)]
    assert shop.members() == hashed("b@example.com")
    assert shop.changes("removals") == [hashed("a@example.com")]
    assert shop.changes("additions") == [hashed("a@example.com", "b@example.com")]
    assert shop.sync() == SyncReport()


def test_files_are_in_the_platforms_form_and_nobody_elses_business(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com", phone="0300 1234567", first_name="عائشہ")
    shop.run(1, "google/left-behind")
    shop.run(1, "meta/left-behind")
    shop.sync()
    texts = [p.read_text(encoding="utf-8") for p in shop.home.rglob("*.csv")]
    assert len(texts) == 4
    for text in texts:
        for plain in ("a@example.com", "1234567", "عائشہ"):
            assert plain not in text
    for path in shop.home.rglob("*.csv"):
        assert path.stat().st_mode & 0o077 == 0
    assert shop.members("meta/left-behind", "phone") == hashed("923001234567")
    assert not list(shop.home.rglob(".*.new"))


def test_on_the_list_while_any_run_wants_it(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    one, two = shop.run(1, key="sku-1"), shop.run(1, key="sku-2")
    shop.sync()
    shop.stop(one)
    report = shop.sync()
    assert [(s.members, s.removed) for s in report.audiences] == [(1, 0)]
    shop.stop(two)
    shop.sync()
    assert shop.members() == set()
    assert shop.changes("removals") == [hashed("a@example.com")]


def test_an_accepted_purchase_holds_the_addition_back(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    shop.shopper(2, email="b@example.com")
    run, _ = shop.run(1), shop.run(2)
    shop.accept(1)
    report = shop.sync()
    assert [(s.added, s.held) for s in report.audiences] == [(1, 1)]
    assert shop.members() == hashed("b@example.com")

    shop.run_sql("delete from inbox")
    shop.stop(run)
    assert shop.sync() == SyncReport(), "the purchase was worked: there is nothing to tell"
    assert shop.members() == hashed("b@example.com")


def test_held_back_and_not_stopped_comes_with_the_next_file(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    shop.run(1)
    shop.accept(1)
    shop.sync()
    assert shop.members() == set()
    shop.run_sql("delete from inbox")
    shop.sync()
    assert shop.members() == hashed("a@example.com")


def test_a_stopped_run_is_not_wanted_even_before_its_row_says_so(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    run = shop.run(1)
    shop.run_sql("update enrollment set status = 'stopped' where id = %s", run)
    assert shop.sync() == SyncReport()


def test_no_to_ads_keeps_off_and_takes_off(shop: Shopkeeper) -> None:
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
    shop.consent(1, False)
    shop.sync()
    assert shop.members() == hashed("2@example.com")
    shop.consent(2, False)
    shop.sync()
    assert shop.members() == set()
    assert shop.changes("removals") == [hashed("2@example.com")]
    assert shop.sync() == SyncReport()
    shop.consent(2, True)
    shop.sync()
    assert shop.members() == hashed("2@example.com")


def test_the_latest_word_on_ads_stands_and_of_two_at_once_the_no(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    shop.run(1)
    shop.consent(1, False, "offers")
    shop.consent(1, True)
    assert shop.sync() == SyncReport()
    shop.consent(1, True)
    shop.sync()
    assert shop.members() == hashed("a@example.com")


@pytest.mark.parametrize("topic", ["ad_user_data", "ad_personalization"])
def test_a_no_to_one_of_the_two_is_a_no_whatever_was_said_later_of_the_other(
    shop: Shopkeeper, topic: str
) -> None:
    other = {"ad_user_data": "ad_personalization"}.get(topic, "ad_user_data")
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
        shop.consent(profile, True, topic)
        shop.consent(profile, True, other)
    shop.sync()
    assert shop.members() == hashed("1@example.com", "2@example.com")
    shop.consent(1, False, topic)
    shop.clock.move_to(shop.clock.now() + timedelta(seconds=1))
    shop.consent(1, True, other)
    shop.sync()
    assert shop.members() == hashed("2@example.com")
    assert shop.changes("removals") == [hashed("1@example.com")]


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_where_the_law_wants_a_yes_nobody_is_on_a_file_without_it(
    shop: Shopkeeper, platform: str
) -> None:
    audience, column = f"{platform}/left-behind", PLATFORMS[platform].columns[0]
    shop.shopper(1, email="1@example.com", address={"country": "DE"})
    shop.shopper(2, email="2@example.com", phone="+41 44 668 18 00")  # by the number, Swiss
    shop.shopper(3, email="3@example.com", country="GB")
    shop.shopper(4, email="4@example.com", country="US")
    for profile in (1, 2, 3, 4):
        shop.run(profile, audience)
    shop.consent(3, True)
    [first] = shop.sync().audiences
    assert (first.added, first.unasked) == (2, 2)
    assert shop.members(audience, column) == hashed("3@example.com", "4@example.com")
    assert shop.sync() == SyncReport(), "nothing was said: they are not tried every second"

    shop.consent(1, True)
    shop.consent(3, False)
    shop.sync()
    assert shop.members(audience, column) == hashed("1@example.com", "4@example.com")
    shop.run_sql("""update profile set traits = traits || '{"country": "NO"}' where id = 4""")
    shop.sync(everything=True)
    assert shop.members(audience, column) == hashed("1@example.com"), "has moved to Norway"


def test_a_blocked_address_takes_the_shopper_off(shop: Shopkeeper) -> None:
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run_sql(
            "insert into identity values (%s, %s)", f"email:{profile}@example.com", profile
        )
        shop.run(profile)
    shop.sync()
    shop.run_sql(
        """insert into suppression (address, channel, at, reason)
           values ('email:1@example.com', 'email', %s, 'complaint')""",
        shop.clock.now(),
    )
    shop.sync()
    assert shop.members() == hashed("2@example.com")
    assert shop.sync() == SyncReport()


def test_opt_in_needs_a_yes(shop: Shopkeeper) -> None:
    policy = Policy(ads_consent="opt-in")
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
    shop.consent(2, True)
    shop.sync(policy=policy)
    assert shop.members() == hashed("2@example.com")
    assert shop.sync(policy=policy) == SyncReport()


def test_without_an_address_until_there_is_one(shop: Shopkeeper) -> None:
    shop.shopper(1)
    shop.run(1)
    assert shop.sync() == SyncReport()
    shop.run_sql("""update profile set traits = '{"email": "a@example.com"}'""")
    shop.sync()
    assert shop.members() == hashed("a@example.com")


def test_an_unusable_address_is_not_tried_every_second(shop: Shopkeeper) -> None:
    shop.shopper(1, phone="12")
    shop.run(1)
    assert [(s.added, s.unusable) for s in shop.sync().audiences] == [(0, 1)]
    assert shop.sync() == SyncReport()
    shop.run_sql("""update profile set traits = '{"email": "a@example.com"}'""")
    shop.sync(everything=True)
    assert shop.members() == hashed("a@example.com")


def test_who_changed_address_leaves_under_the_old_one(shop: Shopkeeper) -> None:
    shop.shopper(1, email="old@example.com")
    run = shop.run(1)
    shop.sync()
    shop.run_sql("""update profile set traits = '{"email": "new@example.com"}'""")
    assert shop.sync() == SyncReport(), "found by the daily rewrite, not by every tick"
    shop.sync(everything=True)
    assert shop.changes("removals") == [hashed("old@example.com")]
    assert shop.changes("additions")[-1] == hashed("new@example.com")
    shop.stop(run)
    shop.sync()
    assert shop.changes("removals")[-1] == hashed("new@example.com")


def test_an_erased_profile_leaves_though_nothing_is_known_of_it(shop: Shopkeeper) -> None:
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
    shop.sync()
    for table in ("profile where id", "audience_member where profile_id"):
        shop.run_sql(f"delete from {table} = 1")
    shop.sync(everything=True)
    assert shop.members() == hashed("2@example.com")
    assert shop.changes("removals") == [hashed("1@example.com")]


def test_once_a_day_every_list_is_written_anew_without_being_asked(shop: Shopkeeper) -> None:
    shop.shopper(1, email="old@example.com")
    shop.run(1)
    shop.sync()
    shop.run_sql("""update profile set traits = '{"email": "new@example.com"}'""")
    shop.clock.move_to(shop.clock.now() + timedelta(hours=23))
    assert shop.sync() == SyncReport()
    shop.clock.move_to(shop.clock.now() + timedelta(hours=1))
    shop.sync()
    assert shop.members() == hashed("new@example.com")
    assert shop.sync() == SyncReport()

    # The last of the list is erased, so that nothing in the database tells of it any more.
    shop.run_sql("delete from audience_member")
    shop.run_sql("delete from profile")
    shop.clock.move_to(shop.clock.now() + timedelta(days=1))
    shop.sync()
    assert shop.members() == set()
    assert shop.changes("removals")[-1] == hashed("new@example.com")


def test_two_profiles_with_one_address_are_one_row(shop: Shopkeeper) -> None:
    runs = []
    for profile in (1, 2):
        shop.shopper(profile, email="home@example.com")
        runs.append(shop.run(profile))
    shop.sync()
    shop.stop(runs[0])
    shop.sync()
    assert shop.members() == hashed("home@example.com")
    assert shop.changes("removals") == [], "the other still wants the address on the list"
    shop.stop(runs[1])
    shop.sync()
    assert shop.changes("removals") == [hashed("home@example.com")]


@pytest.mark.parametrize("dies_at", ["removals", "additions", "members", "commit"])
def test_a_crash_at_any_point_is_mended_by_running_again(
    shop: Shopkeeper, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    shop.shopper(1, email="a@example.com")
    stopped = shop.run(1)
    shop.sync()
    shop.stop(stopped)
    shop.shopper(2, email="b@example.com")
    shop.run(2)

    publish = NewFile.publish

    def dying(self: NewFile, *, only_if_filled: bool = False) -> None:
        if self._path.name.startswith(dies_at):
            raise KeyboardInterrupt
        publish(self, only_if_filled=only_if_filled)
        if dies_at == "commit" and self._path.name == "members.csv":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(NewFile, "publish", dying)
        with pytest.raises(KeyboardInterrupt):
            shop.sync()
    shop.sync()
    assert shop.members() == hashed("b@example.com")
    assert set.union(*shop.changes("removals")) == hashed("a@example.com")
    assert shop.changes("additions")[-1] == hashed("b@example.com")
    assert not list(shop.home.rglob(".*.new"))
    assert shop.sync() == SyncReport()


def test_a_lost_home_is_written_anew_and_the_leavers_are_still_named(shop: Shopkeeper) -> None:
    runs = {}
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        runs[profile] = shop.run(profile)
    shop.sync()
    for path in shop.folder().iterdir():
        path.unlink()
    shop.stop(runs[1])
    shop.sync()
    assert shop.members() == hashed("2@example.com")
    assert shop.changes("removals") == [hashed("1@example.com")]
    assert shop.changes("additions") == [hashed("2@example.com")]


def test_one_audience_that_cannot_be_written_does_not_keep_the_others(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    for audience in ("google/left-behind", "meta/left-behind", "bing/x", "google/../../up"):
        shop.run(1, audience)
    (shop.home / "audiences").mkdir()
    (shop.home / "audiences" / "google").write_text("a file where a folder should be")
    report = shop.sync()
    assert [s.audience for s in report.audiences] == ["meta/left-behind"]
    assert len(report.problems) == 3
    assert "file, google, meta, pinterest, tiktok, x" in report.problems[0]
    assert "google/left-behind" in report.problems[2] and "tried again" in report.problems[2]
    assert not (shop.home.parent / "up").exists()

    (shop.home / "audiences" / "google").unlink()
    assert [s.audience for s in shop.sync().audiences] == ["google/left-behind"]


def test_an_audience_that_another_process_writes_is_left_to_it(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    shop.run(1)
    with shop.database.connection() as other:
        assert AudienceStore(other, "opt-out").lock(GOOGLE)
        assert shop.sync() == SyncReport()
    assert [s.added for s in shop.sync().audiences] == [1]


def test_a_row_that_a_drain_holds_is_passed_over_and_comes_again(shop: Shopkeeper) -> None:
    shop.shopper(1, email="a@example.com")
    run = shop.run(1)
    with shop.database.connection() as drain:
        drain.execute("update audience_member set wanted = false where enrollment_id = %s", (run,))
        assert [s.added for s in shop.sync().audiences] == [1], "the drain has not committed"
    report = shop.sync(everything=True)
    assert [(s.members, s.removed) for s in report.audiences] == [(0, 1)]


def test_many_members_stream_through_and_change_by_the_difference(shop: Shopkeeper) -> None:
    shop.run_sql(
        """insert into profile (id, born_of, traits) select n, 'user:' || n,
           jsonb_build_object('email', n || '@example.com') from generate_series(1, 3000) n"""
    )
    shop.run_sql(
        """insert into audience_member select n, %s, gen_random_uuid(), true, false, %s
           from generate_series(1, 3000) n""",
        GOOGLE,
        NOW,
    )
    assert [(s.members, s.added) for s in shop.sync().audiences] == [(3000, 3000)]
    shop.run_sql("update audience_member set wanted = false where profile_id %% 1000 = 7")
    assert [(s.members, s.removed) for s in shop.sync().audiences] == [(2997, 3)]
    assert shop.changes("removals") == [
        hashed("7@example.com", "1007@example.com", "2007@example.com")
    ]
