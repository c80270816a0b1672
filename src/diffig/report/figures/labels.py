"""Names, values and ticks beside lines and points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffig.report.figures.canvas import MUTED, PAPER

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas


def setting_lines(axes: Axes, shown: pd.DataFrame, value: Any, reference: str | None = None, bold: int = 0) -> None:
    """One line per setting: its name above the mark at the left edge, its value at the right edge."""
    axes.set_ylim(len(shown) - 0.55, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    edge = axes.get_yaxis_transform()
    letters = max(
        len(row["setting"]) + 13 * (row["setting"] == reference) + len(value(row)) for _, row in shown.iterrows()
    )
    size = 8.5 * min(1.0, 64 / letters)  # so many letters fit at 8.5 points
    for y, (_, row) in enumerate(shown.iterrows()):
        name = f"{row['setting']}  (reference)" if row["setting"] == reference else row["setting"]
        weight = "bold" if y == bold else "normal"
        axes.text(0, y - 0.42, name, transform=edge, va="center", fontsize=size, fontweight=weight)
        axes.text(1, y - 0.42, value(row), transform=edge, va="center", ha="right", fontsize=size, color=MUTED)


def dashes(n: int) -> list[Any]:
    """Return `n` styles of lines, four that take turns."""
    return [["-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2))][i % 4] for i in range(n)]


def count_ticks(axes: Axes, low: float, high: float, shown: list[float] | None = None) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, at the powers alone where these are many, or at the values `shown`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    every = [m * 10**e for e in range(7) for m in ((1, 2, 5) if high < 250 * max(low, 1) else (1,))]
    inside = shown or [tick for tick in every if max(low, 1) / 1.6 <= tick <= high * 2.2]
    axes.xaxis.set_major_locator(FixedLocator(([0] if low <= 0 else []) + inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def end_labels(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names at the right end of their lines, pushed apart so that none covers another."""
    low, high = axes.get_ylim()
    step = (high - low) * 0.085
    ends = sorted(ends, key=lambda end: end[1])
    heights = [end[1] for end in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + step)
    overshoot = max(0.0, heights[-1] - high)
    right = max(end[0] for end in ends)
    for (_, _, name, colour), height in zip(ends, heights, strict=True):
        text = axes.text(right + 0.12, height - overshoot, name, va="center", fontsize=8.5, color=colour)
        text.set_in_layout(False)


def point_labels(
    canvas: Canvas,
    axes: Axes,
    every: NDArray[np.float64],
    front: list[tuple[float, float]],
    named: list[tuple[float, float, str]],
) -> None:
    """Names beside their points, at the place that hides the fewest points, other names and pieces of the front.

    Args:
        canvas, axes: what is drawn on.
        every: `(points, 2)`, all points in the data's units.
        front: the corners of the front, in the order of the first coordinate.
        named: the points that get a name, and it.
    """
    canvas.draw_without_rendering()
    renderer = canvas.canvas.get_renderer()  # type: ignore[attr-defined]
    corners = [(x, y) for (x, _), (_, y) in zip(front[1:], front[:-1], strict=True)]
    line = sorted({*front, *corners})
    obstacles = axes.transData.transform(every)
    bends = axes.transData.transform(np.array(line, dtype=float))
    along = [bends[:-1] + (bends[1:] - bends[:-1]) * share for share in np.linspace(0, 1, 24)]
    points = np.concatenate([obstacles, *along])
    frame = axes.get_window_extent(renderer)
    taken: list[Any] = []
    places = [(-5, 8, "right"), (5, 8, "left"), (0, 11, "center"), (-8, 0, "right"), (8, 0, "left"), (5, -9, "left")]
    places += [(-5, -9, "right"), (-8, 16, "right"), (8, 16, "left"), (8, -18, "left"), (-8, -18, "right")]
    for x, y, name in named:
        options = []
        for dx, dy, side in places:
            text = axes.annotate(
                _wrapped(name), (x, y), (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=8
            )
            text.set_bbox({"facecolor": PAPER, "alpha": 0.75, "linewidth": 0, "pad": 0.6})
            text.set_in_layout(False)
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            low, high = np.array([box.x0, box.y0]) - 3, np.array([box.x1, box.y1]) + 3
            hits = int(((points > low) & (points < high)).all(axis=1).sum())
            hits += 3 * sum(box.overlaps(other) for other in taken) + (0 if inside else 5)
            options.append((hits, text, box))
            if hits == 0:
                break
        chosen = min(range(len(options)), key=lambda i: options[i][0])
        for i, (_, text, box) in enumerate(options):
            if i == chosen:
                taken.append(box)
            else:
                text.remove()


def _wrapped(name: str) -> str:
    method, _, rest = name.partition(" ")
    return f"{method}\n{rest}" if len(name) > 18 and rest else name
