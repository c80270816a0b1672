"""Gradient times input: the cheapest explanation, one backward image."""

from __future__ import annotations

from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.integration.integrate import Integral
from diffig.randomness import Streams


class GradientXInput(Attributor):
    """The gradient at the image times the difference to the baseline (Shrikumar et al. 2016)."""

    name = "gradient_x_input"

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        end, gradient = self.score.value_and_grad(images, targets)
        start = self.score.score(baselines, targets)
        attribution = gradient * (images - baselines)
        flat = attribution.flatten(1)
        return Integral(attribution, flat.sum(1) - (end - start), flat.abs().sum(1))
