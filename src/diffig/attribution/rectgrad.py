"""Rectified gradient (Kim et al. 2019): back-propagation only through units of large importance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.backward_rules import back_signal
from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.integration.integrate import Integral
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class RectGrad(Attributor):
    """Keeps the signal `R` at a ReLU with output `a` only where `a R > tau`; `tau = 0` is guided back-propagation.

    Args:
        score, baseline, seed: as in `Attributor`.
        percentile: `q` in [0, 100]: `tau` is the q-th percentile of `a R` over a layer of one image (98 in the paper).
        threshold: a fixed `tau` of at least 0 in place of the percentile; `None` for the percentile.
        times_input: multiply the signal by `x - x'` as the paper does with a black baseline. Only then are attributions
            contributions with a completeness gap (one more forward image), which nothing makes small.

    Source: Kim, Seo, Jeon, Koo, Choe and Jeon 2019 (arXiv 1902.04893), equation 2. The frame of zeros and the
    proportional max-pooling of its released code are left out.
    """

    name = "rectgrad"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        percentile: float = 98.0,
        threshold: float | None = None,
        times_input: bool = True,
    ) -> None:
        super().__init__(score, baseline, seed)
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile={percentile} must lie in [0, 100]; 98 is the paper's")
        if threshold is not None and not threshold >= 0:
            raise ValueError(f"threshold={threshold} must be at least 0, where it is guided back-propagation")
        self.percentile, self.threshold, self.times_input = float(percentile), threshold, times_input

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the signal is multiplied by the image."""
        return self.times_input

    def rule(self, signal: Tensor, output: Tensor) -> Tensor:
        """Return `1[a R > tau] R` of signal and output `(B, ...)`, with the threshold of each image's own layer."""
        importance = output * signal
        if self.threshold is not None:
            return torch.where(importance > self.threshold, signal, 0)
        least = percentile(importance.flatten(1), self.percentile)
        return torch.where(importance > least.view(-1, *(1,) * (signal.ndim - 1)), signal, 0)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        end, signal = back_signal(self.score, images, targets, self.rule, self.name)
        if not self.times_input:
            unknown = images.new_full((len(images),), torch.nan)
            return Integral(signal, unknown, unknown.clone())
        attribution = signal * (images - baselines)
        flat = attribution.flatten(1)
        start = self.score.score(baselines, targets)
        return Integral(attribution, flat.sum(1) - (end - start), flat.abs().sum(1))


def percentile(values: Tensor, percent: float) -> Tensor:
    """Return the percentile `(B,)` of each row of `(B, N)`, linear between neighbours.

    `torch.quantile` does the same and refuses the 16 million values that one layer of a batch may have.
    """
    place = percent / 100 * (values.shape[1] - 1)
    low = int(place)
    below = values.kthvalue(low + 1, 1).values
    if place == low:
        return below
    return torch.lerp(below, values.kthvalue(low + 2, 1).values, place - low)
