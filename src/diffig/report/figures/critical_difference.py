"""Mean ranks and the distance at which two of them differ."""

from __future__ import annotations

import pandas as pd

from diffig.evaluation.ranks import mean_ranks
from diffig.report.figures.canvas import PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.ranking import image_table
from diffig.report.wording import lower_is_better, number, p_text

MOST = 24


def rank_figure(rows: pd.DataFrame, best: pd.DataFrame, metric: str, look: dict[str, Style]) -> Figure | None:
    """Mean rank of the best setting of each method; bars of half a critical difference to each side."""
    shown = best.head(MOST)
    if len(shown) < 3:
        return None
    values = image_table(rows, metric)[list(shown["setting"])]
    ranks = mean_ranks(values, lower_is_better(metric))
    if ranks.n_images < 2:
        return None
    shown = shown.assign(mean_rank=ranks.mean).sort_values("mean_rank", kind="stable")
    half = ranks.critical_difference / 2
    with drawing(height=0.36 * len(shown) + 0.75) as (canvas, axes):
        setting_lines(axes, shown, lambda row: number(row["mean_rank"]))
        for y, (_, row) in enumerate(shown.iterrows()):
            style, x = look[row["method"]], row["mean_rank"]
            axes.plot([x - half, x + half], [y, y], color=style.colour, lw=2.2, solid_capstyle="round", alpha=0.6)
            axes.plot(x, y, style.marker, color=style.colour, ms=6.5, mec=PAPER, mew=0.8)
        axes.set_xlabel(f"mean rank in {metric}  (1 is best)")
        first = shown.iloc[0]
        tied = [
            row["setting"] for _, row in shown.iloc[1:].iterrows() if row["mean_rank"] - first["mean_rank"] < 2 * half
        ]
        apart = (
            f"cannot be told from {', '.join(tied[:4])}{' and others' if len(tied) > 4 else ''}" if tied else "is alone"
        )
        caption = (
            f"{first['setting']} has the best mean rank ({number(first['mean_rank'])} of {len(shown)}) and {apart}."
            f" Two methods differ where their bars do not overlap (critical difference {number(2 * half)}, Nemenyi, 5 %"
            f"; {ranks.n_images} images that all have). Friedman p {_p(ranks.friedman_p)}. Best setting of each method."
        )
        return finish(canvas, "mean-ranks", f"Mean ranks by {metric}", caption)


def _p(value: float) -> str:
    text = p_text(value)
    return text if text.startswith("<") else f"= {text}"
