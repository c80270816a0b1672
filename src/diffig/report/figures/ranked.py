"""Every setting's mean with its interval, and the completeness gap of the same settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.report.figures.canvas import LINE, PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.wording import against, estimate, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd


def shortlist(table: pd.DataFrame, reference: str, most: int = 14) -> pd.DataFrame:
    """Return the best setting of every method, the reference, and the best others, in the order of the table."""
    first = ~table["method"].duplicated() | (table["setting"] == reference)
    others = table[~first].head(max(0, most - int(first.sum())))
    return table[first | table["setting"].isin(others["setting"])]


def ranked_figure(
    table: pd.DataFrame, pairs: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]
) -> Figure:
    """Draw means with their intervals, best first; the band is the interval of the reference."""
    shown = shortlist(table, reference)
    with drawing(height=0.42 * len(shown) + 0.75) as (canvas, axes):
        anchor = table[table["setting"] == reference].iloc[0]
        axes.axvspan(anchor["low"], anchor["high"], color=LINE, alpha=0.6, lw=0)
        setting_lines(axes, shown, lambda row: estimate(row["mean"], row["low"], row["high"]), reference)
        for y, (_, row) in enumerate(shown.iterrows()):
            style = look[row["method"]]
            axes.plot([row["low"], row["high"]], [y, y], color=style.colour, lw=2.2, solid_capstyle="round")
            axes.plot(row["mean"], y, style.marker, color=style.colour, ms=6.5, mec=PAPER, mew=0.8)
        axes.set_xlabel(f"{metric}  ({'lower' if lower_is_better(metric) else 'higher'} is better)")
        best, caption = shown.iloc[0], ""
        values = f"{best['setting']} ({estimate(best['mean'], best['low'], best['high'])})"
        if best["setting"] == reference:
            caption = f"{values} is the reference and ranks first; nothing else scores better."
        else:
            pair = pairs[pairs["setting"] == best["setting"]].iloc[0]
            caption = f"{values} {against(pair, reference)}."
        hidden = len(table) - len(shown)
        caption += f" Bars are 95 % intervals over images; the band is that of {reference}."
        caption += f" {hidden} lower settings are only in the table." if hidden else ""
        return finish(canvas, "ranked", f"Ranking by {metric}", caption)


def gap_figure(rows: pd.DataFrame, best: pd.DataFrame, look: dict[str, Style]) -> Figure | None:
    """Draw the size of the completeness gap per image: median, middle half and middle 90 %, log axis."""
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
