"""How often Python looks for reference cycles."""

from __future__ import annotations

import gc

#: New objects between two looks, and how many looks at the young go to one at the old.
_OBJECTS, _YOUNG, _OLD = 100_000, 20, 50


def look_for_cycles_seldom() -> None:
    """For a process that works batch after batch. A batch makes some hundred thousand values and
    hardly a cycle among them; looked for at Python's own pace, cycles that are not there take
    a sixth of a drain's processor time and a third of a backtest's. What the process is made of
    is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, _YOUNG, _OLD)
