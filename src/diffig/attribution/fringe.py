"""FRInGe, Fisher-Rao integrated gradients (2026): from the image to a prediction that is uniform over classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.walk import Walk
from diffig.baselines import Baseline
from diffig.credit import Credit, as_credit
from diffig.integration.integrate import Integral
from diffig.paths.fringe import FisherRaoWalk
from diffig.precision import full
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class FRInGe(Attributor):
    """Integrates the score along the walk by trapezoids; the gap is that of the walk's own ends.

    The baseline plays no part, and the number of gradients follows the image. The paper explains a logit. The
    classifier must allow derivatives along a direction (forward mode) and computes in full precision, also under
    autocast.

    Args:
        score, baseline, seed: as in `Attributor`.
        divergence, max_steps, radius, damping, smoothing, cg_iterations: of the walk, see `FisherRaoWalk`.
        credit: how steps are divided among the features, an object of `diffig.credit` or its name; the gradient is the
            mean of both ends'. Gradient times step where none is given.
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
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.credit = as_credit(credit or "trapezoid")
        self.path = FisherRaoWalk(divergence, max_steps, radius, damping, smoothing, cg_iterations)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        walk = Walk(self.credit, self.score, images, targets)
        points, gradients = images.clone(), torch.zeros_like(images)
        with full(images, self.name):  # divergences of a walk's steps are smaller than what half precision rounds off
            for node in self.path.walk(images, targets, self.score):
                rows = node.rows
                walk.add(points[rows], node.points, (gradients[rows] + node.gradient) / 2, rows)
                points[rows], gradients[rows] = node.points, node.gradient
            start, end = self.score.score(torch.cat([images, points]), targets.repeat(2)).chunk(2)
        attribution = -walk.attribution  # walked away from the image
        return Integral(attribution, attribution.flatten(1).sum(1) - (start - end), walk.absolute_mass)
