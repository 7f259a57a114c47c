"""Settings: what is read, what is refused and how, and that children read the same."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.settings import Settings


def settings(tmp_path: Path, **env: str) -> Settings:
    return Settings.from_environment(env, project_dir=tmp_path)


def test_nothing_set_means_embedded_and_local(tmp_path: Path) -> None:
    read = settings(tmp_path)
    assert read.database_url is None
    assert read.redis_url is None
    assert read.home == tmp_path / "var"
    assert (read.port, read.public_url) == (8080, "http://127.0.0.1:8080")
    assert read.sendgrid_base_url == "https://api.sendgrid.com"


def test_the_project_is_where_one_says_else_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, told, here = (tmp_path / name for name in ("said", "told", "here"))
    for directory in (said, told, here):
        directory.mkdir()
    monkeypatch.chdir(here)
    env = {"WINBACK_PROJECT_DIR": str(told)}
    assert Settings.from_environment(env, project_dir=said).project_dir == said
    assert Settings.from_environment(env).project_dir == told
    assert Settings.from_environment({}).project_dir == here


def test_home_is_relative_to_the_project_or_absolute(tmp_path: Path) -> None:
    assert settings(tmp_path, WINBACK_HOME="state").home == tmp_path / "state"
    elsewhere = tmp_path / "elsewhere"
    assert settings(tmp_path, WINBACK_HOME=str(elsewhere)).home == elsewhere


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("WINBACK_PORT", "eighty", "a number from 1 to 65535"),
        ("WINBACK_PORT", "0", "a number from 1 to 65535"),
        ("WINBACK_PORT", "²", "a number from 1 to 65535"),
        ("WINBACK_WORKERS", "-1", "a number from 1 to 256"),
        ("WINBACK_PUBLIC_URL", "shop.example", "set it to something like http"),
        ("WINBACK_PUBLIC_URL", "ftp://shop.example", "set it to something like http"),
        ("SENDGRID_BASE_URL", "http://[broken", "correct it"),
        ("TWILIO_BASE_URL", "http://host:notaport", "correct it"),
        ("DATABASE_URL", "mysql://localhost/shop", "begin with postgresql://"),
        ("REDIS_URL", "localhost:6379", "begin with redis://"),
        ("WINBACK_CLOCK", "fast", "SPEED@ORIGIN"),
        ("WINBACK_CLOCK", "600@yesterday", "SPEED@ORIGIN"),
        ("WINBACK_CLOCK", "600@2026-01-01T00:00:00", "SPEED@ORIGIN"),
        ("WINBACK_CLOCK", "-1@2026-01-01T00:00:00+00:00", "SPEED@ORIGIN"),
        ("WINBACK_SMTP_URL", "mail.example:25", "smtp://"),
        ("WINBACK_SMTP_URL", "smtp://mail.example?tls=maybe", "smtp://"),
        ("WINBACK_SECRET", "short", "longer"),
    ],
)
def test_an_unusable_value_is_named_with_what_to_do(
    tmp_path: Path, name: str, value: str, advice: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, **{name: value})
    assert name in str(refused.value)
    assert advice in str(refused.value)


def test_a_refused_address_does_not_show_its_password(tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "WINBACK_SMTP_URL"):
        for url in (
            "ldap://u:opensesame@host",
            "ldap://u:opensesame@host:port",
            "ldap://[opensesame",
        ):
            with pytest.raises(ConfigError) as refused:
                settings(tmp_path, **{name: url})
            assert "opensesame" not in str(refused.value)


def test_a_missing_project_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--project-dir"):
        settings(tmp_path / "nowhere")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    read = settings(
        tmp_path,
        WINBACK_WRITE_KEY="k-opensesame",
        WINBACK_SECRET="s-opensesame-0123456789",
        DATABASE_URL="postgresql://u:opensesame@h/d",
        REDIS_URL="redis://:opensesame@h",
        SENDGRID_API_KEY="opensesame",
        TWILIO_AUTH_TOKEN="opensesame",
        WINBACK_SMTP_URL="smtp://u:opensesame@h",
    )
    assert "opensesame" not in repr(read)


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    first = settings(tmp_path).secret
    assert len(first) >= 32
    assert settings(tmp_path).secret == first
    file = tmp_path / "var" / "secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secret"]
    assert settings(tmp_path, WINBACK_SECRET="x" * 40).secret == "x" * 40


def _read_secret(project: Path) -> str:
    return Settings.from_environment({}, project_dir=project).secret


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_read_secret, [tmp_path] * 16, chunksize=1))) == 1


def test_a_secret_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file, not a directory")
    with pytest.raises(ConfigError, match="WINBACK_HOME"):
        settings(tmp_path)


def test_an_empty_secret_file_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secret").write_text("\n")
    with pytest.raises(ConfigError, match="delete it"):
        settings(tmp_path)


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://u%40x:p%3A%2F@mail.example:587", 587, "starttls"),
        ("smtp://u%40x:p%3A%2F@mail.example", 25, ""),
        ("smtp://u%40x:p%3A%2F@mail.example:587?tls=none", 587, ""),
        ("smtp://u%40x:p%3A%2F@mail.example:2525?tls=starttls", 2525, "starttls"),
        ("smtps://u%40x:p%3A%2F@mail.example", 465, "tls"),
    ],
)
def test_the_mail_server_is_one_address(tmp_path: Path, url: str, port: int, tls: str) -> None:
    read = settings(tmp_path, WINBACK_SMTP_URL=url)
    assert (read.smtp_host, read.smtp_port, read.smtp_tls) == ("mail.example", port, tls)
    assert (read.smtp_user, read.smtp_password) == ("u@x", "p:/")


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    write_key=text,
    user=text.filter(bool),
    password=text,
    host=st.sampled_from(["mail.example", "127.0.0.1", "::1"]),
    port=st.integers(1, 65535),
    tls=st.sampled_from(["", "starttls", "tls"]),
    database=st.sampled_from([None, "postgresql://postgres:@/x?host=/run/y"]),
)
def test_children_read_what_their_supervisor_says(
    write_key: str,
    user: str,
    password: str,
    host: str,
    port: int,
    tls: str,
    database: str | None,
) -> None:
    said = Settings(
        project_dir=Path.cwd().resolve(),
        home=Path("/nowhere/var"),
        port=port,
        public_url="https://shop.example/winback",
        clock="600@2026-01-31T10:00:00+00:00",
        write_key=write_key,
        secret="s" * 32,
        database_url=database,
        redis_url="unix:///run/redis.sock?db=0",
        smtp_host=host,
        smtp_port=port,
        smtp_user=user,
        smtp_password=password,
        smtp_tls=tls,
    )
    assert Settings.from_environment(said.to_environment()) == said
