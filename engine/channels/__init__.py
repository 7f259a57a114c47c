"""One file per message provider: send, verify its callbacks, parse them.

To add a provider: its file, one line here, its recorded callbacks under tests. A provider's
module has a channel class with ``from_settings(settings, now)`` and ``send``. Where the
provider reports back it also has ``verify(headers, raw_body, url, settings) -> bool`` and
``parse(raw_body, url, received_at) -> list[Event]``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import cast

from engine.channels.base import ChannelSettings, Receiver
from engine.errors import ConfigError
from engine.ports import Channel

#: provider -> channel class. Loaded when used: the twilio package alone is 50 MB.
PROVIDERS: dict[str, str] = {
    "file": "engine.channels.file:FileChannel",
    "smtp": "engine.channels.smtp:SmtpChannel",
    "sendgrid": "engine.channels.sendgrid:SendGridChannel",
    "twilio": "engine.channels.twilio:TwilioChannel",
    "webhook": "engine.channels.webhook:WebhookChannel",
}

#: Providers that report back, at ``/callbacks/<provider>``.
RECEIVERS: tuple[str, ...] = ("sendgrid", "twilio")


def open_channel(provider: str, settings: ChannelSettings, now: Callable[[], datetime]) -> Channel:
    """The channel of ``provider``, ready to send. ``now`` gives the time for a mail's Date.

    Raises ``ConfigError`` for an unknown provider or a setting that it lacks.
    """
    if provider not in PROVIDERS:
        raise ConfigError(f"There is no provider {provider!r}: use one of {', '.join(PROVIDERS)}.")
    place = PROVIDERS[provider]
    if provider == "sendgrid" and settings.sendgrid_activity:
        place = "engine.channels.sendgrid_activity:SendGridWithActivity"
    module, _, name = place.partition(":")
    made: Channel = getattr(import_module(module), name).from_settings(settings, now)
    return made


def open_receiver(provider: str) -> Receiver:
    """What verifies and parses the callbacks of ``provider`` (one of ``RECEIVERS``)."""
    return cast(Receiver, import_module(PROVIDERS[provider].partition(":")[0]))


def find_receiver(provider: str) -> Receiver | None:
    """The same for a name that anybody may have made up; None where no such provider reports.
    Loaded at its first post: a web process that gets none does not carry the providers' packages
    (14 MB)."""
    return open_receiver(provider) if provider in RECEIVERS else None
