"""Try to break the loader of journeys for some time: ``make fuzz`` (SECONDS=300).

Whatever is in a file, loading it never raises and never hangs; what is wrong is told with its
place; what has no error can be simulated, and an editor with the schema accepts it too. Prints how
many files were tried. A file that breaks something is printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from engine.core.decision import Outcome
from engine.core.shopper import Shopper
from engine.core.together import worst_case
from engine.language import load_journey, load_policy
from engine.language.reader import parse
from engine.language.report import Report
from engine.language.schema import journey_schema
from engine.language.tree import plain_value
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy, Topic
from engine.runtime.simulate import Observer, Simulation
from tests.fuzz.mutations import contents, texts, trees

POLICY = Policy(
    topics={
        "offers": Topic("offers"),
        "orders": Topic("orders", consent="none"),
        "confirmations": Topic("confirmations", consent="none"),
    }
)
#: More than any file of the size of a journey needs, on a busy machine too.
SLOW = 5.0
_SCHEMA = Draft202012Validator(journey_schema())
_T0 = datetime(2026, 3, 2, 9, tzinfo=UTC)
_HAPPENED: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("Identify", 0, {"birthday": "1990-03-04", "consent": {"email": True}}),
    ("Product Viewed", 1, {"product_id": "p", "price": 60, "category": "hats"}),
    ("Product Added", 2, {"product_id": "p", "cart_id": "c"}),
    ("Checkout Started", 3, {"order_id": "o", "products": []}),
    ("Order Completed", 30, {"products": [{"product_id": "q"}], "revenue": 9}),
    ("Product Viewed", 700, {"product_id": None, "price": "free"}),
)
_EVENTS = [
    Event(
        f"e{number}",
        "identify" if name == "Identify" else "track",
        name,
        _T0 + timedelta(hours=hours),
        _T0 + timedelta(hours=hours),
        ("user:1", "email:a@example.org"),
        properties,
    )
    for number, (name, hours, properties) in enumerate(_HAPPENED)
]

anything = st.one_of(trees(), trees(), texts(), texts(), contents(), st.text(max_size=200))
found: Counter[str] = Counter()


class Failures(Observer):
    """What the core noted that a journey raised."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.all += outcome.failures


def attempt(content: str | bytes) -> None:
    """Load ``content`` in every way; raises where a promise is broken."""
    begun = time.perf_counter()
    journey, diagnostics = load_journey(content, policy=POLICY)
    load_policy(content)
    taken = time.perf_counter() - begun
    assert taken < SLOW, f"it took {taken:.1f} s"
    text = content if isinstance(content, str) else content.decode("latin-1")
    for finding in diagnostics:
        assert finding.line >= 1 and finding.column >= 1, finding
        assert finding.line <= len(text.splitlines()) + 1, finding
        assert "\n" not in str(finding), finding
    errors = [finding for finding in diagnostics if finding.severity == "error"]
    assert (journey is None) == bool(errors), diagnostics
    found["files"] += 1
    if journey is not None:
        found["journeys that load"] += 1
        _can_be_used(journey, content)


def _can_be_used(journey: Journey, content: str | bytes) -> None:
    again, _ = load_journey(journey.source, policy=POLICY)
    assert again is not None and again.version == journey.version
    tree = parse(content, Report("x"))
    assert tree is not None
    plain = plain_value(tree)
    # ``title: null`` is a title of four letters to us, and to an editor nothing.
    if not _holds_null(plain):
        refused = [error.message for error in _SCHEMA.iter_errors(plain)]
        assert refused == [], refused
    worst_case({journey.name: journey}, POLICY, timedelta(days=7))
    failures = Failures()
    simulation = Simulation([journey], POLICY, bare=True, observer=failures)
    simulation.run(_EVENTS, timedelta(days=60))
    assert failures.all == []


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_holds_null, value.values() if isinstance(value, dict) else value))
    return value is None


def attempts(examples: int, by: int | None = None) -> Callable[[], None]:
    """So many attempts; ``by`` a number, the same ones each time."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=by is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(anything)
    def run(content: str | bytes) -> None:
        note(repr(content))
        attempt(content)

    return run if by is None else seed(by)(run)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=None, help="begin with this one; else by time")
    given_ = parser.parse_args()
    begun = time.monotonic()
    number = int(time.time()) if given_.seed is None else given_.seed
    crashes = 0
    while (passed := time.monotonic() - begun) < given_.seconds and not crashes:
        if sys.stderr.isatty():
            print(f"\r{passed:5.0f} s, {found['files']:,} files", end="", file=sys.stderr)
        try:
            attempts(200, number)()
        except Exception:
            traceback.print_exc()
            print(f"found with --seed {number}", file=sys.stderr)
            crashes += 1
        number += 1
    seconds = time.monotonic() - begun
    print(
        f"{found['files']:,} files in {seconds:.0f} s, {found['journeys that load']:,} of them"
        f" journeys that load and run; crashes {crashes}"
    )
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
