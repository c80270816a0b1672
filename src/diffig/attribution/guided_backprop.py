"""Guided back-propagation (Springenberg et al. 2015): only positive signals come back through active units."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.backward_rules import back_signal
from diffig.attribution.base import Attributor
from diffig.integration.integrate import Integral
from diffig.randomness import Streams


def guided(signal: Tensor, output: Tensor) -> Tensor:
    """Return `1[a > 0] 1[R > 0] R` of a signal and a rectifier's output, both `(B, ...)` (Springenberg et al. 2015)."""
    return torch.where((output > 0) & (signal > 0), signal, 0)


class GuidedBackprop(Attributor):
    """The signal that comes back to the image when every ReLU drops negative ones; one backward image.

    It is no contribution, and hardly depends on the class. With a probability other classes send signals too, and their
    signs are dropped on the way: `objective=logit` is what the paper and Captum use.
    """

    name = "guided_backprop"
    asks_baseline = False

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: a signal and no contribution."""
        return False

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        _, signal = back_signal(self.score, images, targets, guided, self.name)
        unknown = images.new_full((len(images),), torch.nan)
        return Integral(signal, unknown, unknown.clone())
