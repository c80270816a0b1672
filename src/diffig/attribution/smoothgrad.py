"""SmoothGrad (Smilkov et al. 2017), its square (Hooker et al. 2019) and AdaptGrad's noise (Zhou et al. 2024).

Notation: image `x`, noise `e_j ~ N(0, I)`, `n` samples, confidence `c`; `A = 1/n sum_j grad F(x + sigma e_j)`.
SmoothGrad: `sigma = level (max x - min x)`, one number for each image. AdaptGrad: one for each element,
`sigma_i = min(x_i, 1 - x_i) / (sqrt(2) erfinv(c))`, so that a share `c` stays nearer than the nearer end of the range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.integration.integrate import Integral
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class SmoothGrad(Attributor):
    """The mean gradient over noisy copies of the image; no contributions, so gap and absolute mass are NaN.

    Copies are not clipped to [0, 1], as in the paper.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: `n`, noisy copies and gradients for each image (the paper finds that 50 are enough).
        noise_level: standard deviation as a share of the image's own range; the paper advises .1 to .2.
        squared: average squared gradients, a map without sign.
        adaptive: AdaptGrad's noise instead; `noise_level` then has no effect, and black and white elements no noise.
        confidence: `c` in (0, 1) of the adaptive noise.
        times_input: multiply the map by `x - x'`.
    """

    name = "smoothgrad"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        noise_level: float = 0.15,
        squared: bool = False,
        adaptive: bool = False,
        confidence: float = 0.95,
        times_input: bool = False,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.steps = check_at_least(steps, 1, "steps", "noisy copies of each image")
        if not noise_level > 0:
            raise ValueError(f"noise_level={noise_level} must be positive; for no noise use method=gradient")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence={confidence} must lie in (0, 1); the paper's value is 0.95")
        self.noise_level, self.confidence = float(noise_level), float(confidence)
        self.squared, self.adaptive, self.times_input = squared, adaptive, times_input
        self.name = "smoothgrad_squared" if squared else "smoothgrad"
        self.asks_baseline = times_input

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: a slope is no contribution, and neither is its product with the image complete."""
        return False

    def deviation(self, images: Tensor) -> Tensor:
        """Return the noise's standard deviation, `(B, 1, 1, 1)`, or `(B, C, H, W)` where it adapts."""
        if self.adaptive:
            quantile = torch.erfinv(torch.tensor(self.confidence, dtype=torch.float64)).item()
            return torch.minimum(images, 1 - images).clamp(min=0) / (math.sqrt(2) * quantile)
        return self.noise_level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        deviation = self.deviation(images)[:, None]
        total = torch.zeros_like(images)
        width = max(1, self.score.chunk_size // len(images))
        for start in range(0, self.steps, width):
            copies = range(start, min(start + width, self.steps))
            noise = [streams.normal(tuple(images.shape[1:]), purpose=f"smoothgrad {copy}") for copy in copies]
            points = images[:, None] + deviation * torch.stack(noise, 1).to(images)
            gradients = self.score.value_and_grad(points.flatten(0, 1), targets.repeat_interleave(len(copies)))[1]
            total += (gradients.square() if self.squared else gradients).view_as(points).sum(1)
        attribution = total / self.steps
        if self.times_input:
            attribution = attribution * (images - baselines)
        nothing = images.new_full((len(images),), torch.nan)
        return Integral(attribution, nothing, nothing.clone())
