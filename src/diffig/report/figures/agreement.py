"""How alike metrics rank methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.ranks import agreement
from diffig.report.families import families_in_order, family_of, settings_by_metric
from diffig.report.figures.canvas import SERIES, WIDTH, Figure, drawing, finish
from diffig.report.wording import MINUS, judges_methods, number

if TYPE_CHECKING:
    import pandas as pd

MOST = 16
LIKE, UNLIKE = SERIES[0], SERIES[1]


def agreement_figure(ranked: dict[str, pd.DataFrame], best: pd.DataFrame, headline: str) -> Figure | None:
    """Kendall's tau between every two metrics over the methods' best settings; metrics in order of their family."""
    from matplotlib.patches import Rectangle

    scores = settings_by_metric(ranked, list(best["setting"]))
    judging = filter(judges_methods, scores.columns)
    known = [metric for metric in judging if scores[metric].notna().sum() >= 4 and scores[metric].nunique() > 1]
    order = families_in_order(map(family_of, known))
    metrics = sorted(known, key=lambda metric: (metric != headline, order.index(family_of(metric)), metric))[:MOST]
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
