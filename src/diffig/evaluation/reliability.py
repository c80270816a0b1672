"""How far images agree on the order of methods: Krippendorff's alpha of a metric's rankings.

A metric is an instrument, and each image is one reading of it. If the images rank the methods alike, one image says
much of all; if each has an order of its own, only the mean over many says anything.

Notation: `x_ru` is what rater `r` gives item `u`, `m_u` the number of raters of item `u`, `n = sum of m_u` over items
with `m_u >= 2`, `d` the squared distance of two values. Observed and expected disagreement are
`D_o = 1/n sum_u 1/(m_u - 1) sum_{r != s} d(x_ru, x_su)` and `D_e = 1/(n (n - 1)) sum over all pairs of d`;
`alpha = 1 - D_o / D_e` (Krippendorff 2004, chapter 11; of metrics: Tomsett et al. 2020).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Level = Literal["ordinal", "interval"]


class Reliability(NamedTuple):
    """Ordinal alpha of the images' rankings, the reliability of the mean rank over them, and what was ranked."""

    alpha: float
    of_mean: float
    n_images: int
    n_settings: int


def krippendorff_alpha(ratings: ArrayLike, level: Level = "ordinal") -> float:
    """Return alpha: 1 where all raters agree, 0 where they agree as values drawn by chance would, below 0 for less.

    NaN where nothing can be said: no item with two raters, or one value everywhere. The ordinal distance of two values
    is the number of values between them, each end counted half: the difference of their places (ties share one) among
    all `n`.

    Args:
        ratings: `(raters, items)`; NaN where a rater says nothing of an item.
        level: `ordinal`, or `interval` for `d(a, b) = (a - b)^2`.

    Raises:
        ValueError: another shape or level.
    """
    from scipy.stats import rankdata

    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"ratings has shape {table.shape}; pass (raters, items).")
    if level not in get_args(Level):
        raise ValueError(f"level={level!r} is unknown; choose one of {list(get_args(Level))}.")
    table = table[:, np.isfinite(table).sum(axis=0) >= 2]
    known = np.isfinite(table)
    n = int(known.sum())
    if n == 0:
        return float("nan")
    values = table.copy()
    if level == "ordinal":
        values[known] = rankdata(table[known])
    values = np.where(known, values - values[known].mean(), 0.0)
    # The sum of (a - b)^2 over the ordered pairs of m values is 2 m (sum of squares) - 2 (sum)^2.
    count, total, squares = known.sum(axis=0), values.sum(axis=0), (values**2).sum(axis=0)
    observed = float((2 * (count * squares - total**2) / (count - 1)).sum() / n)
    expected = float(2 * (n * squares.sum() - total.sum() ** 2) / (n * (n - 1)))
    return 1 - observed / expected if expected > 0 else float("nan")


def rank_reliability(values: ArrayLike) -> Reliability:
    """Return how far images agree on the order of settings: each image ranks them, alpha is that of the rankings.

    Which way is better does not matter. The mean rank over `N` images has the reliability
    `N alpha / (1 + (N - 1) alpha)` (Spearman 1910; Brown 1910), 0 where alpha is not above 0.

    Args:
        values: `(images, settings)`; settings without any finite value are left out, then images that lack one.

    Raises:
        ValueError: another shape.
    """
    from scipy.stats import rankdata

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"values has shape {table.shape}; pass (images, settings).")
    table = table[:, np.isfinite(table).any(axis=0)]
    table = table[np.isfinite(table).all(axis=1)]
    n_images, count = table.shape
    if n_images < 2 or count < 2:
        return Reliability(float("nan"), float("nan"), n_images, count)
    alpha = krippendorff_alpha(rankdata(table, axis=1))
    of_mean = n_images * alpha / (1 + (n_images - 1) * alpha) if not alpha <= 0 else 0.0
    return Reliability(alpha, of_mean, n_images, count)
