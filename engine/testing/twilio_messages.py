"""Twilio's Message resource: what it looks like, how it is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from engine.rendering.segments import segments_of

#: A message's status only goes forward.
RANK = {
    "accepted": 0,
    "queued": 1,
    "sending": 2,
    "sent": 3,
    "undelivered": 4,
    "failed": 4,
    "delivered": 4,
    "read": 5,
    "received": 5,
}
LARGEST_PAGE = 1000


class BadQuery(ValueError):
    """The question for a list cannot be answered; says why."""


def resource(
    sid: str, account: str, form: Mapping[str, str], body: str, now: datetime
) -> dict[str, Any]:
    """A new Message as the API shows it. ``body`` is the text that the shopper reads."""
    home = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    service = form.get("MessagingServiceSid")
    parts = segments_of(body).parts
    media = sid.startswith("MM")
    return {
        "sid": sid,
        "account_sid": account,
        "api_version": "2010-04-01",
        "to": form["To"],
        "from": form.get("From"),
        "messaging_service_sid": service,
        "body": body,
        "status": "accepted" if service else "queued",
        "direction": "outbound-api",
        "num_segments": "0" if service else str(parts),
        "num_media": "1" if media else "0",
        "date_created": format_datetime(now),
        "date_updated": format_datetime(now),
        "date_sent": None,
        "error_code": None,
        "error_message": None,
        "price": None,
        "price_unit": "USD",
        "uri": f"{home}.json",
        "subresource_uris": {"media": f"{home}/Media.json", "feedback": f"{home}/Feedback.json"},
    }


class Messages:
    """The messages of one account. ``keep`` is how many are remembered; None for all."""

    def __init__(self, keep: int | None) -> None:
        self._keep = keep
        self._made: dict[str, dict[str, Any]] = {}
        self._to: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, message: dict[str, Any]) -> None:
        sid = message["sid"]
        self._made[sid] = self._to.setdefault(message["to"], {})[sid] = message
        if self._keep is not None and len(self._made) > self._keep:
            oldest = next(iter(self._made))
            to = self._made.pop(oldest)["to"]
            del self._to[to][oldest]
            if not self._to[to]:
                del self._to[to]

    def get(self, sid: str) -> dict[str, Any] | None:
        return self._made.get(sid)

    def move(self, sid: str, status: str, now: datetime, code: int | None) -> None:
        """Set a message's status, if it is not further already."""
        message = self._made.get(sid)
        if message is None or RANK[message["status"]] >= RANK[status]:
            return
        message |= {"status": status, "date_updated": format_datetime(now)}
        if message["date_sent"] is None and status != "failed" and RANK[status] >= RANK["sent"]:
            message["date_sent"] = format_datetime(now)
        if code is not None:
            message |= {"error_code": code, "error_message": f"Error {code}"}

    def page(self, path: str, query: str) -> dict[str, Any]:
        """One page of the list, newest first, as the API answers it. Raises ``BadQuery``.

        Filters by date look at ``date_sent``; what has not been sent yet has none and is not
        among what they find.
        """
        asked = dict(parse_qsl(query, keep_blank_values=True))
        size = _number(asked, "PageSize", 50, 1, LARGEST_PAGE)
        number = _number(asked, "Page", 0, 0, 10**9)
        wanted = [want for name in asked if (want := _filter(name, asked[name]))]
        # A token is where the page begins, so that messages made meanwhile move nothing.
        token = asked.get("PageToken", "").removeprefix("PA")
        found: list[dict[str, Any]] = []
        begun = not token
        among = self._to.get(asked["To"], {}) if "To" in asked else self._made
        for message in reversed(among.values()):
            begun = begun or message["sid"] == token
            if begun and all(want(message) for want in wanted):
                found.append(message)
                if len(found) > size:
                    break
        if not begun:
            raise BadQuery("Invalid PageToken.")
        more = found[size]["sid"] if len(found) > size else ""
        found = found[:size]
        plain = {k: v for k, v in asked.items() if k not in ("Page", "PageToken", "PageSize")}

        def uri(page: int, begin: str = "") -> str:
            values = {**plain, "PageSize": size, "Page": page}
            return f"{path}?{urlencode(values | ({'PageToken': f'PA{begin}'} if begin else {}))}"

        start = number * size
        return {
            "messages": found,
            "first_page_uri": uri(0),
            "next_page_uri": uri(number + 1, more) if more else None,
            "previous_page_uri": uri(number - 1) if number else None,
            "uri": uri(number, token),
            "page": number,
            "page_size": size,
            "start": start,
            "end": max(start, start + len(found) - 1),
        }


def _number(asked: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = asked.get(name, str(default))
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise BadQuery(f"{name} must be a number from {low} to {high}.")
    return int(text)


def _filter(name: str, value: str) -> Callable[[dict[str, Any]], bool] | None:
    match name:
        case "To":
            return lambda message: bool(message["to"] == value)
        case "From":
            return lambda message: bool(message["from"] == value)
        case "DateSent" | "DateSent<" | "DateSent>":
            return _sent(name, value)
        case "Page" | "PageSize" | "PageToken":
            return None
    raise BadQuery(f"There is no filter {name}.")


def _sent(name: str, value: str) -> Callable[[dict[str, Any]], bool]:
    """By ``date_sent``: on a day (UTC), up to or from it. With a time of day up to or from that;
    midnight, which the SDK makes of a date, is the day."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadQuery(f"{name} is not a date: {value}.") from error

    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    first = last = moment
    if name == "DateSent" or moment.time() == time():
        first = datetime.combine(moment, time(), UTC)
        last = first + timedelta(days=1, microseconds=-1)

    def passes(message: dict[str, Any]) -> bool:
        if message["date_sent"] is None:
            return False
        sent = parsedate_to_datetime(message["date_sent"])
        return (name == "DateSent>" or sent <= last) and (name == "DateSent<" or sent >= first)

    return passes
