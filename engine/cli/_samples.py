"""The messages that the shop's journeys send, rendered for somebody who does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from engine.cli._sample_message import sample_message
from engine.errors import ConfigError, RenderError
from engine.language import load_journeys, load_policy
from engine.model.journey import Journey, Send
from engine.model.message import Rendered
from engine.rendering import Renderer
from engine.testing import samples


@dataclass(frozen=True, slots=True)
class Sample:
    """One message in one language. ``error``: why there is none."""

    template: str
    channel: str
    locale: str
    rendered: Rendered | None
    marketing: bool = True
    error: str = ""

    @property
    def name(self) -> str:
        return f"{self.template}.{self.channel}.{self.locale}"


class Samples:
    """Renders what the project in ``folder`` sends.

    Raises ``ConfigError`` where its rules cannot be read.
    """

    def __init__(self, folder: Path, *, public_url: str, secret: str) -> None:
        self.folder = folder
        self.policy, findings = load_policy(folder / "config" / "winback.yaml")
        if any(finding.severity == "error" for finding in findings):
            raise ConfigError("config/winback.yaml has errors: run winback lint.")
        self._templates = folder / "templates"
        self._renderer = Renderer(
            self._templates, self.policy, public_url=public_url, secret=secret
        )
        found = load_journeys(
            folder / "journeys", policy=self.policy, templates=self._templates
        ).journeys
        self._sends: dict[tuple[str, str], tuple[Journey, Send]] = {}
        for journey in found.values():
            for step in journey.steps.values():
                if isinstance(step, Send):
                    self._sends.setdefault((step.template, step.channel), (journey, step))

    def all(
        self, template: str | None = None, channel: str | None = None, locale: str | None = None
    ) -> Iterator[Sample]:
        """Every message in every language it has, or those that are asked for.

        Raises ``RenderError`` for a template that is not there.
        """
        for name in [template] if template else self._names():
            # One that is not there says so itself.
            channels = [channel] if channel else self._channels(name) or ["email"]
            for each in channels:
                tags = [locale] if locale else sorted(self._renderer.locales(name, each))
                for tag in tags:
                    yield self.one(name, each, tag)

    def one(
        self,
        template: str,
        channel: str,
        locale: str,
        traits: dict[str, Any] | None = None,
        event: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Sample:
        """One message, for the sample shopper who reads ``locale`` or for somebody's ``traits``
        and ``event``."""
        journey, step = self._sends.get((template, channel), (None, None))
        topic = self.policy.topics.get(step.topic if step else "offers")
        marketing = topic is None or topic.consent != "none"
        message = sample_message(template, channel, journey, step, datetime.now(UTC))
        message = msgspec.structs.replace(message, **changes)
        known = samples.shopper(locale) if traits is None else {**traits, "locale": locale}
        about = event
        if about is None:
            about = {**samples.event(locale, self.policy.shop), "channel": channel}
        try:
            rendered = self._renderer.render(message, known, about, "sample-1")
        except RenderError as error:
            return Sample(template, channel, locale, None, marketing, str(error))
        return Sample(template, channel, locale, rendered, marketing)

    def _names(self) -> list[str]:
        return sorted(
            place.name
            for place in self._templates.iterdir()
            if place.is_dir() and not place.name.startswith((".", "_"))
        )

    def _channels(self, template: str) -> list[str]:
        found = {path.name.split(".")[0] for path in (self._templates / template).glob("*.*")}
        return [channel for channel in ("email", "sms", "whatsapp") if channel in found]
