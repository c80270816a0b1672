"""Infidelity: does an attribution say by how much the score changes when a patch is taken away.

Notation: patch `k` covers the pixels `S_k`; `e_k = sum of a over S_k` is what the attribution expects the score to
lose, `d_k = f(x) - f(x with S_k set to x')` what it does lose; `beta = sum_k e_k d_k / sum_k e_k^2` the best single
scale.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained, check_classes


class Infidelity(Metric):
    """Infidelity (Yeh, Hsieh, Suggala, Inouye and Ravikumar, NeurIPS 2019) with square patches set to the baseline.

    `infidelity` is the mean over patches of `(beta e_k - d_k)^2` on the target's logit, lower is better, in squared
    logits, so compare methods on one classifier. `infidelity_r2` is 1 minus that over the variance of `d_k`: at most 1,
    and exactly 0 for a constant map, because all patches have one size; below 0 the map expects less than a constant
    does. NaN where no patch changes the score. Attributions are contributions, `a = (x - x') times something`, so the
    perturbation they are multiplied with is the patch's indicator. The one scale `beta` (of either sign) puts maps in
    other units on the same footing.

    Args:
        share: side of a patch as a share of the image's; .25 is 56 pixels of 224.
        grid: patches per direction, spread evenly over all positions inside the image; `grid ** 2` forwards.
    """

    names = ("infidelity", "infidelity_r2")
    direction = MappingProxyType({"infidelity": "lower", "infidelity_r2": "higher"})
    value_range = MappingProxyType({"infidelity": (0.0, math.inf), "infidelity_r2": (-math.inf, 1.0)})
    family = "faithfulness by perturbation"
    sensitive_to = ("share", "grid")

    def __init__(self, share: float = 0.25, grid: int = 8) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share={share} must lie strictly between 0 and 1; .25 is a quarter of each side")
        self.share = float(share)
        self.grid = check_at_least(grid, 1, "grid", "patches per direction")
        self.forwards = self.grid**2 + 1

    def _measure(self, explained: Explained) -> Measured:
        corners = patches(explained.images.shape[2], explained.images.shape[3], self.share, self.grid)
        corners = corners.to(explained.images.device)
        check_classes(explained.targets, explained.clean_logits.shape[1])
        clean = explained.clean_logits.gather(1, explained.targets[:, None])
        lost = clean - torch.cat([self._left(explained, rows, corners) for rows in explained.groups()])
        expected = torch.cat([_inside(explained.maps[rows], corners) for rows in explained.groups()])
        # The scale is free: a maximum of one keeps the squares of small numbers from underflowing.
        largest = expected.abs().amax(1, keepdim=True)
        expected = expected / torch.where(largest > 0, largest, 1)
        power = expected.square().sum(1, keepdim=True)
        beta = (expected * lost).sum(1, keepdim=True) / torch.where(power > 0, power, 1)
        residual = (beta * expected - lost).square().mean(1)
        variance = lost.var(1, correction=0)
        r2 = torch.where(variance > 0, 1 - residual / torch.where(variance > 0, variance, 1), torch.nan)
        return Measured({"infidelity": residual, "infidelity_r2": r2}, {})

    def _left(self, explained: Explained, rows: slice, corners: Tensor) -> Tensor:
        """The target's logit `(B, K)` with each patch set to the baseline, for one group of images."""
        images, baselines, targets = explained.images[rows], explained.baselines[rows], explained.targets[rows]
        count = len(corners)
        logits = []
        for copies in torch.split(torch.arange(len(images) * count, device=images.device), explained.score.chunk_size):
            image, patch = copies // count, copies % count
            gone = _covers(corners[patch], images.shape[2], images.shape[3])[:, None]
            changed = torch.where(gone, baselines[image], images[image])
            logits.append(explained.score.logits(changed).gather(1, targets[image][:, None])[:, 0])
        return torch.cat(logits).reshape(-1, count)


def patches(height: int, width: int, share: float, grid: int) -> Tensor:
    """Return the patches `(grid ** 2, 4)`: top, left, bottom, right, all of one size and inside the image."""
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    tops = torch.linspace(0, height - tall, grid).round().long()
    lefts = torch.linspace(0, width - wide, grid).round().long()
    top, left = (side.flatten() for side in torch.meshgrid(tops, lefts, indexing="ij"))
    return torch.stack([top, left, top + tall, left + wide], 1)


def _covers(corners: Tensor, height: int, width: int) -> Tensor:
    """Which pixels `(K, H, W)` the patches cover."""
    top, left, bottom, right = corners.T[..., None]
    y, x = torch.arange(height, device=corners.device), torch.arange(width, device=corners.device)
    return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None]


def _inside(maps: Tensor, corners: Tensor) -> Tensor:
    """The sum `(B, K)` of maps `(B, C, H, W)` over each patch."""
    covers = _covers(corners, *maps.shape[2:]).to(maps)
    return torch.einsum("bhw,khw->bk", maps.sum(1), covers)
