"""Similarity of two maps: rank correlation, structural similarity, and correlation of gradient histograms.

All take maps `(B, H, W)` of absolute values and return one number `(B,)`, at most 1. Two constant maps are alike (1); a
constant one and another are not (0).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """Return Spearman's rank correlation `(B,)` in [-1, 1]; ties share the mean of their ranks."""
    return pearson(_mean_ranks(one.flatten(1)), _mean_ranks(other.flatten(1)))


def pearson(one: Tensor, other: Tensor) -> Tensor:
    """Return Pearson's correlation `(B,)` of rows `(B, d)`, in [-1, 1]."""
    first, second = (rows - rows.mean(1, keepdim=True) for rows in (one, other))
    # Rows that differ by rounding alone are constant.
    flat = [centred.abs().amax(1) <= 1e-6 * rows.abs().amax(1) for centred, rows in ((first, one), (second, other))]
    # To a maximum of one, so that squares of small numbers do not underflow.
    first, second = (rows / torch.where(rows == 0, 1, rows).abs().amax(1, keepdim=True) for rows in (first, second))
    norms = first.norm(dim=1) * second.norm(dim=1)
    correlation = (first * second).sum(1) / torch.where(norms > 0, norms, 1)
    return torch.where(flat[0] | flat[1], (flat[0] & flat[1]).to(correlation), correlation)


def _mean_ranks(rows: Tensor) -> Tensor:
    ascending = rows.sort(1).values
    first = torch.searchsorted(ascending, rows.contiguous())
    last = torch.searchsorted(ascending, rows.contiguous(), right=True)
    return (first + last).to(rows) / 2


def ssim(one: Tensor, other: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Return the mean structural similarity `(B,)` in [-1, 1] (Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 2004).

    Each map is divided by its maximum first, so its range is [0, 1] and the constants are .01^2 and .03^2. Windows that
    would leave the map are left out; on maps smaller than the window the window shrinks to the largest odd size.
    """
    side = min(window, *one.shape[1:])
    side -= 1 - side % 2
    offsets = torch.arange(side, device=one.device, dtype=one.dtype) - side // 2
    weights = (-offsets.square() / (2 * sigma**2)).exp()
    kernel = torch.outer(weights, weights)[None, None] / weights.sum() ** 2

    def mean(maps: Tensor) -> Tensor:
        return functional.conv2d(maps[:, None], kernel)[:, 0]

    first, second = (_to_one(maps) for maps in (one, other))
    mean_1, mean_2 = mean(first), mean(second)
    variance_1, variance_2 = mean(first.square()) - mean_1.square(), mean(second.square()) - mean_2.square()
    covariance = mean(first * second) - mean_1 * mean_2
    light = (2 * mean_1 * mean_2 + 0.01**2) / (mean_1.square() + mean_2.square() + 0.01**2)
    return (light * (2 * covariance + 0.03**2) / (variance_1 + variance_2 + 0.03**2)).mean((1, 2))


def _to_one(maps: Tensor) -> Tensor:
    largest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(largest > 0, largest, 1)


def hog(one: Tensor, other: Tensor, cells: int = 14, bins: int = 9) -> Tensor:
    """Return the correlation `(B,)` of the maps' histograms of oriented gradients (Dalal and Triggs, CVPR 2005).

    Central differences, unsigned orientations in `bins` bins, one histogram for each cell, weighted by magnitude and
    scaled to norm one; `cells` of them along the shorter side, each of at least 2 pixels where the map has as many.
    """
    shorter = min(one.shape[1:])
    side = min(max(2, shorter // cells), shorter)
    return pearson(*(_histograms(_to_one(maps), side, bins).flatten(1) for maps in (one, other)))


def _histograms(maps: Tensor, side: int, bins: int) -> Tensor:
    """Histograms `(B, rows, columns, bins)`; pixels beyond the last whole cell are left out."""
    down, across = torch.zeros_like(maps), torch.zeros_like(maps)
    down[:, 1:-1] = maps[:, 2:] - maps[:, :-2]
    across[:, :, 1:-1] = maps[:, :, 2:] - maps[:, :, :-2]
    angle = torch.atan2(down, across).remainder(torch.pi) / torch.pi * bins
    place = angle.long().clamp(max=bins - 1)
    votes = functional.one_hot(place, bins).to(maps) * torch.hypot(down, across)[..., None]
    rows, columns = maps.shape[1] // side, maps.shape[2] // side
    kept = votes[:, : rows * side, : columns * side]
    cells = kept.unflatten(2, (columns, side)).unflatten(1, (rows, side)).sum((2, 4))
    return cells / (cells.square().sum(-1, keepdim=True) + 1e-10).sqrt()
