"""Quality against what it costs: backward images, and all passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffig.report.figures.canvas import MUTED, PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import count_ticks, point_labels
from diffig.report.wording import count, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BACKWARD, PASSES = "backward_images", "passes"
TITLES = {
    BACKWARD: "backward images per explained image",
    PASSES: "passes per explained image, forward and backward images together",
}


def cost_figure(table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]) -> Figure | None:
    """Draw settings by price and score, one panel for each price; the line joins those that no cheaper one beats.

    An equal number of backward images is no equal price where a method asks for many forward images besides.
    """
    shown = table.dropna(subset=["mean", BACKWARD])
    if shown.empty:
        return None
    shown = shown.assign(passes=shown[BACKWARD] + shown["forward_images"])
    prices = [BACKWARD, PASSES] if shown[PASSES].notna().all() else [BACKWARD]
    with drawing(height=3.3 * len(prices) + 0.2, rows=len(prices)) as (canvas, grid):
        panels = list(zip(np.atleast_1d(grid), prices, strict=True))
        fronts = [_panel(axes, shown, price, metric, look) for axes, price in panels]
        for (axes, price), front in zip(panels, fronts, strict=True):
            _names(canvas, axes, shown, price, front, reference)
        caption = _backward_in_words(shown, fronts[0])
        caption += _passes_in_words(shown, reference, lower_is_better(metric)) if PASSES in prices else ""
        caption += " A line joins the settings that no cheaper setting beats; bars are 95 % intervals."
        return finish(canvas, "cost", "Quality for its price", caption)


def _panel(axes: Axes, shown: pd.DataFrame, price: str, metric: str, look: dict[str, Style]) -> pd.DataFrame:
    """Draw one panel and return the settings on its front, cheapest first."""
    costs = shown[price].to_numpy()
    front = pareto(costs, shown["mean"].to_numpy() * (-1 if lower_is_better(metric) else 1))
    best = shown.iloc[sorted(front)].sort_values(price)
    axes.plot(best[price], best["mean"], drawstyle="steps-post", color=MUTED, lw=1.2, zorder=1)
    for method, own in shown.groupby("method", sort=False):
        style, in_front = look[str(method)], own["setting"].isin(best["setting"])
        axes.vlines(own[price], own["low"], own["high"], color=style.colour, lw=1, alpha=0.25, zorder=1)
        for some, size in ((own[~in_front], 4.5), (own[in_front], 7.0)):
            axes.plot(some[price], some["mean"], style.marker, color=style.colour, ms=size, mec=PAPER, mew=0.7)
    few, low, high = costs.min() <= 0, costs.min(), costs.max()
    axes.set_xscale("symlog", linthresh=1) if few else axes.set_xscale("log")
    axes.set_xlim(-0.3 if few else low / 1.6, max(high, 1) * 4)
    count_ticks(axes, low, high)
    axes.set_xlabel(TITLES[price])
    axes.set_ylabel(metric)
    return best


def _names(canvas: Any, axes: Axes, shown: pd.DataFrame, price: str, front: pd.DataFrame, reference: str) -> None:
    firsts = shown[~shown["method"].duplicated()]
    full = [shown["setting"].iloc[0], reference, *front["setting"][front["method"].duplicated(keep="last")]]
    named = shown[shown["setting"].isin([*full, *firsts["setting"]])]
    texts = [row["setting"] if row["setting"] in full else row["method"] for _, row in named.iterrows()]
    spots = list(zip(named[price], named["mean"], texts, strict=True))
    corners = list(zip(front[price], front["mean"], strict=True))
    point_labels(canvas, axes, shown[[price, "mean"]].to_numpy(dtype=float), corners, spots)


def _backward_in_words(shown: pd.DataFrame, front: pd.DataFrame) -> str:
    top, cheap = shown.iloc[0], front.iloc[0]
    caption = f"{top['setting']} scores best at {count(top[BACKWARD])} backward images per image"
    if cheap["setting"] != top["setting"]:
        caption += f"; the cheapest setting on the front is {cheap['setting']}"
        caption += f" ({count(cheap[BACKWARD])} for {number(cheap['mean'])})"
    return f"{caption}."


def _passes_in_words(shown: pd.DataFrame, reference: str, lower: bool) -> str:
    """What the winner asks when forward images count too, and who leads at the price of the reference."""
    top, anchor = shown.iloc[0], shown[shown["setting"] == reference]
    text = f" Forward images counted too, it asks for {count(top[PASSES])} passes"
    if anchor.empty or top["setting"] == reference or min(anchor.iloc[0][PASSES], top[PASSES]) <= 0:
        return f"{text}."
    price = anchor.iloc[0][PASSES]
    able = shown[shown[PASSES] <= price]
    best = able.loc[able["mean"].idxmin() if lower else able["mean"].idxmax()]
    text += f", {number(top[PASSES] / price)} times the {count(price)} of {reference}"
    return f"{text}; at no more passes than {reference}, {best['setting']} scores best ({number(best['mean'])})."


def pareto(cost: np.ndarray, quality: np.ndarray) -> set[int]:
    """Return the positions that no other beats at equal or lower cost; of equals, the first."""
    front: set[int] = set()
    best = -np.inf
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -quality[i])):
        if quality[i] > best:
            front.add(i)
            best = quality[i]
    return front
