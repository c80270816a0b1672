"""Mean ranks over images and how far apart they must lie, and how far two rankings agree.

Notation: `k` settings, `N` images, `R_j` the mean rank of setting `j`. Friedman's test asks whether
all `R_j` are alike. Nemenyi's critical difference is `q_{.05, k} / sqrt(2) * sqrt(k (k + 1) / (6 N))`
(Demsar 2006, section 3.2.2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Ranks(NamedTuple):
    """Mean ranks `(k,)` (1 is best), Friedman's p, the critical difference at 5 % and the number of images."""

    mean: Array
    friedman_p: float
    critical_difference: float
    n_images: int


def mean_ranks(values: ArrayLike, lower_is_better: bool = False) -> Ranks:
    """Return the mean ranks of settings over images; tied settings share the mean of their ranks.

    Args:
        values: `(images, settings)`; an image with a value that is not finite is left out.
        lower_is_better: whether the smallest value has rank 1.

    Raises:
        ValueError: fewer than two settings.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"values has shape {table.shape}; pass (images, settings) with at least two settings.")
    table = table[np.isfinite(table).all(axis=1)]
    n_images, count = table.shape
    if n_images == 0:
        return Ranks(np.full(count, np.nan), np.nan, np.nan, 0)
    ranks = rankdata(table if lower_is_better else -table, axis=1)
    spread = studentized_range.ppf(0.95, count, np.inf) / np.sqrt(2)
    constant = bool((ranks == ranks[:, :1]).all())
    p = float(friedmanchisquare(*ranks.T).pvalue) if count > 2 and not constant else (1.0 if constant else np.nan)
    return Ranks(ranks.mean(axis=0), p, float(spread * np.sqrt(count * (count + 1) / (6 * n_images))), n_images)


def agreement(a: ArrayLike, b: ArrayLike) -> float:
    """Return Kendall's tau-b of two scores of the same settings, in [-1, 1]; NaN where one of them is constant."""
    from scipy.stats import kendalltau

    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    kept = np.isfinite(first) & np.isfinite(second)
    if kept.sum() < 2 or np.ptp(first[kept]) == 0 or np.ptp(second[kept]) == 0:
        return float("nan")
    return float(kendalltau(first[kept], second[kept]).statistic)
