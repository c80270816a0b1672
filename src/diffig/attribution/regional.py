"""Path methods that take a region: a mask of the pixels that should move first on the path."""

from __future__ import annotations

import warnings

from torch import Tensor

from diffig.attribution.path_attributor import PathAttributor
from diffig.integration.integrate import Integral


class RegionalAttributor(PathAttributor):
    """A path attributor whose guidance may be given a region; `_region` is set while it explains."""

    _region: Tensor | None = None

    def explain(
        self,
        images: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        indices: Tensor | None = None,
        region: Tensor | None = None,
    ) -> Integral:
        """Return attribution, gap and absolute mass as `Attributor.explain` does.

        Args:
            images, baselines, target, indices: as there.
            region: `(B, 1, H, W)` mask in [0, 1] of what should move first, for `guidance.region`.

        Raises:
            ValueError: the region is no mask of each image's size.
        """
        if region is not None and region.shape != (len(images), 1, *images.shape[-2:]):
            raise ValueError(
                f"region has shape {tuple(region.shape)}; it must be {(len(images), 1, *images.shape[-2:])}, one mask "
                "of the image's size for each image"
            )
        if region is not None and not self.guidance_strengths.get("region"):
            warnings.warn(
                "a region is given and guidance.region is 0, so that it changes nothing; set guidance.region=0.2, say",
                stacklevel=2,
            )
        self._region = region
        try:
            return super().explain(images, baselines, target, indices)
        finally:
            self._region = None
