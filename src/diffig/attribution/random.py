"""A random map: what every metric should find worthless."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.attribution.integrate import Integral
from diffig.randomness import Streams


class RandomAttribution(Attributor):
    """Standard normal noise keyed by the image's index; a control, so gap and waste say nothing (NaN)."""

    name = "random"

    def explain(
        self,
        images: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        indices: Tensor | None = None,
    ) -> Integral:
        """Return noise shaped like `images`, `(B, C, H, W)`; the classifier is not asked."""
        streams = Streams(self.seed, torch.arange(len(images)) if indices is None else indices)
        return self._explain(images, images, images, streams)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        noise = streams.normal(tuple(images.shape[1:]), purpose="random").to(images)
        nothing = images.new_full((len(images),), torch.nan)
        return Integral(noise, nothing, nothing.clone())
