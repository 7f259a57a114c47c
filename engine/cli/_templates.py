"""What is wrong with the templates that journeys send."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from engine.cli._texts import too_long
from engine.core.together import jump_sources
from engine.language.context import CHANNELS
from engine.language.events import FIELDS
from engine.language.fields import did_you_mean
from engine.language.report import Place, Report
from engine.language.ways import soonest
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey, OfferStep, Send
from engine.model.policy import Policy, Shop
from engine.rendering import Renderer
from engine.rendering.names import VARIABLES, Use, uses, uses_of
from engine.rendering.pictures import lacking

_SHOP = frozenset(field.name for field in fields(Shop))

_Sent = list[tuple[Journey, Send]]


def check_templates(
    folder: Path, policy: Policy, journeys: Mapping[str, Journey], *, all_of_them: bool
) -> list[Diagnostic]:
    """Findings about the templates that ``journeys`` send; ``all_of_them``: and all others in
    ``folder``. A template that is missing is a finding about the journey, which has it already."""
    sent: dict[tuple[str, str], _Sent] = defaultdict(list)
    for journey in journeys.values():
        for step in journey.steps.values():
            if isinstance(step, Send):
                sent[step.template, step.channel].append((journey, step))
    if all_of_them and folder.is_dir():
        for place in folder.iterdir():
            if place.is_dir() and not place.name.startswith((".", "_")):
                for channel in CHANNELS:
                    sent[place.name, channel] += []
    # Nothing is rendered here, so no link is made that this would sign.
    renderer = Renderer(folder, policy, public_url="http://localhost", secret="-" * 32)
    events = _events(journeys)
    found: dict[Diagnostic, None] = {}
    for (template, channel), sends in sorted(sent.items(), key=lambda item: item[0]):
        if not any((folder / template).glob(f"{channel}.*")):
            continue
        wrong = [
            _placed(folder, template, finding) for finding in renderer.check(template, channel)
        ]
        found.update(dict.fromkeys(wrong))
        # What a WhatsApp template says is at the provider; here are only its variables.
        known = not wrong and channel != "whatsapp"
        whole = uses_of(renderer.parts(template, channel)) if known else None
        for use in uses(folder, template, channel) if whole is None else whole:
            found.update(dict.fromkeys(_about(folder, use, sends, events)))
        if channel == "sms":
            found.update(dict.fromkeys(too_long(folder, template, policy, sends)))
        elif channel == "email":
            found.update(dict.fromkeys(_pictures(folder, template)))
    return sorted(found)


def _pictures(folder: Path, template: str) -> list[Diagnostic]:
    found = []
    for file, line, column, what in lacking(folder, template):
        report = Report(str(folder / file))
        code, hint = ("T006", 'write alt="…"') if what == "alt" else ("T007", 'write width="280"')
        report.add(code, Place(line, column), f"a picture without '{what}'", hint)
        found += report.diagnostics()
    return found


def _placed(folder: Path, template: str, finding: Diagnostic) -> Diagnostic:
    """The same finding with its file as the journeys' are told: from where the person stands."""
    below = finding.file.removeprefix(f"{folder.name}/") if finding.code == "T002" else template
    report = Report(str(folder / below))
    report.add(finding.code, Place(finding.line, finding.column), finding.message, finding.hint)
    return report.diagnostics()[0]


def _events(journeys: Mapping[str, Journey]) -> dict[str, set[str]]:
    """The events that a run can be about, by journey: a jump brings its own along."""
    return {
        name: {journeys[one].trigger.event for one in (name, *sources)}
        for name, sources in jump_sources(journeys).items()
    }


def _about(
    folder: Path, use: Use, sends: _Sent, events: Mapping[str, set[str]]
) -> Iterable[Diagnostic]:
    file = folder / use.file
    report = Report(str(file))
    written = f"{use.holder}.{use.name}" if use.name else use.holder
    names = sorted({journey.name for journey, _ in sends})
    if use.holder not in VARIABLES:
        _add(report, file, use, "T003", f"no template knows '{use.holder}'", VARIABLES)
    elif use.holder == "shop" and use.name and use.name not in _SHOP:
        _add(report, file, use, "T003", f"the shop has no '{use.name}'", _SHOP)
    elif use.holder == "event" and use.name and sends:
        about = {event for name in names for event in events[name]}
        known = {field for event in about for field in FIELDS.get(event, {use.name})}
        if use.name not in known:
            message = f"'{written}': no event that starts {_and(names)} carries it"
            _add(report, file, use, "T003", message, known)
    elif use.holder == "offer" and use.name:
        lacking = sorted({j.name for j, step in sends if use.name not in _offered(j, step)})
        if lacking:
            known = {part for journey, step in sends for part in _offered(journey, step)}
            message = f"'{written}': no offer before this message in {_and(lacking)} has it"
            _add(report, file, use, "T004", message, known)
    return report.diagnostics()


_OWN_CODE = frozenset({"coupon", "code"})
_OF_A_POOL = _OWN_CODE | {"pool"}


def _offered(journey: Journey, send: Send) -> set[str]:
    """What the template can see of an offer: of the message's own and of those before it."""
    parts = {*send.offer, *({"ends_at"} if "valid" in send.offer else ())}
    parts |= _OWN_CODE if send.generate else set()
    parts |= _OF_A_POOL if send.pool else set()
    for step in journey.steps.values():
        if isinstance(step, OfferStep) and send.path in soonest(journey, step):
            parts |= set(step.terms)
            parts |= _OWN_CODE if step.generate else set()
            parts |= _OF_A_POOL if step.pool else set()
            parts |= {"code"} if "coupon" in step.terms else set()
            parts |= set() if step.valid is None else {"ends_at"}
    return parts


def _and(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > 3:
        quoted = [*quoted[:2], f"{len(quoted) - 2} more"]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def _add(
    report: Report, file: Path, use: Use, code: str, message: str, known: Iterable[str]
) -> None:
    word = use.holder if use.holder not in VARIABLES else use.name
    otherwise = "put it into {% if … %}, or write what to print instead: | default('…')"
    hint = did_you_mean(word, known, otherwise=otherwise)
    report.add(code, Place(max(use.line, 1), _column(file, use)), message, hint)


def _column(file: Path, use: Use) -> int:
    """Where in its line the value is written; 1 where that cannot be told."""
    pattern = rf"\b{re.escape(use.holder)}\b"
    if use.name:
        pattern += rf"\s*(?:\.\s*|\[\s*['\"]){re.escape(use.name)}\b"
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    found = re.search(pattern, lines[use.line - 1]) if 0 < use.line <= len(lines) else None
    return found.start() + 1 if found else 1
