"""Completeness gap of single images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.report.figures.canvas import PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.wording import number

if TYPE_CHECKING:
    import pandas as pd


def gap_figure(rows: pd.DataFrame, best: pd.DataFrame, look: dict[str, Style]) -> Figure | None:
    """Size of the completeness gap per image: median, middle half and middle 90 %, log axis."""
    spread = []
    for _, setting in best.iterrows():
        own = rows[rows["setting"] == setting["setting"]].drop_duplicates(["image_index", "seed"])
        gaps = own["gap"].abs().to_numpy(dtype=float)
        gaps = gaps[np.isfinite(gaps)]
        if len(gaps):
            quantiles = np.maximum(np.quantile(gaps, [0.05, 0.25, 0.5, 0.75, 0.95]), 1e-8)
            spread.append((setting, quantiles))
    if not spread:
        return None
    spread.sort(key=lambda pair: pair[1][2])
    import pandas as pd
    from matplotlib.ticker import FuncFormatter, NullLocator

    shown = pd.DataFrame([{**s, "median_gap": q[2]} for s, q in spread])
    with drawing(height=0.42 * len(shown) + 0.75) as (canvas, axes):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        setting_lines(axes, shown, lambda row: number(row["median_gap"]))
        for y, (setting, q) in enumerate(spread):
            style = look[setting["method"]]
            axes.plot(q[[0, 4]], [y, y], color=style.colour, lw=1.1, alpha=0.7)
            axes.plot(q[[1, 3]], [y, y], color=style.colour, lw=4, solid_capstyle="butt", alpha=0.45)
            axes.plot(q[2], y, style.marker, color=style.colour, ms=6.5, mec=PAPER, mew=0.8)
        axes.set_xlabel("|sum of attribution \N{MINUS SIGN} change of score|  (lower is better)")
        (low, low_q), (high, high_q) = spread[0], spread[-1]
        caption = f"{low['setting']} has the smallest gap (median {number(low_q[2])})"
        if len(spread) > 1:
            caption += f", {high['setting']} the largest (median {number(high_q[2])})"
        caption += ". Mark: median; thick: middle half of the images; thin: middle 90 %. Best setting of each method."
        return finish(canvas, "gap", "Completeness gap", caption)
