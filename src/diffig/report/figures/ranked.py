"""Means of the best settings with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.report.figures.canvas import LINE, PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.wording import against, estimate, lower_is_better

if TYPE_CHECKING:
    import pandas as pd


def shortlist(table: pd.DataFrame, reference: str, most: int = 14) -> pd.DataFrame:
    """The best setting of every method, the reference, and the best others, in the order of the table."""
    first = ~table["method"].duplicated() | (table["setting"] == reference)
    others = table[~first].head(max(0, most - int(first.sum())))
    return table[first | table["setting"].isin(others["setting"])]


def ranked_figure(
    table: pd.DataFrame, pairs: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]
) -> Figure:
    """Means with their intervals, best first; the band is the interval of the reference."""
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
