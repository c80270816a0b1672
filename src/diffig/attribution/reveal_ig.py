"""Reveal-IG (2026): integration along a path of Gaussians that narrows onto the image.

Notation: `N(m(t), s(t)^2)` with `m(t) = x' + t (x - x')` and `log s(t)^2` linear from `log s_0^2` to `log s_1^2`;
`z = m + s e`, `e ~ N(0, I)`, `g = grad F(z)`. As `dE F / dm = E g` and `dE F / dlog s^2 = E[g e] s / 2`,
`A = int E[g (x - x')] + E[g e] s / 2 (log s_1^2 - log s_0^2) dt`, whose sum is the change of the expected score.
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


class RevealIG(Attributor):
    """What revealing each element adds to the expected score, by its mean and by its certainty.

    Complete for the *expected* score: the gap is against `E F(N(x, s_1^2)) - E F(N(x', s_0^2))`, each estimated with
    `probes` forward images, so it is 0 in expectation only. Samples are not clipped to [0, 1], as in the paper.

    Widths are in units of pixels, since normalisation is the classifier's own affair. The paper's path lives in
    normalised units, from width 1 around the mean colour to .25: times .225, ImageNet's spread, the defaults. For
    the paper's start use the baseline `mean`.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: gradients for each image, `steps // samples` points of the midpoint rule (the paper: 50 points of 10).
        samples: noisy images at each point.
        sigma_start, sigma_end: `s_0` and `s_1`.
        antithetic: samples in pairs of opposite noise, less scatter at the same cost; `samples` is then even.
        probes: noisy images for the expected score at each end.
    """

    name = "reveal_ig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        samples: int = 4,
        sigma_start: float = 0.225,
        sigma_end: float = 0.05625,
        antithetic: bool = False,
        probes: int = 32,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.samples = check_at_least(samples, 1, "samples", "noisy images at each point")
        self.steps = check_at_least(steps, self.samples, "steps", "there must be one point at least; lower samples")
        self.probes = check_at_least(probes, 1, "probes", "noisy images for the expected score at each end")
        if antithetic and samples % 2:
            raise ValueError(f"samples={samples} must be even where antithetic is true; use samples={samples + 1}")
        for name, value in (("sigma_start", sigma_start), ("sigma_end", sigma_end)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name}={value} must be positive; it is a standard deviation in pixels of [0, 1]")
        self.sigma_start, self.sigma_end = float(sigma_start), float(sigma_end)
        self.antithetic = antithetic

    def _noise(self, images: Tensor, streams: Streams, numbers: range) -> Tensor:
        """The noise `(B, n, C, H, W)` of the draws `numbers`; opposite in pairs where antithetic."""
        shape = tuple(images.shape[1:])
        drawn = []
        for number in numbers:
            sign, key = (1 - 2 * (number % 2), number // 2) if self.antithetic else (1, number)
            drawn.append(sign * streams.normal(shape, purpose=f"reveal {key}"))
        return torch.stack(drawn, 1).to(images)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        difference = (images - baselines)[:, None]
        points = self.steps // self.samples
        total = points * self.samples
        change = 2 * math.log(self.sigma_end / self.sigma_start)
        attribution = torch.zeros_like(images)
        mass = images.new_zeros(len(images))
        width = max(1, self.score.chunk_size // len(images))
        for first in range(0, total, width):
            numbers = range(first, min(first + width, total))
            times = torch.tensor([(number // self.samples + 0.5) / points for number in numbers], dtype=torch.float64)
            sigmas = (self.sigma_start * torch.exp(times * change / 2)).to(images)[:, None, None, None]
            noise = self._noise(images, streams, numbers)
            means = baselines[:, None] + times.to(images)[:, None, None, None] * difference
            noisy = (means + sigmas * noise).flatten(0, 1)
            gradients = self.score.value_and_grad(noisy, targets.repeat_interleave(len(numbers)))[1]
            products = gradients.view_as(noise) * (difference + noise * sigmas * (change / 2)) / total
            attribution += products.sum(1)
            mass += products.abs().flatten(1).sum(1)
        # The same noise at both ends: it largely cancels in their difference.
        ends = ((images, self.sigma_end), (baselines, self.sigma_start))
        end, start = (self._expected(images, mean, sigma, targets, streams) for mean, sigma in ends)
        return Integral(attribution, attribution.flatten(1).sum(1) - (end - start), mass)

    def _expected(self, images: Tensor, mean: Tensor, sigma: float, targets: Tensor, streams: Streams) -> Tensor:
        """The mean score `(B,)` over `probes` noisy copies of `mean`."""
        total = images.new_zeros(len(images))
        width = max(1, self.score.chunk_size // len(images))
        for first in range(0, self.probes, width):
            numbers = range(first, min(first + width, self.probes))
            noisy = mean[:, None] + sigma * self._noise(images, streams, numbers)
            scores = self.score.score(noisy.flatten(0, 1), targets.repeat_interleave(len(numbers)))
            total += scores.view(len(images), -1).sum(1)
        return total / self.probes
