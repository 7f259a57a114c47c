"""The filters that templates have beside Jinja's own: money, date, ltr, link, picture.

Numbers and dates follow the shopper's locale through Babel (CLDR), so that a lakh is grouped
as a lakh in Hindi and a price has the sign that its reader expects.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal, get_currency_precision
from jinja2 import Undefined, pass_context
from jinja2.exceptions import FilterArgumentError
from jinja2.runtime import Context
from markupsafe import Markup, escape

from engine.rendering.locales import babel_locale

#: Left-to-right isolate and its end: what holds a price together in right-to-left plain text.
_LRI, _PDI = "\u2066", "\u2069"


@pass_context
def money(
    context: Context, amount: Any, currency: str | None = None, locale: str | None = None
) -> str:
    """An amount in ``currency`` (ISO 4217; else the event's, else the shop's) as the shopper's
    locale writes it. A round amount goes without its zeros: Rs 4,500, but $19.90."""
    if isinstance(amount, Undefined):
        return str(amount)
    code = currency or context["event"].get("currency") or context["shop"]["currency"]
    return _written(str(amount), str(code).upper(), str(locale or context["number_locale"]))


@lru_cache(maxsize=8192)
def _written(amount: str, code: str, tag: str) -> str:
    """Cached, for a shop has far fewer prices than shoppers."""
    try:
        number = Decimal(amount)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise FilterArgumentError("money needs a number: check what the event carries here.")
    where = babel_locale(tag)
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        return format_decimal(number, locale=where)
    if number == number.to_integral_value() and get_currency_precision(code):
        return format_currency(
            number, code, locale=where, format=_whole_pattern(where), currency_digits=False
        )
    return format_currency(number, code, locale=where)


@lru_cache(maxsize=256)
def _whole_pattern(where: Any) -> str:
    pattern: str = where.currency_formats["standard"].pattern
    return pattern.replace(".00", "")


@pass_context
def day(context: Context, value: Any, style: str = "long", zone: str | None = None) -> str:
    """A date (or, with ``style`` "short time" and the like, date and time) in the shopper's
    language and time zone. Takes a date, a time or an ISO 8601 text."""
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise FilterArgumentError(f"date needs a date, not {value[:40]!r}.") from error
    where = babel_locale(context["number_locale"])
    length, _, with_time = style.partition(" ")
    if length not in ("short", "medium", "long", "full"):
        raise FilterArgumentError(f"date knows short, medium, long and full, not {style!r}.")
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        local = moment.astimezone(_zone(zone or context["timezone"]))
        if with_time:
            return format_datetime(local, length, locale=where)
        return format_date(local.date(), length, locale=where)
    if isinstance(value, date):
        return format_date(value, length, locale=where)
    raise FilterArgumentError("date needs a date, a time or an ISO 8601 text.")


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@pass_context
def ltr(context: Context, value: Any) -> str:
    """Hold a price, code, phone number or address together inside right-to-left text."""
    escaped = context.eval_ctx.autoescape
    if context["dir"] != "rtl":
        return escape(value) if escaped else str(value)
    if escaped:
        return Markup(f'<span dir="ltr">{escape(value)}</span>')
    return f"{_LRI}{value}{_PDI}"


@pass_context
def link(context: Context, value: Any) -> str:
    """A web address of the shop (its host or one below it); anything else becomes the shop's
    own. Events come from browsers, and a mail must not carry a stranger's link."""
    shop = str(context["shop"]["url"])
    text = "" if isinstance(value, Undefined) else str(value)
    host, own = _host(text), _host(shop)
    return text if host and (host == own or host.endswith("." + own)) else shop


@lru_cache(maxsize=4096)
def _host(url: str) -> str:
    """The host of a web address, "" for anything else. A mail asks for the same few often."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


@pass_context
def picture(
    context: Context, src: Any, alt: Any = "", width: int = 280, height: int | None = None
) -> str:
    """``<img>`` with its size in pixels and the words ``alt`` for those who see no pictures.
    Nothing in plain text, and nothing where ``src`` is no web address."""
    address = "" if isinstance(src, Undefined) else str(src)
    if not context.eval_ctx.autoescape or not _host(address):
        return ""
    sizes = {"width": width} if height is None else {"width": width, "height": height}
    if not all(isinstance(size, int) and 0 < size <= 2000 for size in sizes.values()):
        raise FilterArgumentError("picture needs its size in pixels: picture(event.name, 280).")
    given = "".join(f' {side}="{size}"' for side, size in sizes.items())
    words = "" if isinstance(alt, Undefined) or alt is None else alt
    tag = f'<img src="{{}}" alt="{{}}"{given} style="display:block;border:0;max-width:100%">'
    return Markup(tag).format(address, words)


def limited_batch(value: Any, count: int, fill: Any = None) -> list[list[Any]]:
    """Rows of ``count`` items, the last filled up with ``fill`` where it is given."""
    if not 1 <= count <= 100:
        raise FilterArgumentError("batch makes rows of 1 to 100 items.")
    items = list(value)
    rows = [items[i : i + count] for i in range(0, len(items), count)]
    if rows and fill is not None:
        rows[-1] += [fill] * (count - len(rows[-1]))
    return rows


FILTERS: dict[str, Callable[..., Any]] = {
    "money": money,
    "date": day,
    "ltr": ltr,
    "link": link,
    "picture": picture,
    "batch": limited_batch,
}
