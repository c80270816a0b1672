"""Controls: maps made without the classifier. A metric that ranks them above methods measures something else."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.integration.integrate import Integral
from diffig.metrics.localisation import centre_gaussian
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class Control(Attributor):
    """A map of the image alone; no contributions, so gap and absolute mass are NaN. The classifier is not asked."""

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: the map's sum means nothing."""
        return False

    @abstractmethod
    def map_of(self, images: Tensor) -> Tensor:
        """Return the map `(B, C, H, W)` of images `(B, C, H, W)`."""

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        nothing = images.new_full((len(images),), torch.nan)
        return Integral(self.map_of(images), nothing, nothing.clone())


class ConstantAttribution(Control):
    """Ones everywhere: a metric of ranks sees ties alone, so it must say what it says of a random order."""

    name = "constant"

    def map_of(self, images: Tensor) -> Tensor:
        """Return ones `(B, C, H, W)`."""
        return torch.ones_like(images)


class InputMagnitude(Control):
    """The pixel values themselves: how far brightness alone goes."""

    name = "input_magnitude"

    def map_of(self, images: Tensor) -> Tensor:
        """Return `|x|`, `(B, C, H, W)`."""
        return images.abs()


class Sobel(Control):
    """The length of each channel's Sobel gradient, borders repeated: how far edges alone go (Adebayo et al. 2018)."""

    name = "sobel"

    def map_of(self, images: Tensor) -> Tensor:
        """Return edge strengths `(B, C, H, W)`, at least 0."""
        across = images.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        kernels = torch.stack([across, across.T])[:, None]
        planes = nn.functional.pad(images.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
        return nn.functional.conv2d(planes, kernels).norm(dim=1).reshape(images.shape)


class CentreGaussian(Control):
    """A bump in the middle: how far the photographer's habit alone goes.

    Args:
        score, baseline, seed: as in `Attributor`.
        width: standard deviation as a share of each side.
    """

    name = "centre_gaussian"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        width: float = 0.25,
    ) -> None:
        super().__init__(score, baseline, seed)
        if not width > 0:
            raise ValueError(f"width={width} must be above 0; .25 is a quarter of each side")
        self.width = float(width)

    def map_of(self, images: Tensor) -> Tensor:
        """Return the bump `(B, C, H, W)`, the same for all images."""
        return centre_gaussian(images.shape[2], images.shape[3], self.width).to(images).expand_as(images).clone()
