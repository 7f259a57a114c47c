"""Pictures of a backtest. matplotlib lives here; it is imported by who asks for pictures only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.runtime.backtest import Account, Side, in_order

_GREY, _BLUE, _INK = "#b9bcc4", "#1f6f8b", "#2b2d33"
#: matplotlib has types for most of itself, not for these.
_locator: Any = AutoDateLocator
_formatter: Any = ConciseDateFormatter
#: Paths that one picture shows, those with the most runs.
_PATHS = 24
#: More days than this are drawn as an average, or weekends hide everything else.
_LONG = 120
_STYLE: Any = {
    "axes.edgecolor": _GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9,
    "text.color": _INK,
}


def draw(sides: Sequence[Side], folder: Path) -> list[Path]:
    """Write a PNG for each journey and one for all together into ``folder``, and give them.

    ``sides`` is what was, then what would be; or only the latter. By the shop's clock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    names = sorted({name for side in sides for name in side.accounts})
    with rc_context(_STYLE):
        every = [_together(side) for side in sides]
        made.append(_save(_figure("all journeys", every, paths=False), folder / "all-journeys.png"))
        for name in names:
            accounts = [side.accounts.get(name, Account()) for side in sides]
            made.append(_save(_figure(name, accounts, paths=True), folder / f"{name}.png"))
    return made


def _together(side: Side) -> Account:
    whole = Account()
    for account in side.accounts.values():
        whole.messages.update(account.messages)
        whole.by_day.update(account.by_day)
        whole.by_hour.update(account.by_hour)
    return whole


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path


def _figure(title: str, accounts: Sequence[Account], *, paths: bool) -> Figure:
    shown = _paths(accounts) if paths else []
    below = 0.6 + 0.28 * len(shown) * len(accounts) / 2 if shown else 0.0
    figure = Figure(figsize=(10, 4.6 + below), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    grid = figure.add_gridspec(2 if shown else 1, 2, height_ratios=[4.2, below] if shown else [1])
    _days(figure.add_subplot(grid[0, 0]), [account.by_day for account in accounts])
    _hours(figure.add_subplot(grid[0, 1]), [account.by_hour for account in accounts])
    if shown:
        _runs(figure.add_subplot(grid[1, :]), shown, accounts)
    if len(accounts) == 2:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right", frameon=False, ncols=2)
    return figure


def _looks(sides: int) -> list[tuple[str, str]]:
    return [("before", _GREY), ("after", _BLUE)][2 - sides :]


def _days(axes: Any, counts: Sequence[Counter[date]]) -> None:
    days = sorted({day for count in counts for day in count})
    smooth = bool(days) and (days[-1] - days[0]).days > _LONG
    axes.set_title("messages by day" + (", average of 7 days" if smooth else ""))
    if not days:
        _nothing(axes)
        return
    span = [days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)]
    for count, (label, colour) in zip(counts, _looks(len(counts)), strict=True):
        values: list[float] = [count[day] for day in span]
        if smooth:
            values = [sum(values[max(0, n - 6) : n + 1]) / 7 for n in range(len(values))]
        axes.fill_between(span, values, step="mid", alpha=0.25, color=colour, linewidth=0)
        axes.step(span, values, where="mid", color=colour, linewidth=1.1, label=label)
    locator: Any = _locator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_formatter(locator))
    _from_zero(axes)


def _hours(axes: Any, counts: Sequence[Counter[int]]) -> None:
    axes.set_title("messages by hour of the day")
    if not any(counts):
        _nothing(axes)
        return
    width = 0.8 / len(counts)
    for number, (count, (label, colour)) in enumerate(
        zip(counts, _looks(len(counts)), strict=True)
    ):
        places = [hour - 0.4 + width * (number + 0.5) for hour in range(24)]
        axes.bar(places, [count[hour] for hour in range(24)], width, color=colour, label=label)
    axes.set_xticks(range(0, 24, 3), [f"{hour:02}:00" for hour in range(0, 24, 3)])
    _from_zero(axes)


def _paths(accounts: Sequence[Account]) -> list[tuple[str, str, str]]:
    """The places with the most runs, in the order of the file."""
    total: Counter[tuple[str, str, str]] = Counter()
    for account in accounts:
        total.update(account.places)
    most = {place for place, _ in total.most_common(_PATHS)}
    return [place for place in sorted(total, key=in_order) if place in most]


def _runs(axes: Any, places: Sequence[tuple[str, str, str]], accounts: Sequence[Account]) -> None:
    axes.set_title("runs per path")
    height = 0.8 / len(accounts)
    for number, (account, (_, colour)) in enumerate(
        zip(accounts, _looks(len(accounts)), strict=True)
    ):
        rows = [row - 0.4 + height * (number + 0.5) for row in range(len(places))]
        values = [account.places[place] for place in places]
        bars = axes.barh(rows, values, height, color=colour)
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(places)), [_label(place) for place in places])
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.01)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _label(place: tuple[str, str, str]) -> str:
    path, what, which = place
    words = f"{path}  {what} {which}".rstrip()
    # A dollar would begin a formula.
    return (words if len(words) <= 60 else words[:59] + "…").replace("$", r"\$")


def _nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "no messages", ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _from_zero(axes: Any) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_ylim(bottom=0)
