"""Guided IG (Kapishnikov et al. 2021), batched over images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.integrate import Integral
from diffig.baselines import Baseline
from diffig.paths.guided import GuidedPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class GuidedIntegratedGradients(Attributor):
    """Integrates along the greedy path while it is walked: `steps` gradients for each image and no stored path.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: `T`.
        fraction, max_distance: of the path, see `GuidedPath`.
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
    ) -> None:
        super().__init__(score, baseline, seed)
        self.steps = steps
        self.path = GuidedPath(steps, fraction, max_distance)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        attribution = torch.zeros_like(images)
        waste = images.new_zeros(len(images))
        for old, new, gradient in self.path.walk(images, baselines, targets, self.score):
            product = gradient * (new - old)
            attribution += product
            waste += product.abs().flatten(1).sum(1)
        start, end = self.score.score(torch.cat([baselines, images]), targets.repeat(2)).chunk(2)
        return Integral(attribution, attribution.flatten(1).sum(1) - (end - start), waste)
