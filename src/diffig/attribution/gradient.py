"""The gradient itself, the oldest saliency map (Simonyan, Vedaldi and Zisserman 2014)."""

from __future__ import annotations

from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.integration.integrate import Integral
from diffig.randomness import Streams


class Gradient(Attributor):
    """The gradient of the score at the image, with its sign; no contributions, so gap and absolute mass are NaN."""

    name = "gradient"
    asks_baseline = False

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: a slope is no contribution."""
        return False

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        gradient = self.score.value_and_grad(images, targets)[1]
        nothing = images.new_full((len(images),), float("nan"))
        return Integral(gradient, nothing, nothing.clone())
