"""The embedded PostgreSQL and Redis: real, tuned, and gone with whoever started them."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from engine.embedded import redis as embedded_redis
from engine.embedded.places import SOCKET_PATH_BYTES, fit_for, open_way_to, socket_dir
from engine.embedded.postgres import EmbeddedPostgres, temporary_postgres
from engine.embedded.redis import EmbeddedRedis, temporary_redis
from engine.errors import WinbackError

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """A zombie that init has yet to reap is gone too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ask(url: str, query: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return str(row[0])


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's tmp_path: its parents are closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="winback-test-") as path:
        yield Path(path)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home / "postgres")
    try:
        server.start()
        yield server
    finally:
        server.stop(immediate=True)


def test_postgres_is_durable_and_tuned(server: EmbeddedPostgres) -> None:
    assert int(ask(server.url, "show server_version_num")) >= 150000
    for name, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_wal_size": "4GB",
        "jit": "off",
        "timezone": "UTC",
        "server_encoding": "UTF8",
        "listen_addresses": "",
    }.items():
        assert ask(server.url, f"show {name}") == value, name


def test_nobody_else_reaches_its_socket_or_data(server: EmbeddedPostgres) -> None:
    for path in (server.data, Path(ask(server.url, "show unix_socket_directories"))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_was_committed_survives_a_crash(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("create table kept as select 42 as n")
    server.stop(immediate=True)
    assert not server.running()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)
    server.start()
    assert ask(server.url, "select n from kept") == "42"


def test_starting_and_stopping_twice_is_once(server: EmbeddedPostgres) -> None:
    assert server.process is not None
    pid = server.process.pid
    server.start()
    assert server.process.pid == pid
    server.stop()
    server.stop()
    until(lambda: gone(pid))


def test_an_interrupted_initdb_is_begun_anew(home: Path) -> None:
    data = home / "postgres"
    (data / "base").mkdir(parents=True)
    (data / "half").write_text("written")
    server = EmbeddedPostgres(data, durable=False)
    try:
        server.start()
        assert ask(server.url, "select 1") == "1"
    finally:
        server.stop(immediate=True)


def test_a_stale_pid_file_is_no_hindrance(home: Path) -> None:
    server = EmbeddedPostgres(home / "postgres", durable=False)
    try:
        server.start()
        server.stop(immediate=True)
        pid_file = server.data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        # The number has been given to somebody else meanwhile: to this very test.
        pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
        server.start()
        assert ask(server.url, "select 1") == "1"
    finally:
        server.stop(immediate=True)


def test_a_server_that_was_left_behind_is_taken_over(server: EmbeddedPostgres) -> None:
    assert server.process is not None
    left = server.process.pid
    heir = EmbeddedPostgres(server.data)
    try:
        heir.start()
        assert heir.process is not None
        until(lambda: gone(left))
        assert ask(heir.url, "select 1") == "1"
    finally:
        heir.stop(immediate=True)


def test_a_home_too_deep_for_a_socket_works(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 60)
    postgres = EmbeddedPostgres(deep / "postgres", durable=False)
    store = EmbeddedRedis(deep)
    try:
        postgres.start()
        store.start()
        assert ask(postgres.url, "select 1") == "1"
        with redis.Redis.from_url(store.url) as client:
            assert client.ping()
    finally:
        postgres.stop()
        store.stop()
    assert not socket_dir(deep.resolve() / "postgres", ".s.PGSQL.5432").exists()


def test_sockets_of_different_homes_never_meet() -> None:
    near = socket_dir(Path("/srv/winback/postgres"), "s")
    assert near == Path("/srv/winback/run/postgres")
    one, other = (socket_dir(Path("/") / (c * 100) / "postgres", "s") for c in "ab")
    assert one != other
    assert len(os.fsencode(one / "s")) <= SOCKET_PATH_BYTES


def test_a_failure_shows_what_the_server_said(home: Path) -> None:
    server = EmbeddedPostgres(home / "postgres", durable=False)
    try:
        server.start()
        server.stop()
        with (server.data / "postgresql.conf").open("a") as file:
            file.write("no_such_setting = 1\n")
        with pytest.raises(WinbackError, match="no_such_setting"):
            server.start()
    finally:
        server.stop(immediate=True)


def test_a_directory_of_somebody_else_is_not_trusted(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(home, 12345, 12345)
    with pytest.raises(WinbackError, match="another user"):
        fit_for("", home)


def test_the_way_is_opened_for_passing_not_for_looking(home: Path) -> None:
    closed = home / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    closed.chmod(0o700)
    open_way_to(inner)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701


def test_a_temporary_server_leaves_nothing() -> None:
    with temporary_postgres() as server, temporary_redis() as store:
        assert server.process is not None and store.process is not None
        pids = [server.process.pid, store.process.pid]
        places = [server.data.parent, store.log.parent]
        assert ask(server.url, "show fsync") == "off"
    for pid in pids:
        until(lambda pid=pid: gone(pid))
    assert not any(place.exists() for place in places)


OWNER = """
import sys, pathlib
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.redis import EmbeddedRedis
home = pathlib.Path(sys.argv[1])
postgres, store = EmbeddedPostgres(home / "postgres", durable=False), EmbeddedRedis(home)
postgres.start()
store.start()
print(postgres.process.pid, store.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_both_die_with_an_owner_that_is_killed(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        owner.send_signal(signal.SIGKILL)
    for pid in pids:
        until(lambda pid=pid: gone(pid))


def python_for(uid: int) -> str:
    """A Python that the user may run: ours, or the system's of the same version, which is given
    our packages. Where /root holds the only one, there is none to try with."""
    for python in (sys.executable, "/usr/bin/python3"):
        check = "import sys; print(*sys.version_info[:2])"
        try:
            said = subprocess.check_output([python, "-c", check], user=uid, text=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        if said.split() == [str(part) for part in sys.version_info[:2]]:
            return python
    pytest.skip("an ordinary user of this machine cannot run this Python")


ALONE = """
import sys, pathlib
from engine.embedded.postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False)
postgres.start()
postgres.stop()
"""


def test_as_an_ordinary_user(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("this whole run is one")
    nobody = pwd.getpwnam("nobody")
    uid = nobody.pw_uid
    os.chown(home, uid, nobody.pw_gid)
    packages = str(Path(psycopg.__file__).parents[1])
    run = subprocess.run(
        [python_for(uid), "-c", ALONE, str(home / "postgres")],
        user=uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd=home,
        env={
            "PYTHONPATH": f"{ROOT}:{packages}",
            "HOME": str(home),
            "PATH": os.environ["PATH"],
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert (home / "postgres" / "PG_VERSION").stat().st_uid == uid


def test_redis_keeps_nothing_on_disk(home: Path) -> None:
    store = EmbeddedRedis(home)
    try:
        store.start()
        with redis.Redis.from_url(store.url) as client:
            client.set("a", "b")
        store.stop()
        store.start()
        with redis.Redis.from_url(store.url) as client:
            assert client.dbsize() == 0
        names = {path.name for path in home.rglob("*") if path.is_file()}
        assert names == {"redis.log"}
    finally:
        store.stop(immediate=True)


def test_a_redis_on_the_path_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "valkey-server"
    program.write_text("#!/bin/sh\necho cannot bind >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    assert embedded_redis.find_program() == program
    with pytest.raises(WinbackError, match=r"valkey-server\) did not start:\ncannot bind"):
        EmbeddedRedis(home / "h").start()


def test_fakeredis_stands_in_and_carries_jobs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("lupa", reason="fakeredis runs RQ's scripts only with lupa")
    monkeypatch.setattr(embedded_redis, "find_program", lambda: None)
    script = (
        "import sys, redis, rq; from rq.serializers import JSONSerializer as j;"
        "c = redis.Redis.from_url(sys.argv[1]); q = rq.Queue('q', connection=c, serializer=j);"
        "q.enqueue('os.getpid', job_id='one', unique=True);"
        "rq.SimpleWorker([q], connection=c, serializer=j).work(burst=True);"
        "print(q.finished_job_registry.count, 'done'); c.close()"
    )
    with temporary_redis() as store:
        assert store.kind == "fakeredis"
        assert "apt-get install redis-server" in caplog.text
        run = subprocess.run(
            [sys.executable, "-c", script, store.url], capture_output=True, text=True
        )
    assert run.stdout.endswith("1 done\n"), run.stderr
