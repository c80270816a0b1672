"""How sure a mean over images is: bootstrap intervals, paired differences, Holm's correction.

The image is the unit of sampling. Repeats (seeds) of one image are averaged first, so that ten seeds on fifty images
count as fifty observations and not as five hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Draw = Callable[[int, int, int], Iterator[Array]]

# Resamples are drawn in chunks of about this many numbers (16 MB), whatever the number of images.
CHUNK_NUMBERS = 2_000_000
HELD_NUMBERS = 10_000_000  # 80 MB


class Interval(NamedTuple):
    """Lower and upper end; both NaN when fewer than two images carry a finite value."""

    low: float
    high: float


class PairedDifference(NamedTuple):
    """Mean of `a - b` over the images both have, and how sure it is."""

    mean: float
    low: float
    high: float
    p_value: float
    win_rate: float  # share of images where a is better; a tie counts one half
    n_images: int
    n_dropped: int  # images with a non-finite value in a or in b


class Difference(NamedTuple):
    """Mean of `a - b` over common images and its interval."""

    mean: float
    low: float
    high: float
    n_images: int

    @property
    def separates(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def per_image(values: ArrayLike) -> Array:
    """Return one value per image: `(n,)` as it is, `(n, seeds)` averaged over the finite seeds.

    Images without any finite value become NaN.

    Raises:
        ValueError: if the array has neither one nor two dimensions.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise ValueError(f"values has shape {table.shape}; pass (images,) or (images, seeds).")
    finite = np.isfinite(table)
    count = finite.sum(axis=1)
    total = np.where(finite, table, 0.0).sum(axis=1)
    mean: Array = np.divide(total, count, out=np.full(len(table), np.nan), where=count > 0)
    return mean


def bootstrap_interval(values: ArrayLike, n: int = 10_000, seed: int = 0, level: float = 0.95) -> Interval:
    """Return the percentile bootstrap interval of the mean over images (Efron & Tibshirani, 1993, chapter 13).

    Args:
        values: `(images,)` or `(images, seeds)`; non-finite entries are left out.
        n: number of resamples.
        seed: the same seed and values give the same interval.
        level: coverage, between 0 and 1.
    """
    _check(n, level)
    images = per_image(values)
    images = images[np.isfinite(images)]
    if len(images) < 2:
        return Interval(np.nan, np.nan)
    means = np.concatenate([counts @ images / len(images) for counts in _held(_drawn, n, len(images), seed)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def sign_flip_p(differences: ArrayLike, n: int = 10_000, seed: int = 0) -> float:
    """Return the two-sided p of "the differences are symmetric around 0", by flipping their signs (Fisher, 1935).

    All `2**images` sign patterns are enumerated when there are at most `n` of them; otherwise `n` random ones
    are drawn and the observed one is counted among them, so that p is never 0 (Phipson & Smyth, 2010).
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"differences has shape {values.shape}; pass one difference per image, (images,).")
    if len(values) == 0:
        return float("nan")
    observed = abs(values.sum()) * (1 - 1e-12)
    # flipping a set of signs changes the sum by -2 * (sum over that set)
    if 2 ** min(len(values), 60) <= n:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs(values.sum() - 2 * (patterns @ values)) >= observed))
    reached = 1
    for flipped in _held(_flipped, n, len(values), seed):
        reached += int(np.sum(np.abs(values.sum() - 2 * (flipped @ values)) >= observed))
    return reached / (n + 1)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    n: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    lower_is_better: bool = False,
) -> PairedDifference:
    """Return the mean of `a - b` over common images, its bootstrap interval, sign-flip p and win rate.

    Args:
        a: `(images,)` or `(images, seeds)`.
        b: the same images in the same order; the number of seeds may differ.
        n: number of bootstrap resamples and of sign patterns.
        seed: the same seed and values give the same result.
        level: coverage of the interval.
        lower_is_better: only decides which side wins an image; the difference stays `a - b`.

    Raises:
        ValueError: if `a` and `b` hold different numbers of images.
    """
    _check(n, level)
    left, right = per_image(a), per_image(b)
    if len(left) != len(right):
        raise ValueError(f"a has {len(left)} images and b has {len(right)}; align them by image index first.")
    difference = left - right
    kept = difference[np.isfinite(difference)]
    n_dropped = len(difference) - len(kept)
    if len(kept) == 0:
        return PairedDifference(np.nan, np.nan, np.nan, np.nan, np.nan, 0, n_dropped)
    gains = -kept if lower_is_better else kept
    return PairedDifference(
        float(kept.mean()),
        *bootstrap_interval(kept, n, seed, level),
        sign_flip_p(kept, n, seed),
        float(np.mean(gains > 0) + 0.5 * np.mean(gains == 0)),
        len(kept),
        n_dropped,
    )


def simultaneous_differences(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]], n: int = 10_000, seed: int = 0, level: float = 0.95
) -> list[Difference]:
    """Return the mean of `a - b` for each pair; intervals hold for all pairs at once (Bonferroni; Dunn, 1961).

    Args:
        pairs: `(a, b)`, each `(images,)` or `(images, seeds)`; images where a or b is not finite are left out.
        n: number of resamples, raised where the narrow tails of many pairs need more.
        seed: the same seed and values give the same result.
        level: coverage of all intervals together; each alone covers `1 - (1 - level) / len(pairs)`.
    """
    _check(n, level)
    tail = (1 - level) / (2 * max(1, len(pairs)))
    resamples = max(n, math.ceil(10 / tail)) if len(pairs) > 1 else n
    found = []
    for a, b in pairs:
        difference = per_image(a) - per_image(b)
        kept = difference[np.isfinite(difference)]
        ends = bootstrap_interval(kept, resamples, seed, 1 - 2 * tail)
        found.append(Difference(float(kept.mean()) if len(kept) else np.nan, *ends, len(kept)))
    return found


def holm(p_values: ArrayLike) -> Array:
    """Return p adjusted for testing all at once (Holm, 1979), in the given order; NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def _held(draw: Draw, n: int, width: int, seed: int) -> Iterable[Array]:
    """What `draw` gives; held where it is small, because every line of a report asks for the same resamples."""
    return _kept(draw, n, width, seed) if n * width <= HELD_NUMBERS else draw(n, width, seed)


@lru_cache(maxsize=4)
def _kept(draw: Draw, n: int, width: int, seed: int) -> tuple[Array, ...]:
    return tuple(draw(n, width, seed))


def _drawn(n: int, width: int, seed: int) -> Iterator[Array]:
    """How often each of `width` images is in each of `n` resamples, in parts `(size, width)`."""
    rng = np.random.default_rng(seed)
    for size in _chunks(n, width):
        places = rng.integers(0, width, (size, width)) + width * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * width).reshape(size, width).astype(np.float64)


def _flipped(n: int, width: int, seed: int) -> Iterator[Array]:
    """Which of `width` signs are turned, 1 or 0, in `n` draws, in parts `(size, width)`."""
    rng = np.random.default_rng(seed)
    for size in _chunks(n, width):
        yield rng.integers(0, 2, (size, width), dtype=np.int8).astype(np.float64)


def _chunks(n: int, width: int) -> Iterator[int]:
    rows = max(1, CHUNK_NUMBERS // width)
    for start in range(0, n, rows):
        yield min(rows, n - start)


def _check(n: int, level: float) -> None:
    if n < 1:
        raise ValueError(f"n={n}; the number of resamples must be at least 1 (10000 is usual).")
    if not 0 < level < 1:
        raise ValueError(f"level={level}; the coverage must lie between 0 and 1, for example 0.95.")
