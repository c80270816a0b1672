"""FRInGe, Fisher-Rao integrated gradients (2026): from the image to where the classifier knows nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.integrate import Integral
from diffig.baselines import Baseline
from diffig.paths.fisher_rao import FisherRaoWalk
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class FRInGe(Attributor):
    """Integrates the score along the walk by trapezoids; the gap is that of the walk's own ends.

    The baseline plays no part, and the number of gradients follows the image. The paper explains a logit. The
    classifier must allow derivatives along a direction (forward mode).

    Args:
        score, baseline, seed: as in `Attributor`.
        divergence, max_steps, radius, damping, smoothing, cg_iterations: of the walk, see `FisherRaoWalk`.
    """

    name = "fringe"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        divergence: float = 0.05,
        max_steps: int = 10,
        radius: float = 0.01,
        damping: float = 2.0,
        smoothing: float = 2.0,
        cg_iterations: int = 20,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.path = FisherRaoWalk(divergence, max_steps, radius, damping, smoothing, cg_iterations)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        attribution, waste = torch.zeros_like(images), images.new_zeros(len(images))
        points, gradients = images.clone(), torch.zeros_like(images)
        for node in self.path.walk(images, targets, self.score):
            rows = node.rows
            product = (gradients[rows] + node.gradient) / 2 * (points[rows] - node.points)
            attribution[rows] += product
            waste[rows] += product.abs().flatten(1).sum(1)
            points[rows], gradients[rows] = node.points, node.gradient
        start, end = self.score.score(torch.cat([images, points]), targets.repeat(2)).chunk(2)
        return Integral(attribution, attribution.flatten(1).sum(1) - (start - end), waste)
