"""Correlation metrics: over random sets of cells, attribution against the score's loss without them.

Notation: the image is cut into cells; for a set `S` of them, `e = sum of a over S` and `d = f(x) - f(x with S set to
x')` of the target's logit. Sets are keyed by the image's index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained, check_classes
from diffig.metrics.similarity import pearson, spearman
from diffig.randomness import Streams


class MuFidelity(Metric):
    """Faithfulness correlation on a grid: Spearman's of `e` and `d` over random sets of cells (`mufidelity`).

    Bhatt, Weller and Moura (IJCAI 2020) take sets of single pixels, whose drops are noise on large images; cells as in
    Fel, Cadene, Chalvidal, Cord, Vigouroux and Serre (NeurIPS 2021). In [-1, 1], higher is better; a constant map gets
    how far the number of missing cells alone explains the drop, and 0 where all sums are equal.

    Args:
        grid: cells in each direction; on smaller images one for each pixel of the shorter side.
        share: probability with which a cell goes.
        n_sets: sets, and forwards, for each image.
        seed: of the sets.
    """

    names = ("mufidelity",)
    direction = "higher"
    value_range = (-1.0, 1.0)
    family = "faithfulness by perturbation"
    sensitive_to = ("grid", "share", "n_sets", "seed")

    def __init__(self, grid: int = 9, share: float = 0.2, n_sets: int = 200, seed: int = 0) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share={share} must lie strictly between 0 and 1; .2 is usual")
        self.grid = check_at_least(grid, 2, "grid", "cells in each direction")
        self.n_sets = check_at_least(n_sets, 2, "n_sets", "sets of cells that are taken away")
        self.share, self.seed = float(share), seed
        self.forwards = self.n_sets + 1

    def _measure(self, explained: Explained) -> Measured:
        def draw(generator: np.random.Generator) -> np.ndarray:
            return generator.random((self.n_sets, grid**2)) < self.share

        grid = cells_across(explained, self.grid)
        sets = _sets(draw, self.seed, "mufidelity", explained)
        expected, lost = expected_and_lost(explained, sets, grid)
        # Two equal sets are a tie, which rounding must not break: it depends on the batch.
        expected, lost = expected.float().to(expected), lost.float().to(lost)
        return Measured({"mufidelity": spearman(expected, lost)}, {})


class SensitivityN(Metric):
    """Sensitivity-n (Ancona, Ceolini, Oztireli and Gross, ICLR 2018) on cells: Pearson's of `e` and `d` over sets of n.

    `sensitivity_n` is the mean over set sizes, the curve `sensitivity_n_by_share` shows each. In [-1, 1], higher is
    better. A constant map gets 0 where the image's sides are multiples of `grid`, because all its sums are equal.

    Args:
        grid: cells in each direction; on smaller images one for each pixel of the shorter side.
        shares: set sizes as shares of the cells, strictly between 0 and 1.
        n_sets: sets, and forwards, for each size and image.
        seed: of the sets.
    """

    names = ("sensitivity_n",)
    direction = "higher"
    value_range = (-1.0, 1.0)
    family = "faithfulness by perturbation"
    sensitive_to = ("grid", "shares", "n_sets", "seed")
    curve_names = ("sensitivity_n_by_share",)

    def __init__(
        self,
        grid: int = 14,
        shares: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 0.8),
        n_sets: int = 100,
        seed: int = 0,
    ) -> None:
        if not shares or not all(0 < share < 1 for share in shares):
            raise ValueError(f"shares={list(shares)} must lie strictly between 0 and 1; the authors go up to .8")
        self.grid = check_at_least(grid, 2, "grid", "cells in each direction")
        self.n_sets = check_at_least(n_sets, 2, "n_sets", "sets of cells for each size")
        self.axis, self.seed = tuple(float(share) for share in shares), seed
        self.forwards = self.n_sets * len(self.axis) + 1

    def _measure(self, explained: Explained) -> Measured:
        grid = cells_across(explained, self.grid)
        cells = grid**2
        sizes = [max(1, round(share * cells)) for share in self.axis]

        def draw(generator: np.random.Generator) -> np.ndarray:
            ranks = generator.random((len(sizes), self.n_sets, cells)).argsort(-1).argsort(-1)
            return (ranks < np.array(sizes)[:, None, None]).reshape(-1, cells)

        sets = _sets(draw, self.seed, "sensitivity_n", explained)
        both = (side.reshape(-1, self.n_sets) for side in expected_and_lost(explained, sets, grid))
        curve = pearson(*both).reshape(len(explained), -1)
        return Measured({"sensitivity_n": curve.mean(1)}, {"sensitivity_n_by_share": curve})


def cells_across(explained: Explained, grid: int) -> int:
    """Return the cells in each direction: `grid`, or as many as the shorter side has pixels, so that none is empty."""
    return min(grid, *explained.images.shape[2:])


def _sets(draw: Callable[[np.random.Generator], np.ndarray], seed: int, purpose: str, explained: Explained) -> Tensor:
    """The sets `(B, K, cells)`, each image's drawn from its own stream."""
    streams = Streams(seed, explained.indices)
    drawn = [draw(streams.numpy(row, purpose=purpose)) for row in range(len(streams))]
    return torch.from_numpy(np.stack(drawn)).to(explained.images.device)


def expected_and_lost(explained: Explained, sets: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Return what the attribution expects each set to cost, and what its loss does cost, both `(B, K)`.

    Args:
        explained: the target's logits are read, with removed cells set to the baselines.
        sets: `(B, K, grid ** 2)` bool, the cells that go.
        grid: cells in each direction; they differ by a pixel where a side is no multiple of it.
    """
    height, width = explained.images.shape[2:]
    rows, columns = (torch.arange(side, device=sets.device) * grid // side for side in (height, width))
    cell_of = (rows[:, None] * grid + columns).flatten()
    worth = explained.maps.sum(1).flatten(1)
    by_cell = worth.new_zeros(len(worth), grid**2).index_add_(1, cell_of, worth)
    expected = torch.einsum("bkc,bc->bk", sets.to(by_cell), by_cell)
    targets, count = explained.targets, sets.shape[1]
    check_classes(targets, explained.clean_logits.shape[1])
    left = []
    for copies in torch.split(torch.arange(len(worth) * count, device=sets.device), explained.score.chunk_size):
        image, number = copies // count, copies % count
        gone = sets[image, number][:, cell_of].reshape(-1, 1, height, width)
        changed = torch.where(gone, explained.baselines[image], explained.images[image])
        left.append(explained.score.logits(changed).gather(1, targets[image][:, None])[:, 0])
    return expected, explained.clean_logits.gather(1, targets[:, None]) - torch.cat(left).reshape(-1, count)
