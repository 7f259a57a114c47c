"""``winback doctor``: what it finds missing, what it says mends it, and that it touches nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from engine.cli import _checks, _pace, _services
from engine.cli._checks import examine
from engine.cli.main import group
from engine.language import load_policy
from engine.model.check import Check
from engine.settings import Settings
from engine.store.pace import Used

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shipped project, with a config of its own."""
    for name in ("journeys", "templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config").mkdir()
    return tmp_path


def configure(shop: Path, providers: str) -> None:
    (shop / "config" / "winback.yaml").write_text(f"providers: {providers}\n")


def found(shop: Path, **env: str) -> dict[str, Check]:
    return {check.name: check for check in examine({"PATH": "/usr/bin", **env}, shop)}


def findings(shop: Path, **env: str) -> set[str]:
    return {name for name, check in found(shop, **env).items() if check.state == "finding"}


def test_a_fresh_start_lacks_only_the_write_key(shop: Path) -> None:
    assert findings(shop) == {"write key"}
    assert findings(shop, WINBACK_WRITE_KEY="k") == set()
    assert not (shop / "var").exists()


def test_every_finding_says_what_mends_it(tmp_path: Path) -> None:
    checks = found(
        tmp_path,
        DATABASE_URL="postgresql://shop:opensesame@127.0.0.1:1/shop",
        REDIS_URL="redis://:opensesame@127.0.0.1:1",
    )
    missing = [check for check in checks.values() if check.state == "finding"]
    assert {check.name for check in missing} == {
        "postgresql",
        "redis",
        "write key",
        "journeys",
        "templates",
    }
    assert all(check.mend for check in missing)
    assert "refused" in checks["postgresql"].says
    assert "opensesame" not in repr(checks)


def test_services_of_ones_own_are_reached(shop: Path, database_url: str, redis_url: str) -> None:
    checks = found(shop, DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert checks["postgresql"].says.startswith("yours, ")
    assert checks["redis"].says == "yours"
    # Several machines may share these, and each would make a secret of its own.
    assert checks["secret"].state == "note"
    assert "WINBACK_SECRET" in checks["secret"].mend
    same = found(shop, DATABASE_URL=database_url, WINBACK_SECRET="s" * 32)
    assert same["secret"].state == "ok"


def test_a_wrong_setting_is_the_first_thing_to_mend(shop: Path) -> None:
    checks = list(examine({"WINBACK_PORT": "eighty"}, shop))
    assert checks[-1].name == "settings"
    assert "WINBACK_PORT" in checks[-1].says


@pytest.mark.parametrize(
    ("providers", "env", "lacks"),
    [
        ("{email: sendgrid}", {}, "SENDGRID_API_KEY"),
        ("{email: sendgrid}", {"SENDGRID_API_KEY": "k"}, "SENDGRID_WEBHOOK_PUBLIC_KEY"),
        ("{sms: twilio}", {}, "TWILIO_ACCOUNT_SID"),
        ("{email: smtp}", {}, "WINBACK_SMTP_URL"),
    ],
)
def test_the_keys_of_the_chosen_providers(
    shop: Path, providers: str, env: dict[str, str], lacks: str
) -> None:
    configure(shop, providers)
    checks = found(shop, **env)
    channel = checks["channel " + providers[1:].partition(":")[0]]
    assert channel.state == "finding"
    assert lacks in channel.says + channel.mend
    # Whoever writes to real shoppers needs links that they can open.
    assert checks["public url"].state == "finding"


def test_a_provider_with_all_it_needs(shop: Path) -> None:
    configure(shop, "{email: smtp}")
    env = {
        "WINBACK_SMTP_URL": "smtp://mail.example:2525",
        "WINBACK_PUBLIC_URL": "https://shop.example",
    }
    checks = found(shop, **env)
    assert checks["channel email"] == Check("channel email", "ok", "smtp")
    assert checks["public url"].state == "ok"


def test_without_its_packages_it_says_only_that(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requires(name: str) -> list[str]:
        return ["click>=8.2", "winback-no-such[extra]>=1", 'pytest>=8; extra == "dev"']

    monkeypatch.setattr(_checks.metadata, "requires", requires)
    monkeypatch.setattr(_checks.metadata, "version", _version)
    checks = list(examine({}, shop))
    assert checks[-1] == Check("packages", "finding", "missing: winback-no-such", "make setup")


def _version(name: str) -> str:
    if name == "winback-no-such":
        raise _checks.metadata.PackageNotFoundError(name)
    return "1"


def test_a_broken_config_sends_one_to_lint(shop: Path) -> None:
    (shop / "config" / "winback.yaml").write_text("caps: [\n")
    check = found(shop)["config/winback.yaml"]
    assert (check.state, check.mend) == ("finding", "winback lint")


def test_fakeredis_and_no_browser_are_worth_a_note(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_services, "find_program", lambda: None)
    monkeypatch.setenv("PATH", str(shop))
    checks = found(shop)
    assert (checks["redis"].state, checks["browser"].state) == ("note", "note")
    assert checks["redis"].mend == "apt-get install redis-server"


def test_a_home_in_the_way_is_found(shop: Path) -> None:
    (shop / "var").write_text("a file")
    assert "state" in findings(shop)


def test_a_journey_that_raises_and_events_set_aside_are_told(shop: Path, database_url: str) -> None:
    env = {"DATABASE_URL": database_url, "WINBACK_WRITE_KEY": "k"}
    assert not {"journey cart", "events set aside"} & found(shop, **env).keys()
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into journey_failure values ('cart', 'v1', 'steps/3', 'TypeError', 'wake', 4,"
            " now(), now(), 'bad', 'filters.py:3 f', 7)"
        )
        connection.execute(
            "insert into enrollment (profile_id, id, journey, version, key, bucket, event_id,"
            " entered_at, status, at, reason, failing_since) values (7, gen_random_uuid(), 'cart',"
            " 'v1', '', 7, 'e', now(), 'active', 'steps/2', 'fails at steps/3: TypeError', now())"
        )
        connection.execute(
            "insert into rejected (received_at, source, reason, body)"
            " values (now(), 'drain', 'r', '{}')"
        )
    checks = found(shop, **env)
    cart = checks["journey cart"]
    assert cart.state == "finding" and "explain 7" in cart.mend
    assert "fails at steps/3: TypeError: bad (filters.py:3 f); 1 runs stand there" in cart.says
    assert checks["events set aside"].mend == "winback rejected"
    # Once none stands there any more it is over.
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from enrollment")
    assert "journey cart" not in found(shop, **env)


def test_for_people_and_for_programs(shop: Path) -> None:
    run = CliRunner(env={"WINBACK_WRITE_KEY": None})
    told = run.invoke(group, ["--project-dir", str(shop), "doctor"], standalone_mode=False)
    assert told.return_value == 1
    assert "MISSING" in told.output and "mend: export WINBACK_WRITE_KEY" in told.output
    told = run.invoke(
        group,
        ["--project-dir", str(shop), "doctor", "--json"],
        standalone_mode=False,
        env={"WINBACK_WRITE_KEY": "k"},
    )
    assert told.return_value == 0
    report = json.loads(told.output)
    assert report["findings"] == 0
    assert {"name", "state", "says", "mend"} == set(report["checks"][0])


def test_a_domain_is_looked_at_by_the_records_given(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "winback.yaml").write_text("shop: {email from: hi@shop.example}\n")
    zone = tmp_path / "zone.txt"
    zone.write_text('@ TXT "v=spf1 mx -all"\n@ MX 10 mail\n_dmarc TXT "v=DMARC1; p=none"\n')
    run = CliRunner().invoke(
        group,
        ["--project-dir", str(tmp_path), "doctor", "--json", "--domain", "--records", str(zone)],
        standalone_mode=False,
    )
    report = json.loads(run.stdout)
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert run.return_value == 1 and report["findings"] == 1, run.output
    assert states["domain"] == states["SPF"] == states["DMARC"] == "ok"
    assert states["DKIM"] == "finding" and states["alignment"] == "note"


def test_records_without_a_domain_are_a_mistake(tmp_path: Path) -> None:
    run = CliRunner().invoke(group, ["doctor", "--selector", "s1"])
    assert run.exit_code == 2 and "go with --domain" in run.output


def test_the_shops_own_mails_are_looked_at_too(shop: Path, tmp_path: Path) -> None:
    configure(shop, "{email: file}")
    zone = tmp_path / "zone.txt"
    zone.write_text("@ MX 10 mail\n")
    run = CliRunner().invoke(
        group,
        ["--project-dir", str(shop), "doctor", "--json", "--domain=shop.example",
         "--records", str(zone)],
        env={"WINBACK_PUBLIC_URL": "https://go.shop.example"},
    )  # fmt: skip
    said = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert said["mails"]["state"] == "ok"
    assert int(said["mails"]["says"].split()[0]) > 40


def test_a_list_at_a_platform_needs_its_key() -> None:
    policy, _ = load_policy("audiences: {meta/a: {list: 123}}")
    for env, state in (({}, "finding"), ({"META_ACCESS_TOKEN": "hush"}, "ok")):
        settings = Settings.from_environment({"WINBACK_SECRET": "x" * 20, **env})
        [check] = _services._ad_platforms(settings, policy)
        assert (check.name, check.state) == ("ads meta", state)
        assert "hush" not in repr(check)


def test_how_much_of_each_limit_is_used(shop: Path, database_url: str) -> None:
    (shop / "config" / "winback.yaml").write_text(
        "limits: {sendgrid: 100 per second, smtp: 3 per minute}\n"
    )
    unused = found(shop, DATABASE_URL=database_url)
    assert unused["limit smtp"].says == "3 per 1 minute: free"
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into sender_rate values ('smtp', extract(epoch from now()) + 500,"
            " extract(epoch from now()) + 600, '2026-03-02', 400)"
        )
    used = found(shop, DATABASE_URL=database_url)
    assert used["limit sendgrid"].says == "100 per 1 second: free"
    assert re.match(r"3 per 1 minute: full for (599|600)\.\d s", used["limit smtp"].says)
    assert used["limit smtp"].state == "note"


@pytest.mark.parametrize(
    ("day", "taken_on", "says", "state"),
    [
        (2, 2, "400 of today's 400 (100 %)", "note"),
        (3, 2, "0 of today's 800 (0 %)", "ok"),
        (3, 3, "400 of today's 800 (50 %)", "ok"),
        (31, 31, "400 today; it is warm", "ok"),
    ],
)
def test_how_much_of_a_warm_up_is_used(day: int, taken_on: int, says: str, state: str) -> None:
    policy, wrong = load_policy(
        "shop: {timezone: Asia/Karachi}\n"
        "warm up: {smtp: {from: 2026-03-01, first day: 200, doubling every: 1 day}}\n"
    )
    assert wrong == []
    used = {"smtp": Used("smtp", 0, 0, date(2026, 3, taken_on), 400)}
    # Nine in the evening in UTC: tomorrow, where the shop is.
    now = datetime(2026, 3, day - 1, 21, tzinfo=UTC)
    (check,) = _pace.usage(policy, used, now)
    assert (check.name, check.says, check.state) == ("warm up smtp", says, state)
