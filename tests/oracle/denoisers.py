"""An image diffusion model that is known in closed form: data from one Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor


class GaussianDenoiser:
    """Tweedie's formula for data `N(mean, covariance)` in units of [-1, 1]; any image size where both are numbers.

    `E[u | u_t] = m + sqrt(a) C (a C + (1 - a) I)^-1 (u_t - sqrt(a) m)`.
    """

    def __init__(self, mean: float | Tensor = 0.1, covariance: float | Tensor = 0.3, levels: int = 50) -> None:
        times = (torch.arange(levels, dtype=torch.float64) + 1) / (levels + 1)
        self.alpha_bar = torch.cos(times * torch.pi / 2).square()
        self.mean, self.covariance = mean, covariance

    def denoised(self, noisy: Tensor, levels: int | Tensor) -> Tensor:
        """The expected image, in pixels."""
        signal = float(self.alpha_bar[levels])
        mean = self.mean
        off = noisy - signal**0.5 * mean
        if isinstance(self.covariance, Tensor):
            spread = self.covariance.to(noisy)
            whole = signal * spread + (1 - signal) * torch.eye(len(spread), dtype=noisy.dtype)
            gain = signal**0.5 * spread @ torch.linalg.inv(whole)
            off = (off.flatten(1) @ gain.T).view_as(noisy)
        else:
            off = off * (signal**0.5 * self.covariance / (signal * self.covariance + 1 - signal))
        return (mean + off + 1) / 2
