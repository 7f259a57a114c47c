"""A fault of one journey stays with that journey (P10).

What raises is a fault of ours or of what a journey computes, never the shopper's. It becomes a
``Failure`` in the Outcome, what the failed step had decided is taken back, and everything else of
the shopper goes on, an order first of all:

- A step: the run stands before it and is tried again, at first after five minutes, then after as
  long as it has failed already, at most six hours. Since when is kept, so what it sends once it is
  mended is judged by how late it then is (P9). Nothing spins, and no timer is lost.
- A stop rule: nobody can say that the purchase was not the one, so the run is stopped, in doubt
  and without a goal (P3).
- What a ``without`` waits for: in doubt it came, for nothing has been sent yet.
- Any other ``wait for``: in doubt it did not come; the run waits on.
- A trigger: nobody enters.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from engine.core.advance import StepFailed
from engine.core.decision import Failure
from engine.core.shopper import Shopper
from engine.core.timing import ON_TIME
from engine.model.enrollment import Enrollment
from engine.model.journey import Journey
from engine.model.profile import Profile

#: Between two tries of a step that raises.
FIRST_TRY = timedelta(minutes=5)
LAST_TRY = timedelta(hours=6)

_LONGEST = 200
#: What may hold a shopper's data in the text of an exception: what is quoted, addresses, numbers.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\S+@\S+|\+?\d[\d\s().-]{4,}\d")


#: How much of what a step may add was there before it: messages, audiences, emitted events, claims,
#: marks, and the profile as it was. A plain tuple, for one is made for every walk.
Before = tuple[int, int, int, int, int, Profile]


def before(shopper: Shopper, run: Enrollment) -> Before:
    """To take back to what ``run`` decides next, should it fail."""
    out = shopper.outcome
    marks = len(out.traces.get(run.id, ())) if out.traces else 0
    return (
        len(out.messages),
        len(out.audiences),
        len(out.emitted),
        len(out.claims),
        marks,
        shopper.profile,
    )


def take_back(shopper: Shopper, run: Enrollment, was: Before) -> None:
    """Forget what ``run`` decided since: half a walk must not happen, and will be walked again."""
    out = shopper.outcome
    messages, audiences, emitted, claims, marks, shopper.profile = was
    del out.messages[messages:]
    del out.audiences[audiences:]
    del out.emitted[emitted:]
    for claim in list(out.claims)[claims:]:
        del out.claims[claim]
    if told := out.traces.get(run.id):
        del told[marks:]


def failing(
    shopper: Shopper,
    journey: Journey,
    run: Enrollment,
    at: str | None,
    error: Exception,
    now: datetime,
    late: timedelta,
) -> Enrollment:
    """``run`` standing before ``at``, which raised ``error``, to be tried again. ``late`` is how
    late its timer was at ``now``, the logical time."""
    path = error.path if isinstance(error, StepFailed) else at or ""
    cause = error.__cause__ if isinstance(error, StepFailed) else error
    assert isinstance(cause, Exception)
    found = note(shopper, journey, path, run.id, cause, now)
    since = run.failing_since or (now - late if late > ON_TIME else now)
    reason = f"fails at {path or 'its end'}: {found.error}"
    if run.failing_since is None or run.reason != reason:
        shopper.outcome.mark(run.id, path, "fails", _told(found), now)
    return msgspec.structs.replace(
        run,
        at=at,
        wake_at=now + min(max(now - since, FIRST_TRY), LAST_TRY),
        waiting_for="",
        reason=reason,
        failing_since=since,
    )


def note(
    shopper: Shopper, journey: Journey, path: str, run_id: str, error: Exception, at: datetime
) -> Failure:
    """Put the fault into the Outcome."""
    found = Failure(
        journey.name,
        journey.version,
        path,
        run_id,
        type(error).__name__,
        _without_data(str(error), shopper.profile.traits),
        _where(error),
        at,
    )
    shopper.outcome.failures.append(found)
    return found


def doubt(
    shopper: Shopper, journey: Journey, path: str, run_id: str, error: Exception, at: datetime
) -> str:
    """Put the fault of a rule into Outcome and trace; gives the words for it."""
    found = note(shopper, journey, path, run_id, error, at)
    shopper.outcome.mark(run_id, path, "fails", _told(found), at)
    return found.error


def _told(found: Failure) -> str:
    text = f"{found.error}: {found.text}" if found.text else found.error
    return f"{text} ({found.where})"


def _where(error: Exception) -> str:
    """The line of code that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{file}:{trace.tb_lineno} {code.co_name}"


def _without_data(text: str, traits: dict[str, Any]) -> str:
    """The text of an exception, without what may be the shopper's: it goes into logs."""
    values = [v for v in traits.values() if isinstance(v, str) and len(v) > 2]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "…")
    return " ".join(_QUOTED.sub("…", text).split())[:_LONGEST]
