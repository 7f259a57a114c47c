"""A simulator as a process of its own, as benchmarks use it."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from engine.channels.sendgrid import SendGridChannel
from engine.channels.smtp import SmtpChannel
from engine.channels.twilio import TwilioChannel
from engine.testing.twilio import TwilioSimulator
from tests.contract.conftest import SENT, an_email, an_sms


@pytest.mark.parametrize("provider", ["sendgrid", "twilio", "smtp"])
def test_it_says_where_it_is_serves_and_counts(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ["--tls"] if provider == "sendgrid" else []
    with subprocess.Popen(
        [sys.executable, "-m", "engine.testing.serve", provider, *tls],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        place = json.loads(process.stdout.readline())
        url = place["url"]
        if tls:
            monkeypatch.setenv("SSL_CERT_FILE", place["ca_file"])
        if provider == "smtp":
            smtp = SmtpChannel("127.0.0.1", urlsplit(url).port or 0, lambda: SENT)
            smtp.send(an_email())
            smtp.close()
        elif provider == "sendgrid":
            sendgrid = SendGridChannel("SG.key", url)
            sendgrid.send(an_email())
            sendgrid.close()
        else:
            known = TwilioSimulator
            twilio = TwilioChannel(known.account, known.token, url)
            twilio.send(an_sms())
            twilio.close()
        output, _ = process.communicate("", timeout=20)
    assert json.loads(output) == {"count": 1}
    assert process.returncode == 0
