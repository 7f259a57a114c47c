"""A page that shows messages as their readers will see them, and what is to be said of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from engine.cli._samples import Sample
from engine.model.check import Check
from engine.model.message import Email, Sms, WhatsApp

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: 2.5rem 0 .3rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0 }
dt { opacity: .65 } dd { margin: 0 }
.screens { display: flex; gap: 1rem; align-items: flex-start; flex-wrap: wrap; margin-top: .7rem }
iframe { border: 1px solid var(--line); border-radius: 8px; background: #fff; height: 640px }
.phone { width: 390px } .desktop { flex: 1 1 600px; min-width: 0 }
.bubble { max-width: 340px; padding: .7rem 1rem; border-radius: 16px; background: var(--soft);
  white-space: pre-wrap; overflow-wrap: anywhere }
pre { white-space: pre-wrap; background: var(--soft); padding: .8rem; border-radius: 8px }
.finding { color: #c22 } .note { opacity: .75 } .ok { color: #2a8 }
nav a { margin-right: 1rem; white-space: nowrap }
"""

_NO_SENDER = "nobody yet: write 'sms from' in config/winback.yaml"


def gallery(shown: Sequence[tuple[Sample, Sequence[Check]]]) -> str:
    """One HTML document. The mails themselves are files beside it, named like the sample."""
    parts = "".join(_part(sample, checks) for sample, checks in shown)
    names = "".join(f'<a href="#{_id(s)}">{escape(s.name)}</a> ' for s, _ in shown)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Messages of this shop</title><style>{_STYLE}</style></head><body>"
        f"<h1>Messages of this shop</h1><nav>{names}</nav>{parts}</body></html>"
    )


def _part(sample: Sample, checks: Iterable[Check]) -> str:
    rendered = sample.rendered
    if isinstance(rendered, Email):
        body = _mail(sample, rendered)
    elif isinstance(rendered, Sms):
        body = _text(sample, rendered)
    elif isinstance(rendered, WhatsApp):
        words = rendered.body or "\n".join(rendered.variables.values())
        lang = escape(sample.locale)
        body = f'<div class="bubble" lang="{lang}" dir="auto">{escape(words)}</div>'
    else:
        body = f'<p class="finding">{escape(sample.error)}</p>'
    said = "".join(
        f'<li class="{check.state}">{escape(check.name)}: {escape(check.says)}'
        f"{f' ({escape(check.mend)})' if check.mend else ''}</li>"
        for check in checks
    )
    return f'<h2 id="{_id(sample)}">{escape(sample.name)}</h2>{body}<ul>{said}</ul>'


def _mail(sample: Sample, mail: Email) -> str:
    name = escape(sample.name)
    return (
        f"<dl><dt>From</dt><dd>{escape(mail.from_name)} &lt;{escape(mail.from_address)}&gt;</dd>"
        f'<dt>Subject</dt><dd dir="auto">{escape(mail.subject)}</dd>'
        f"<dt>Size</dt><dd>{len(mail.html.encode()) / 1024:.1f} KB</dd></dl>"
        '<div class="screens">'
        f'<iframe class="phone" sandbox src="{name}.html" title="on a phone"></iframe>'
        f'<iframe class="desktop" sandbox src="{name}.html" title="on a desk"></iframe></div>'
        f'<details><summary>Plain text</summary><pre dir="auto">{escape(mail.text)}</pre></details>'
    )


def _text(sample: Sample, text: Sms) -> str:
    parts = "1 part" if text.segments == 1 else f"{text.segments} parts"
    return (
        f"<dl><dt>From</dt><dd>{escape(text.sender or _NO_SENDER)}</dd><dt>Billed as</dt>"
        f"<dd>{parts}, {escape(text.encoding)}</dd></dl>"
        f'<div class="bubble" lang="{escape(sample.locale)}" dir="auto">{escape(text.body)}</div>'
    )


def _id(sample: Sample) -> str:
    return escape(sample.name.replace("/", "-"))
