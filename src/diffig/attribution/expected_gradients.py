"""Expected Gradients (Erion et al. 2021): the straight line from a random training image, at a random place.

Notation: references `x'_j` drawn from a bank, `a_j ~ U(0, 1)`, `k` draws;
`A = 1/k sum_j (x - x'_j) grad F(x'_j + a_j (x - x'_j))`, whose sum is `F(x) - E F(x')` in expectation.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from diffig.attribution.banked import BankedAttributor
from diffig.baselines import Baseline, Dataset
from diffig.checks import check_at_least
from diffig.integration.integrate import Integral
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class ExpectedGradients(BankedAttributor):
    """One gradient for each draw of a reference and a place; the baseline plays no part.

    The gap is against the mean score of the references drawn, `F(x) - 1/k sum_j F(x'_j)`, 0 in expectation only.

    Args:
        score, baseline, seed, references: as in `BankedAttributor`.
        steps: `k`, gradients for each image.
        stratified: draw the places one from each of `k` equal parts of [0, 1], and the references from `k` equal
            parts of the bank in random order: the same expectation with less noise.
    """

    name = "expected_gradients"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        references: Dataset | None = None,
        steps: int = 128,
        stratified: bool = False,
    ) -> None:
        super().__init__(score, baseline, seed, references=references)
        self.steps = check_at_least(steps, 1, "steps", "draws for each image")
        self.stratified = stratified

    def _weights(self, images: Tensor, bank: Tensor) -> Tensor:
        """The distribution of references, `(B, N)` float64 on the CPU, rows that sum to 1."""
        return torch.full((len(images), len(bank)), 1 / len(bank), dtype=torch.float64)

    def draws(self, images: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """Return positions in the bank `(B, k)` and places in [0, 1] `(B, k)` of each image's draws."""
        cumulative = self._weights(images, self._bank(images)).cumsum(1)
        levels, places = (np.empty((len(images), self.steps)) for _ in range(2))
        for row in range(len(images)):
            rng = streams.numpy(row, purpose="expected gradients")
            levels[row], places[row] = rng.random(self.steps), rng.random(self.steps)
            if self.stratified:
                order = np.arange(self.steps)
                places[row] = (order + places[row]) / self.steps
                levels[row] = (rng.permutation(order) + levels[row]) / self.steps
        # Scaled by the last sum, which rounding may leave beside 1; `right` never picks a reference of weight 0.
        picks = torch.searchsorted(cumulative, torch.from_numpy(levels) * cumulative[:, -1:], right=True)
        return picks.clamp(max=cumulative.shape[1] - 1), torch.from_numpy(places).to(images)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        bank = self._bank(images)
        picks, places = self.draws(images, streams)
        attribution = torch.zeros_like(images)
        mass, floor = images.new_zeros(len(images)), images.new_zeros(len(images))
        width = max(1, self.score.chunk_size // len(images))
        for start in range(0, self.steps, width):
            chosen = bank[picks[:, start : start + width].to(bank.device)].to(images)
            difference = images[:, None] - chosen
            points = chosen + places[:, start : start + width, None, None, None] * difference
            repeated = targets.repeat_interleave(points.shape[1])
            gradients = self.score.value_and_grad(points.flatten(0, 1), repeated)[1].view_as(points)
            products = gradients * difference / self.steps
            attribution += products.sum(1)
            mass += products.abs().flatten(1).sum(1)
            floor += self.score.score(chosen.flatten(0, 1), repeated).view(len(images), -1).sum(1) / self.steps
        gap = attribution.flatten(1).sum(1) - (self.score.score(images, targets) - floor)
        return Integral(attribution, gap, mass)
