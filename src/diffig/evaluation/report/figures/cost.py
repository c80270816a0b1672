"""Quality against backward images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.report.figures.canvas import MUTED, PAPER, Figure, Style, drawing, finish
from diffig.evaluation.report.figures.labels import count_ticks, point_labels
from diffig.evaluation.report.wording import count, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd


def cost_figure(table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]) -> Figure | None:
    """Every setting by its backward images and its score; the line joins those that no cheaper setting beats."""
    shown = table.dropna(subset=["mean", "backward_images"])
    if shown.empty:
        return None
    lower = lower_is_better(metric)
    front = pareto(shown["backward_images"].to_numpy(), shown["mean"].to_numpy() * (-1 if lower else 1))
    best = shown.iloc[sorted(front)].sort_values("backward_images")
    with drawing(height=3.5) as (canvas, axes):
        axes.plot(best["backward_images"], best["mean"], drawstyle="steps-post", color=MUTED, lw=1.2, zorder=1)
        for _, row in shown.iterrows():
            style, on_front = look[row["method"]], row["setting"] in set(best["setting"])
            x = row["backward_images"]
            axes.plot([x, x], [row["low"], row["high"]], color=style.colour, lw=1, alpha=0.25, zorder=1)
            axes.plot(x, row["mean"], style.marker, color=style.colour, ms=7 if on_front else 4.5, mec=PAPER, mew=0.7)
        few = shown["backward_images"].min() <= 0
        axes.set_xscale("symlog", linthresh=1) if few else axes.set_xscale("log")
        low, high = shown["backward_images"].min(), shown["backward_images"].max()
        axes.set_xlim(-0.3 if few else low / 1.6, max(high, 1) * 4)
        count_ticks(axes, low, high)
        axes.set_xlabel("backward images per explained image")
        axes.set_ylabel(metric)
        firsts = shown[~shown["method"].duplicated()]
        full = [shown["setting"].iloc[0], reference, *best["setting"][best["method"].duplicated(keep="last")]]
        named = shown[shown["setting"].isin([*full, *firsts["setting"]])]
        texts = [row["setting"] if row["setting"] in full else row["method"] for _, row in named.iterrows()]
        spots = list(zip(named["backward_images"], named["mean"], texts, strict=True))
        steps = list(zip(best["backward_images"], best["mean"], strict=True))
        point_labels(canvas, axes, shown, steps, spots)
        top, cheap = shown.iloc[0], best.iloc[0]
        caption = f"{top['setting']} scores best at {count(top['backward_images'])} backward images per image"
        if cheap["setting"] != top["setting"]:
            caption += f"; the cheapest setting on the front is {cheap['setting']}"
            caption += f" ({count(cheap['backward_images'])} for {number(cheap['mean'])})"
        caption += f". The line joins the {len(best)} settings that no cheaper setting beats; bars are 95 % intervals."
        return finish(canvas, "cost", "Quality for its price", caption)


def pareto(cost: np.ndarray, quality: np.ndarray) -> set[int]:
    """Positions that no other beats at equal or lower cost; of equals, the first."""
    front: set[int] = set()
    best = -np.inf
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -quality[i])):
        if quality[i] > best:
            front.add(i)
            best = quality[i]
    return front
