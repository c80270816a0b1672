"""How reliable is each metric on these images: whether single images agree on the order of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.reliability import rank_reliability
from diffig.report.families import family_of
from diffig.report.ranking import image_table
from diffig.report.wording import judges_methods

if TYPE_CHECKING:
    import pandas as pd

RELIABILITY_TITLES = {
    "metric": "Metric",
    "alpha": "Alpha",
    "word": "One image alone",
    "of_mean": "Of the mean rank",
    "images": "Images",
    "settings": "Settings",
    "family": "Family",
}
# Krippendorff's (2004, section 11.4.2) customary bounds.
RELIABLE, TENTATIVE = 0.8, 0.667


def reliability_table(rows: pd.DataFrame, settings: list[str], metrics: list[str]) -> pd.DataFrame | None:
    """Return one line for each metric that judges methods, most reliable first; None where none can be said.

    Args:
        rows: of one comparison, with the column `setting`.
        settings: what is ranked; at least three of them must have the metric, on two images or more.
        metrics: in question.
    """
    import pandas as pd

    lines = []
    for metric in filter(judges_methods, metrics):
        found = rank_reliability(image_table(rows, metric).reindex(columns=settings))
        if found.n_settings < 3 or not np.isfinite(found.alpha):
            continue
        lines.append(
            {
                "metric": metric,
                "family": family_of(metric),
                "alpha": found.alpha,
                "of_mean": found.of_mean,
                "images": found.n_images,
                "settings": found.n_settings,
                "word": in_a_word(found.alpha),
            }
        )
    if not lines:
        return None
    return pd.DataFrame(lines).sort_values("alpha", ascending=False, kind="stable").reset_index(drop=True)


def in_a_word(alpha: float) -> str:
    """Return what the order of methods on one image is, as a measurement of their order."""
    if alpha >= RELIABLE:
        return "reliable"
    return "tentative" if alpha >= TENTATIVE else "unreliable" if alpha > 0 else "chance"
