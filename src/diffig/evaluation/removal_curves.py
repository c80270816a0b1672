"""Insertion and deletion curves as figures: of all images, and of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def draw_curves(curves: pd.DataFrame, title: str = "") -> Any:
    """Return a matplotlib figure: each curve's mean over images, with the quartiles where there are several.

    Args:
        curves: points with `curve`, `x`, `value` and `image_index`.
        title: above the axes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.0))
    axis = figure.add_subplot()
    for name, points in curves.groupby("curve", sort=True):
        table = points.pivot_table(index="x", columns="image_index", values="value")
        (line,) = axis.plot(table.index, table.mean(axis=1), lw=1.4, label=str(name))
        if table.shape[1] > 1:
            low, high = table.quantile(0.25, axis=1), table.quantile(0.75, axis=1)
            axis.fill_between(table.index, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axis.set_xlabel("share of pixels changed")
    axis.set_ylabel("target's probability")
    axis.set_title(title, fontsize=9)
    axis.legend(frameon=False, fontsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def removal_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the points of insertion and deletion curves only."""
    return curves[curves["curve"].str.contains("insertion|deletion")]
