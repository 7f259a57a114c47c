"""Meta's Graph API as a sender of audience members sees it. Judged by its documentation."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs

import msgspec

from engine.testing.adlist import AdLists
from engine.testing.simulator import Answer, Request, Simulator, Took

_PATH = re.compile(r"/v\d+\.\d+/(\d+)(?:/(users|usersreplace))?")
_HEX = re.compile(r"[0-9a-f]{64}")
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_KEYS = frozenset(
    [
        "EXTERN_ID",
        "EMAIL",
        "PHONE",
        "GEN",
        "DOBY",
        "DOBM",
        "DOBD",
        "LN",
        "FN",
        "FI",
        "CT",
        "ST",
        "ZIP",
        "MADID",
        "COUNTRY",
    ]
)
_PLAIN = frozenset({"EXTERN_ID", "MADID"})
#: The Graph API's error code of a planned refusal.
_CODES = {400: 100, 401: 190, 403: 200, 404: 100, 429: 80003, 500: 2, 503: 2}


@dataclass
class MetaSimulator(Simulator):
    """Any audiences. What it takes it has put on the list when it answers.

    ``flagged``  audiences that Meta lets nobody change (operation status 471).
    ``lists``    the truth. ``shown``: the size that is told, given the true one.
    """

    token: str = "simulated-meta"
    secret: str = "simulated-secret"
    flagged: set[str] = field(default_factory=set)
    lists: AdLists = field(default_factory=AdLists)
    shown: Callable[[int], int | None] = lambda size: size
    provider = "meta"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wrong: list[str] = []
        self._sessions: dict[tuple[str, int], dict[int, set[str]]] = {}
        proof = hmac.new(self.secret.encode(), self.token.encode(), sha256)
        self._proof = proof.hexdigest()

    def reply(self, request: Request) -> Answer:
        path, _, query = request.path.partition("?")
        fields = {k: v[0] for k, v in parse_qs(query).items()}
        if "access_token" in fields or "payload" in fields:
            return self._refused(100, "a token or hashes in the address")
        if request.method == "POST":
            fields |= {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self.refusal(401)
        if fields.get("appsecret_proof") != self._proof:
            return self._refused(100, "Invalid appsecret_proof provided in the API argument")
        found = _PATH.fullmatch(path)
        if not found:
            return self.refusal(404)
        if request.method == "GET" and found[2] is None:
            return self._size(found[1])
        if request.method == "POST" and found[2]:
            return self._change(found[1], found[2], fields)
        return self.refusal(404)

    def refusal(self, status: int) -> Answer:
        answer = self._refused(_CODES.get(status, 1), "simulated", status)
        if status == 429:
            usage = {"1": [{"type": "custom_audience", "estimated_time_to_regain_access": 1}]}
            header = ("X-Business-Use-Case-Usage", msgspec.json.encode(usage).decode())
            # As the real one: a limit is a 400 whose code says what it is.
            return answer._replace(status=400, headers=(*answer.headers, header))
        return answer

    def key_of(self, request: Request) -> str:
        return f"{request.path.partition('?')[0]} {hash(request.body)}"

    def _change(self, audience: str, edge: str, fields: dict[str, str]) -> Answer:
        if audience in self.flagged:
            return self._refused(100, "Audience Upload Blocked", subcode=1713230)
        try:
            payload = msgspec.json.decode(fields["payload"])
            session = msgspec.json.decode(fields["session"])
            wrong = _off_shape(payload, session)
        except (KeyError, msgspec.DecodeError, TypeError, AttributeError) as error:
            wrong = f"cannot be read: {type(error).__name__}"
        if wrong:
            self.wrong.append(wrong)
            return self._refused(100, wrong)
        schema, rows = payload["schema"], payload["data"]
        good: set[str] = set()
        invalid = 0
        for row in rows:
            pairs = list(zip(schema, row, strict=True))
            sound = all(k in _PLAIN or not v or _HEX.fullmatch(v) for k, v in pairs)
            known = {v for k, v in pairs if k in ("EMAIL", "PHONE") and v}
            if sound and known and not any(v == _NOTHING for _, v in pairs):
                good |= known
            else:
                invalid += 1
        if edge == "usersreplace" and not self._follows(audience, session):
            return self._refused(2650, "Failed to update the custom audience")
        now = self.clock.now().timestamp()
        if fields.get("method") == "delete":
            self.lists.remove(audience, good, now)
        elif edge == "users":
            self.lists.ask(audience, good)
            self.lists.add(audience, good, now)
        else:
            self._replace(audience, session, good, now)
        number = session["session_id"]
        body = {
            "audience_id": audience,
            "session_id": str(number),
            "num_received": len(rows),
            "num_invalid_entries": invalid,
            "invalid_entry_samples": {},
        }
        return _json(200, body)._replace(took=(Took(str(number), audience, str(number)),))

    def _follows(self, audience: str, session: dict[str, Any]) -> bool:
        """Whether the part is the first of its session, or all before it are there."""
        parts = self._sessions.get((audience, session["session_id"]), {})
        return all(number in parts for number in range(1, session["batch_seq"]))

    def _replace(self, audience: str, session: dict[str, Any], good: set[str], at: float) -> None:
        parts = self._sessions.setdefault((audience, session["session_id"]), {})
        parts[session["batch_seq"]] = good
        if session["last_batch_flag"]:
            self.lists.replace(audience, set().union(*parts.values()), at)

    def _size(self, audience: str) -> Answer:
        shown = self.shown(self.lists.size(audience))
        count = -1 if shown is None else shown
        flagged = audience in self.flagged
        return _json(
            200,
            {
                "id": audience,
                "approximate_count_lower_bound": count,
                "approximate_count_upper_bound": count,
                "operation_status": {
                    "code": 471 if flagged else 200,
                    "description": "Flagged" if flagged else "Normal",
                },
            },
        )

    def _refused(self, code: int, text: str, status: int = 400, subcode: int = 0) -> Answer:
        error: dict[str, Any] = {"message": text, "type": "OAuthException", "code": code}
        if subcode:
            error["error_subcode"] = subcode
        return _json(status, {"error": error})


def _off_shape(payload: dict[str, Any], session: dict[str, Any]) -> str:
    schema, rows = payload["schema"], payload["data"]
    if set(payload) - {"schema", "data", "is_raw"}:
        return "an unknown key in payload"
    if set(schema) - _KEYS or len(set(schema)) != len(schema):
        return "an unknown key in schema"
    if not 1 <= len(rows) <= 10_000:
        return f"{len(rows)} rows: from 1 to 10,000"
    if any(len(row) != len(schema) for row in rows):
        return "a row is not as long as the schema"
    if not 0 < session["session_id"] < 2**64 or session["batch_seq"] < 1:
        return "session_id or batch_seq"
    if not isinstance(session["last_batch_flag"], bool):
        return "last_batch_flag"
    return ""


def _json(status: int, body: Any) -> Answer:
    return Answer(status, msgspec.json.encode(body), (("Content-Type", "application/json"),), ())
