"""Meta Custom Audiences: the customer list as CSV, and by the Graph API.

Spelling before hashing as Meta's "customer information parameters" page says. Meta's own SDK
strips names to a to z and then hashes what is left, so that every Hindi or Urdu name becomes the
hash of nothing; here such names are hashed as they are, which the page allows.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256 as sha256_of
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from urllib3.response import BaseHTTPResponse

from engine.audiences.base import AdSettings
from engine.audiences.http import ANSWER_SECONDS, Http, json_of, retry_after
from engine.audiences.values import Member, canonical, e164, plain_email, sha256
from engine.audiences.values import member as to_member
from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.audience import AdList, Hashed, Listed, Progress, Size, Taken

COLUMNS = ("email", "phone", "fn", "ln", "country", "zip", "extern_id")


def email(text: str) -> str:
    """Lower case; dots and ``+tag`` stay. "" when it is no address."""
    return plain_email(text)


def phone(text: str, region: str) -> str:
    """Country code and digits, without ``+``; "" when no such number can exist."""
    return e164(text, region).removeprefix("+")


def name(text: str) -> str:
    """Lower case, no punctuation, every script kept."""
    kept = (c for c in canonical(text).lower() if not unicodedata.category(c).startswith("P"))
    return canonical("".join(kept))


def country(text: str) -> str:
    """Two small letters."""
    return canonical(text).lower()


def postal_code(text: str, country: str) -> str:
    """Small letters without spaces; of an American one the first five digits."""
    code = canonical(text).lower().replace(" ", "")
    return code[:5] if country.upper() == "US" else code


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without a usable email or phone."""
    by_email = sha256(email(member.email))
    by_phone = sha256(phone(member.phone, member.region))
    if not (by_email or by_phone):
        return None
    return (
        by_email,
        by_phone,
        sha256(name(member.first_name)),
        sha256(name(member.last_name)),
        sha256(country(member.country)),
        sha256(postal_code(member.postal_code, member.country)),
        member.reference,
    )


def hashed(member: Member) -> Hashed | None:
    """The member as the API is told of them; None without a usable email or phone."""
    cells = row(member)
    return None if cells is None else Hashed(cells, cells[0], cells[1], member.law)


VERSION = "v26.0"
SCHEMA = ("EMAIL", "PHONE", "FN", "LN", "COUNTRY", "ZIP", "EXTERN_ID")


class Meta:
    """Customer-list audiences by the Graph API, by plain HTTP.

    The token travels in a header and all hashes in the body, so that no address that anybody
    logs holds either. For that a removal is a POST that says ``method=delete``, as Meta's own
    JavaScript SDK sends it; the Python SDK would put the hashes into the address. What Meta has
    answered with 2xx it has taken: there is no progress to ask for.
    """

    name = "meta"
    batch = 10_000
    per_minute = 300
    #: Of an ad account, for audiences, at an app's lowest tier (Graph API, "Rate limiting",
    #: business use case): 5,000 an hour, and 40 for each audience. What Meta itself says of it
    #: comes with its refusals, and goes before.
    longer = (5_000, 3_600.0)

    def __init__(
        self, base_url: str, token: str, secret: str = "", *, answer: float = ANSWER_SECONDS
    ) -> None:
        if not token:
            raise ConfigError("Meta audiences need META_ACCESS_TOKEN, of a system user.")
        self._http = Http("Meta", base_url, answer=answer)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._proof = (
            {"appsecret_proof": hmac.new(secret.encode(), token.encode(), sha256_of).hexdigest()}
            if secret
            else {}
        )

    @classmethod
    def from_settings(cls, settings: AdSettings) -> Meta:
        return cls(settings.meta_base_url, settings.meta_access_token, settings.meta_app_secret)

    def row(self, profile_id: int, traits: Mapping[str, Any], region: str) -> Hashed | None:
        return hashed(to_member(profile_id, traits, region=region))

    def add(self, ad_list: AdList, members: Sequence[Listed], request: str) -> Taken:
        """Raises ``DeliveryError`` or ``OutcomeUnknown``."""
        return self._send(ad_list, "users", members, _session(request, 1, True, len(members)))

    def remove(self, ad_list: AdList, members: Sequence[Listed], request: str) -> Taken:
        session = _session(request, 1, True, len(members))
        return self._send(ad_list, "users", members, session, method="delete")

    def replace(
        self,
        ad_list: AdList,
        members: Sequence[Listed],
        request: str,
        part: int,
        last: bool,
        total: int,
    ) -> Taken:
        """One part, from 1 on, of a session that puts ``total`` members in place of all that
        are on the list. The parts share ``request``; Meta wants the last within 90 minutes."""
        return self._send(ad_list, "usersreplace", members, _session(request, part, last, total))

    def status(self, reference: str) -> Progress:
        return Progress("done")

    def size(self, ad_list: AdList) -> Size:
        """Meta tells bounds, rounded; -1 for a list too small or too new."""
        fields = "approximate_count_lower_bound,approximate_count_upper_bound,operation_status"
        query = urlencode({"fields": fields, **self._proof})
        found = json_of(self._call("GET", f"/{VERSION}/{ad_list.list}?{query}"))
        low, high = (
            int(found.get(f"approximate_count_{bound}_bound", -1)) for bound in ("lower", "upper")
        )
        status = found.get("operation_status") or {}
        note = str(status.get("description", "")) if status.get("code", 200) != 200 else ""
        return Size(low if low >= 0 else None, high if high >= 0 else None, note)

    def close(self) -> None:
        self._http.close()

    def _send(
        self,
        ad_list: AdList,
        edge: str,
        members: Sequence[Listed],
        session: Mapping[str, Any],
        **more: str,
    ) -> Taken:
        payload = {"schema": SCHEMA, "is_raw": True, "data": [m.cells for m in members]}
        form = {
            "payload": msgspec.json.encode(payload).decode(),
            "session": msgspec.json.encode(session).decode(),
            **more,
            **self._proof,
        }
        answer = self._call(
            "POST", f"/{VERSION}/{ad_list.list}/{edge}", urlencode(form).encode("ascii")
        )
        found = json_of(answer)
        if not found:
            raise OutcomeUnknown("Meta's answer cannot be read; it may have the members.")
        invalid = int(found.get("num_invalid_entries") or 0)
        return Taken("", f"invalid {invalid}" if invalid else "")

    def _call(self, method: str, path: str, body: bytes | None = None) -> BaseHTTPResponse:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._http.call(method, path, headers, body)
        if answer.status >= 300:
            raise _refusal(answer)
        return answer


def _session(request: str, part: int, last: bool, total: int) -> dict[str, Any]:
    """``session_id`` is a 64-bit number of our own: the same for every part of one request."""
    return {
        "session_id": UUID(request).int & (2**63 - 1),
        "batch_seq": part,
        "last_batch_flag": last,
        "estimated_num_total": total,
    }


#: Graph API error codes, by what they are about.
_RATE = frozenset({4, 17, 32, 613, *range(80000, 80015)})
_FAILED = frozenset({1, 2})
_ACCOUNT = frozenset({10, 102, 104, 190, *range(200, 300)})
_FLAGGED = 1713230


def _refusal(answer: BaseHTTPResponse) -> DeliveryError | OutcomeUnknown:
    error = json_of(answer).get("error")
    error = error if isinstance(error, dict) else {}
    code, subcode = error.get("code"), error.get("error_subcode")
    text = f"Meta refuses the request ({code or answer.status})"
    if answer.status == 429 or code in _RATE:
        return DeliveryError(
            f"{text}: too many requests",
            permanent=False,
            retry_after=max(_regained(answer), retry_after(answer, 60.0)),
            fault="busy",
        )
    if code in _FAILED or (answer.status >= 500 and code is None):
        return OutcomeUnknown(f"Meta failed ({code or answer.status}); it may have the members.")
    if subcode == _FLAGGED:
        return DeliveryError(
            f"{text}: Meta has flagged the audience; appeal in its Audience Manager",
            permanent=True,
        )
    if code in _ACCOUNT or answer.status in (401, 403):
        return DeliveryError(
            f"{text}: check META_ACCESS_TOKEN, META_APP_SECRET and who may use the audience",
            permanent=True,
            fault="account",
        )
    return DeliveryError(f"{text}: check the list in config/winback.yaml", permanent=True)


def _regained(answer: BaseHTTPResponse) -> timedelta:
    """When the ad account may call again, as X-Business-Use-Case-Usage says it, in minutes."""
    try:
        usage = msgspec.json.decode(answer.headers.get("X-Business-Use-Case-Usage", "{}"))
        minutes = [
            float(one.get("estimated_time_to_regain_access", 0))
            for rows in usage.values()
            for one in rows
        ]
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
        return timedelta(0)
    return timedelta(minutes=min(max(minutes, default=0.0), 60.0))
