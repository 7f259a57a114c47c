"""How long text messages become when somebody gets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine.cli._sample_message import sample_message
from engine.errors import RenderError
from engine.language.report import Place, Report
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey, Send
from engine.model.message import Sms
from engine.model.policy import Policy
from engine.rendering import Renderer
from engine.testing import samples

#: As long as most: a short link is this and a code of eight letters.
_PUBLIC = "https://go.shop.example"
_AT = datetime(2026, 9, 30, tzinfo=UTC)


def too_long(
    folder: Path, template: str, policy: Policy, sends: Sequence[tuple[Journey, Send]]
) -> Iterator[Diagnostic]:
    """The languages in which a text message, with usual values in it, needs more segments than
    the shop wants to pay for. One that cannot be rendered is reported by others."""
    renderer = Renderer(folder, policy, public_url=_PUBLIC, secret="-" * 32)
    try:
        languages = sorted(renderer.locales(template, "sms"))
    except RenderError:
        return
    journey, step = sends[0] if sends else (None, None)
    for locale in languages:
        try:
            made = renderer.render(
                sample_message(template, "sms", journey, step, _AT),
                {**samples.shopper(locale), "locale": locale},
                samples.event(locale, policy.shop),
                "sample-1",
            )
        except RenderError:
            continue
        assert isinstance(made, Sms)
        most = policy.sms.max_segments
        if made.segments > most:
            name = f"sms.{locale}.txt"
            place = folder / template / (name if (folder / template / name).exists() else "sms.txt")
            report = Report(str(place))
            many = f"{made.segments} segments ({made.encoding})"
            report.add(
                "T005",
                Place(1, 1),
                f"a message of {many}, with usual values in it",
                f"make it shorter: at most {most}, by 'max segments' in config/winback.yaml",
            )
            yield from report.diagnostics()
