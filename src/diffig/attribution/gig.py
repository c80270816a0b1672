"""Guided IG (Kapishnikov et al. 2021), batched over images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.walk import Walk
from diffig.baselines import Baseline
from diffig.credit import Credit, as_credit
from diffig.integration.integrate import Integral
from diffig.paths.gig import GuidedPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class GuidedIntegratedGradients(Attributor):
    """Integrates along the greedy path while it is walked: `steps` gradients for each image and no stored path.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: `T`.
        fraction, max_distance: of the path, see `GuidedPath`.
        credit: how steps are divided among the features, an object of `diffig.credit` or its name; the gradient is the
            one that chose the step. Gradient times step where none is given.
    """

    name = "gig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        fraction: float = 0.25,
        max_distance: float = 0.02,
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.credit = as_credit(credit or "left")
        self.steps = steps
        self.path = GuidedPath(steps, fraction, max_distance)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        walk: Walk | None = None
        for old, new, gradient in self.path.walk(images, baselines, targets, self.score):
            walk = walk or Walk(self.credit, self.score, old, targets)  # a decoded walk does not begin at the baseline
            walk.add(old, new, gradient)
        assert walk is not None
        start, end = self.score.score(torch.cat([baselines, images]), targets.repeat(2)).chunk(2)
        return Integral(walk.attribution, walk.attribution.flatten(1).sum(1) - (end - start), walk.absolute_mass)
