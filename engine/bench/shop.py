"""The shop of a bench: its rules, its mail and its journeys, written into a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CONFIG = """\
shop:
  name: The bench
  url: https://shop.example
  timezone: UTC
  locale: en
  currency: USD
  country: US
  email from: shop@bench.example
  email name: The bench
  address: 1 Example Street, Exampletown
topics:
  offers: {{title: Offers, consent: opt-out}}
caps:
  - {{messages: 4, within: 7 days}}
providers:
  email: {provider}
  sms: file
"""

#: As long and as personal as the mails that are shipped: name, product, price, links.
MJML = """\
---
subject: "{{ profile.first_name }}, still thinking about {{ event.name | truncate(30, true) }}?"
preheader: "It is one click away, in case you would like a second look."
---
<mjml>
  <mj-head>
    <mj-title>{{ subject }}</mj-title>
    <mj-attributes>
      <mj-all font-family="'Helvetica Neue', Helvetica, Arial, sans-serif" />
      <mj-text font-size="16px" line-height="1.6" color="#2b2d33" padding="0 32px 16px" />
      <mj-section background-color="#ffffff" padding="0" />
    </mj-attributes>
  </mj-head>
  <mj-body background-color="#f3f1ed">
    <mj-section><mj-column>
      <mj-text font-size="20px"><a href="{{ shop.url }}">{{ shop.name }}</a></mj-text>
      <mj-text font-size="26px" font-weight="700">Still thinking it over?</mj-text>
      <mj-text>Hello{% if profile.first_name %} {{ profile.first_name }}{% endif %},</mj-text>
      <mj-text>You had a look at this in our shop. Here it is again.</mj-text>
    </mj-column></mj-section>
    {% if event.name %}
    <mj-section><mj-column>
      <mj-text font-weight="600">{{ event.name }}</mj-text>
      <mj-text>{{ event.price | money(event.currency) }}</mj-text>
    </mj-column></mj-section>
    {% endif %}
    <mj-section><mj-column>
      <mj-button href="{{ event.url | link }}">Have another look</mj-button>
      <mj-text>A question? Just reply to this email.</mj-text>
      <mj-text font-size="13px"><a href="{{ unsubscribe_url }}">Unsubscribe</a> &nbsp;
        <a href="{{ preferences_url }}">Choose what you receive</a></mj-text>
      <mj-text font-size="13px">{{ shop.name }}, {{ shop.address }}</mj-text>
    </mj-column></mj-section>
  </mj-body>
</mjml>
"""

TEXT = """\
Hello{% if profile.first_name %} {{ profile.first_name }}{% endif %},

You had a look at this in our shop. Here it is again: {{ event.name }},
{{ event.price | money(event.currency) }}.

Have another look: {{ event.url | link }}

Unsubscribe: {{ unsubscribe_url }}
"""

#: A mail at once, for every product looked at.
AT_ONCE = """\
journey: at-once
trigger:
  event: Product Viewed
  key: event.product_id
  again: always
stop:
  - event: Order Completed
    goal: true
steps:
  - send: email
    template: bench
    topic: offers
"""

#: A mail when the time has come.
LATER = AT_ONCE.replace("at-once", "later").replace("steps:\n", "steps:\n  - wait: {wait}\n")

_IDLE = """\
journey: {name}
trigger:
  event: {event}
  if: {condition}
  key: event.product_id
  again: after 30 days
stop:
  - event: Order Completed
    if: key in event.product_ids
    goal: true
  - event: Order Completed
steps:
  - wait: 2 hours
  - send: email
    template: bench
    topic: offers
"""


def twenty() -> dict[str, str]:
    """Twenty journeys: one that an event makes send a mail, four that look at the same event and
    let it pass, fifteen for what did not happen."""
    journeys = {"at-once": AT_ONCE}
    for number in range(1, 5):
        name = f"dear-{number}"
        condition = f"event.price >= {number}000"
        journeys[name] = _IDLE.format(name=name, event="Product Viewed", condition=condition)
    for number in range(1, 16):
        name = f"other-{number}"
        journeys[name] = _IDLE.format(
            name=name, event=f"Something {number}", condition="event.price >= 20"
        )
    return journeys


def write(folder: Path, journeys: Mapping[str, str], provider: str = "file") -> Path:
    """Write the shop into ``folder``, in place of what is there, and give it."""
    for name in ("journeys", "config", "templates/bench"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for old in (folder / "journeys").iterdir():
        old.unlink()
    for name, text in journeys.items():
        (folder / "journeys" / f"{name}.yaml").write_text(text)
    (folder / "config" / "winback.yaml").write_text(CONFIG.format(provider=provider))
    (folder / "templates" / "bench" / "email.en.mjml").write_text(MJML)
    (folder / "templates" / "bench" / "email.en.txt").write_text(TEXT)
    return folder
