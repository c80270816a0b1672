"""The difference image as a weighted sum of patterns, singular vectors or cosines, strongest or coarsest first.

Notation: difference `D = sum_j c_j E_j` with patterns `E_j`, and strengths `r_j` in [0, 1] that say when a pattern
moves: 1 first. For singular vectors `r_j = s_j / s_1`; for cosines 1 minus the frequency's distance from 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Spectrum(ABC):
    """The patterns of one batch of difference images.

    Attributes:
        strengths: `(B or 1, ...)`, one number for each pattern.
    """

    strengths: Tensor

    @abstractmethod
    def combine(self, weights: Tensor) -> Tensor:
        """Return `sum_j w_j c_j E_j`, `(B, K, C, H, W)`, for `weights` `(B, K, ...)` like the strengths.

        Weights of 1 give the difference, up to rounding.
        """


class SingularSpectrum(Spectrum):
    """Pairs of singular vectors of each channel, or of all channels stacked as one tall matrix.

    Args:
        difference: `(B, C, H, W)`; images that are not finite count as 0, which the decomposition would refuse.
        joint: one decomposition of `(C H) x W` in place of one for each channel.
    """

    def __init__(self, difference: Tensor, joint: bool = False) -> None:
        self.shape = difference.shape[1:]
        finite = difference.isfinite().flatten(1).all(1)[:, None, None, None]
        matrices = torch.where(finite, difference, 0)
        if joint:
            matrices = matrices.flatten(1, 2)[:, None]
        self.left, self.values, self.right = torch.linalg.svd(matrices, full_matrices=False)
        largest = self.values[..., :1]
        self.strengths = torch.where(largest > 0, self.values / torch.where(largest > 0, largest, 1), 1)

    def combine(self, weights: Tensor) -> Tensor:
        """Return the weighted sum, `(B, K, C, H, W)`; weights are `(B, K, C, R)`, or `(B, K, 1, R)` where joint."""
        scaled = self.left[:, None] * (weights * self.values[:, None])[..., None, :]
        return (scaled @ self.right[:, None]).reshape(*weights.shape[:2], *self.shape)


class CosineSpectrum(Spectrum):
    """The discrete cosine transform of each channel; patterns of low frequency are the strong ones.

    Args:
        difference: `(B, C, H, W)`.
    """

    def __init__(self, difference: Tensor) -> None:
        height, width = difference.shape[-2:]
        self.rows, self.columns = (cosines(size).to(difference) for size in (height, width))
        self.coefficients = self.rows @ difference @ self.columns.mT
        down, across = (torch.linspace(0, 1, size, dtype=torch.float64) for size in (height, width))
        radius = (down.square()[:, None] + across.square()).sqrt()
        self.strengths = (1 - radius / radius.max().clamp(min=1e-12)).clamp(0, 1).to(difference)[None, None]

    def combine(self, weights: Tensor) -> Tensor:
        """Return the weighted sum, `(B, K, C, H, W)`; weights are `(B, K, 1, H, W)`."""
        return self.rows.mT @ (weights * self.coefficients[:, None]) @ self.columns


def cosines(size: int) -> Tensor:
    """Return the orthonormal matrix `(n, n)` of the discrete cosine transform of `n` numbers, frequencies in rows."""
    places = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * places[:, None] * (places + 0.5)) * math.sqrt(2 / size)
    matrix[0] = math.sqrt(1 / size)
    return matrix
