"""The mailbox on this machine."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.channels import file as file_module
from engine.channels.file import FileChannel, find_letter, read_mailbox
from engine.errors import DeliveryError
from tests.contract.conftest import SENT, an_email, an_sms


@pytest.fixture
def channel(tmp_path: Path) -> FileChannel:
    return FileChannel(tmp_path / "mailbox", lambda: SENT)


def names(home: Path) -> list[str]:
    return sorted(os.listdir(home / "mailbox"))


def test_mail_and_text_lie_side_by_side(channel: FileChannel, tmp_path: Path) -> None:
    mail = channel.send(an_email(1, subject="آداب", text="سلام\n", html="<p>سلام</p>"))
    text = channel.send(an_sms(2, body="नमस्ते", segments=1, encoding="UCS-2"))
    assert names(tmp_path) == [mail.reference, text.reference]
    os.utime(tmp_path / "mailbox" / mail.reference, (1, 1))
    sms, letter = read_mailbox(tmp_path)
    assert (letter.kind, letter.subject, letter.text.strip(), letter.html.strip()) == (
        "email", "آداب", "سلام", "<p>سلام</p>",
    )  # fmt: skip
    assert (letter.to, letter.sent, letter.copy) == ("shopper1@example.com", SENT, 1)
    assert letter.headers["List-Unsubscribe"].startswith("<https://")
    assert (sms.kind, sms.text, sms.to) == ("sms", "नमस्ते", "+14155550002")
    assert read_mailbox(tmp_path, 1) == [sms]
    assert find_letter(tmp_path, mail.reference) == letter
    assert find_letter(tmp_path, "../mailbox/" + mail.reference) is None
    assert find_letter(tmp_path, "gone.eml") is None


def test_a_message_sent_twice_is_there_twice(channel: FileChannel, tmp_path: Path) -> None:
    for _ in range(3):
        channel.send(an_email(7))
    assert sorted(letter.copy for letter in read_mailbox(tmp_path)) == [1, 2, 3]
    assert {letter.message_id for letter in read_mailbox(tmp_path)} == {an_email(7).message_id}


def test_it_is_for_its_owner_only(channel: FileChannel, tmp_path: Path) -> None:
    channel.send(an_email())
    assert stat.S_IMODE((tmp_path / "mailbox").stat().st_mode) == 0o700


def test_an_id_cannot_leave_the_folder(channel: FileChannel, tmp_path: Path) -> None:
    channel.send(an_sms(message_id="../../evil"))
    assert names(tmp_path) == ["______evil.json"]


class _FullDisk:
    """A file that takes half of what is written and then finds the disk full."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file = open(path, mode)  # noqa: SIM115

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_half_message(
    channel: FileChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "open", _FullDisk, raising=False)
    with pytest.raises(DeliveryError, match="No space left") as refused:
        channel.send(an_email())
    assert not refused.value.permanent and refused.value.retry_after
    assert names(tmp_path) == []
    monkeypatch.undo()
    channel.send(an_email())
    assert len(read_mailbox(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "mailbox").write_text("a file stands in its place")
    with pytest.raises(DeliveryError, match="cannot be written to") as refused:
        FileChannel(tmp_path / "mailbox", lambda: SENT).send(an_email())
    assert not refused.value.permanent


def test_what_is_no_message_is_not_shown(
    channel: FileChannel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_mailbox(tmp_path) == []
    channel.send(an_sms())
    (tmp_path / "mailbox" / ".half").write_bytes(b"x")
    (tmp_path / "mailbox" / "notes.txt").write_bytes(b"x")
    (tmp_path / "mailbox" / "torn.json").write_bytes(b'{"message_id"')
    assert len(read_mailbox(tmp_path)) == 1
    assert "torn.json" in caplog.text


def test_it_is_opened_from_the_settings(tmp_path: Path) -> None:
    from engine.channels import open_channel
    from engine.errors import ConfigError
    from engine.settings import Settings

    settings: Any = Settings(project_dir=tmp_path, home=tmp_path / "var")
    open_channel("file", settings, lambda: SENT).send(an_email())
    assert len(read_mailbox(tmp_path / "var")) == 1
    for provider, missing in (
        ("sendgrid", "SENDGRID_API_KEY"),
        ("twilio", "TWILIO_ACCOUNT_SID"),
        ("smtp", "WINBACK_SMTP_URL"),
        ("pigeon", "file, smtp, sendgrid, twilio"),
    ):
        with pytest.raises(ConfigError, match=missing):
            open_channel(provider, settings, lambda: SENT)
