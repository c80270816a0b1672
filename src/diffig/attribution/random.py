"""A random map, the control that every metric should rank last."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.checks import check_images, check_indices, check_pixel_range
from diffig.integration.integrate import Integral
from diffig.randomness import Streams


class RandomAttribution(Attributor):
    """Standard normal noise keyed by the image's index; a control, so gap and absolute mass say nothing (NaN)."""

    name = "random"

    def explain(
        self,
        images: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        indices: Tensor | None = None,
    ) -> Integral:
        """Return noise shaped like `images`, `(B, C, H, W)`; the classifier is not asked."""
        check_images(images, "inputs")
        check_pixel_range(images, "inputs")
        indices = torch.arange(len(images)) if indices is None else indices
        check_indices(indices, len(images))
        return self._explain(images, images, images, Streams(self.seed, indices))

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        noise = streams.normal(tuple(images.shape[1:]), purpose="random").to(images)
        nothing = images.new_full((len(images),), torch.nan)
        return Integral(noise, nothing, nothing.clone())
