"""Twilio's Content resource: templates for WhatsApp and their approval."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

SID = re.compile(r"HX[0-9a-fA-F]{32}")
_VARIABLE = re.compile(r"\{\{\s*([\w-]+)\s*\}\}")


class Contents:
    """The templates of one account, by sid. Until the first is made, every well-formed sid
    passes for an approved one."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self._approvals: dict[str, dict[str, Any]] = {}

    def create(self, account: str, asked: dict[str, Any], now: str) -> dict[str, Any]:
        """Make a template of a ``ContentCreateRequest``."""
        sid = f"HX{uuid4().hex}"
        url = f"https://content.twilio.com/v1/Content/{sid}"
        made = {
            "sid": sid,
            "account_sid": account,
            "friendly_name": asked.get("friendly_name", ""),
            "language": asked["language"],
            "variables": asked.get("variables", {}),
            "types": asked["types"],
            "url": url,
            "date_created": now,
            "date_updated": now,
            "links": {
                "approval_create": f"{url}/ApprovalRequests/whatsapp",
                "approval_fetch": f"{url}/ApprovalRequests",
            },
        }
        self.made[sid] = made
        return made

    def ask_approval(self, sid: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Submit a template to WhatsApp, which approves of everything at once."""
        self._approvals[sid] = {
            "name": asked["name"],
            "category": asked["category"],
            "content_type": next(iter(self.made[sid]["types"]), ""),
            "status": "approved",
            "rejection_reason": "",
            "allow_category_change": True,
        }
        return {**self._approvals[sid], "status": "received"}

    def approval(self, account: str, sid: str) -> dict[str, Any]:
        """How WhatsApp's approval of a template stands."""
        unasked = {"status": "unsubmitted", "rejection_reason": ""}
        return {
            "sid": sid,
            "account_sid": account,
            "whatsapp": {"type": "whatsapp", **self._approvals.get(sid, unasked)},
            "url": f"https://content.twilio.com/v1/Content/{sid}/ApprovalRequests",
        }

    def approved(self, sid: str) -> bool:
        """Whether WhatsApp takes a template outside of a conversation."""
        return sid in self._approvals or bool(sid and not self.made)

    def wrong(self, sid: str, variables: str) -> tuple[int, str] | None:
        """(error code, message) when a message may not use a template so."""
        if not SID.fullmatch(sid) or (self.made and sid not in self.made):
            return 21655, f"The ContentSid {sid} is Invalid."
        try:
            given = json.loads(variables or "{}")
        except ValueError:
            given = None
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            return 21656, "The ContentVariables Parameter is invalid."
        made = self.made.get(sid)
        if made is None:
            return None
        missing = sorted(set(_names(made)) - given.keys() - made["variables"].keys())
        if missing:
            return 21656, f"The ContentVariables Parameter is invalid: no {', '.join(missing)}."
        return None

    def body(self, sid: str, variables: str) -> str:
        """What a shopper reads: the template's text with its variables filled in."""
        made = self.made.get(sid)
        if made is None:
            return ""
        given: Mapping[str, str] = {**made["variables"], **json.loads(variables or "{}")}
        text = next((t["body"] for t in made["types"].values() if "body" in t), "")
        return _VARIABLE.sub(lambda found: given.get(found[1], found[0]), text)


def _names(made: dict[str, Any]) -> list[str]:
    return _VARIABLE.findall(json.dumps(made["types"], ensure_ascii=False))
