"""Ranks over images: the critical difference between settings, and how far metrics agree on them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diffig.evaluation.ranks import agreement, mean_ranks
from diffig.report.families import families_in_order, family_of, settings_by_metric
from diffig.report.figures.canvas import PAPER, SERIES, WIDTH, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.ranking import image_table
from diffig.report.wording import MINUS, judges_methods, lower_is_better, number, p_text

MOST_SETTINGS = 24


def rank_figure(rows: pd.DataFrame, best: pd.DataFrame, metric: str, look: dict[str, Style]) -> Figure | None:
    """Draw the mean rank of the best setting of each method; bars of half a critical difference to each side."""
    shown = best.head(MOST_SETTINGS)
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


MOST_METRICS = 16
LIKE, UNLIKE = SERIES[0], SERIES[1]


def agreement_figure(ranked: dict[str, pd.DataFrame], best: pd.DataFrame, headline: str) -> Figure | None:
    """Draw Kendall's tau between every two metrics over the methods' best settings; metrics in order of family."""
    from matplotlib.patches import Rectangle

    scores = settings_by_metric(ranked, list(best["setting"]))
    judging = filter(judges_methods, scores.columns)
    known = [metric for metric in judging if scores[metric].notna().sum() >= 4 and scores[metric].nunique() > 1]
    order = families_in_order(map(family_of, known))
    metrics = sorted(known, key=lambda metric: (metric != headline, order.index(family_of(metric)), metric))[
        :MOST_METRICS
    ]
    if len(metrics) < 3 or headline not in metrics:
        return None
    taus = np.array([[agreement(scores[a], scores[b]) for b in metrics] for a in metrics])
    own = {metric: taus[0, place] for place, metric in enumerate(metrics) if place and np.isfinite(taus[0, place])}
    if not own:  # no other metric has settings in common with it
        return None
    side = (WIDTH - 2.0) / len(metrics)
    with drawing(height=side * len(metrics) + 1.75) as (canvas, axes):
        for y, x in np.ndindex(taus.shape):
            if np.isfinite(taus[y, x]):
                colour = LIKE if taus[y, x] > 0 else UNLIKE
                axes.add_patch(
                    Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=colour, alpha=0.62 * abs(taus[y, x]), lw=0)
                )
            if len(metrics) <= 12 and x != y:
                text = f"{taus[y, x]:z.1f}".replace("0.", ".").replace("-", MINUS)
                axes.text(x, y, text, ha="center", va="center", fontsize=min(8.0, 26 * side))
        axes.set_xlim(-0.5, len(metrics) - 0.5)
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        axes.set_xticks(range(len(metrics)), metrics, rotation=90, fontsize=7.5)
        axes.set_yticks(range(len(metrics)), metrics, fontsize=7.5)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        closest, farthest = max(own, key=lambda m: own[m]), min(own, key=lambda m: own[m])
        caption = (
            f"{closest} ranks the methods most as {headline} does (tau {number(own[closest])}), {farthest} least"
            f" (tau {number(own[farthest])}). Kendall's tau over the best settings of {len(best)} methods, every"
            " metric read so that more is better; blue agrees, orange contradicts."
        )
        return finish(canvas, "agreement", "Do the metrics agree?", caption)
