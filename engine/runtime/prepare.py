"""Messages made ready for their providers, before the gate: nothing slow stands between that and
the wire."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from engine.core.refusals import NO_ADDRESS, NO_PROVIDER, UNRENDERED
from engine.errors import RenderError
from engine.runtime import gate
from engine.runtime.attempt import webhook_of
from engine.runtime.desk import Ready
from engine.runtime.shell import Shell
from engine.store import refusals as refusals_store
from engine.store import runs as runs_store
from engine.store.messages import Candidate
from engine.store.refusals import Refusal

log = logging.getLogger(__name__)


def prepare(
    shell: Shell, candidates: Sequence[Candidate], now: datetime
) -> tuple[list[Ready], int]:
    """Those of ``candidates`` that can be rendered, in their order, and how many cannot; these
    are written down as failed."""
    ready: list[Ready] = []
    broken: list[Refusal] = []
    renderer = shell.renderer
    for candidate in candidates:
        message = candidate.message
        why, code = "", UNRENDERED
        if message.channel not in shell.channels:
            why, code = f"no provider for channel {message.channel}", NO_PROVIDER
        elif not (shell.bare or gate.address(candidate)):
            why, code = f"no address for {message.channel}", NO_ADDRESS
        elif message.channel == "webhook":
            ready.append((candidate, webhook_of(message)))
            continue
        elif renderer is None:
            why = "nothing renders"
        else:
            try:
                _, profile, properties, key = candidate
                ready.append((candidate, renderer.render(message, profile, properties, key)))
                continue
            except RenderError as error:
                why = str(error)
            except Exception as error:
                # A renderer that breaks its contract must not hold up the whole shard.
                log.exception("template %s failed in a way it should not", message.template)
                why = f"{type(error).__name__} in template {message.template}"
        broken.append(Refusal(message.profile_id, message.id, "failed", why, code=code))
    if broken:
        runs = {c.message.id: c.message.enrollment_id for c in candidates}
        with shell.database.probing() as connection:
            refusals_store.refuse(connection, broken, now)
            runs_store.release(connection, [b[0] for b in broken], [runs[b[1]] for b in broken])
    return ready, len(broken)
