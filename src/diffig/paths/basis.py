"""Linear coordinates of a path: the difference image as a sum of parts that may move at different times.

A basis is one small class: a name, the number of bands, and `components`, whose parts sum to the difference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from diffig.checks import check_at_least


class Basis(ABC):
    """A split of difference images into `n_bands` parts."""

    name = "basis"
    n_bands: int

    @abstractmethod
    def components(self, difference: Tensor) -> Tensor:
        """Return the parts `(B, n_bands, C, H, W)` of `difference` `(B, C, H, W)`; they sum to it, coarse first."""


class PixelBasis(Basis):
    """The pixels themselves: one band."""

    name = "pixel"
    n_bands = 1

    def components(self, difference: Tensor) -> Tensor:
        """Return the difference as its only band, `(B, 1, C, H, W)`."""
        return difference[:, None]


class LaplacianBasis(Basis):
    """Octave bands of a Laplacian pyramid (Burt and Adelson 1983), all at full resolution, coarsest first.

    Args:
        n_bands: the coarsest band keeps averages over squares of `2 ** (n_bands - 1)` pixels; where the image is too
            small for that, coarser bands are empty rather than an error.
    """

    name = "laplacian"

    def __init__(self, n_bands: int = 6) -> None:
        self.n_bands = check_at_least(n_bands, 1, "basis.n_bands", "1 is the pixel basis")

    def components(self, difference: Tensor) -> Tensor:
        """Return the bands `(B, n_bands, C, H, W)`; the sum telescopes to the difference."""
        height, width = difference.shape[-2:]
        smooth = [difference]
        for level in range(1, self.n_bands):
            size = (max(1, round(height / 2**level)), max(1, round(width / 2**level)))
            coarse = adaptive_avg_pool2d(difference, size)
            smooth.append(interpolate(coarse, (height, width), mode="bilinear", align_corners=False))
        bands = [fine - coarse for fine, coarse in pairwise(smooth)] + smooth[-1:]
        return torch.stack(bands[::-1], 1)


class HaarBasis(Basis):
    """Levels of a Haar wavelet transform, all at full resolution, coarsest first.

    A level holds what averages over squares of `2^(l - 1)` pixels have and averages over `2^l` have not, in all three
    directions together. Squares cut by the border are averaged over what is there.

    Args:
        n_bands: the coarsest band keeps averages over squares of `2 ** (n_bands - 1)` pixels.
    """

    name = "haar"

    def __init__(self, n_bands: int = 5) -> None:
        self.n_bands = check_at_least(n_bands, 1, "basis.n_bands", "1 is the pixel basis")

    def components(self, difference: Tensor) -> Tensor:
        """Return the bands `(B, n_bands, C, H, W)`; the sum telescopes to the difference."""
        smooth = [difference]
        for level in range(1, self.n_bands):
            rows, columns = (_block_means(size, 2**level).to(difference) for size in difference.shape[-2:])
            smooth.append(rows @ difference @ columns)
        bands = [fine - coarse for fine, coarse in pairwise(smooth)] + smooth[-1:]
        return torch.stack(bands[::-1], 1)


def _block_means(size: int, side: int) -> Tensor:
    """The symmetric matrix `(size, size)` that puts the mean of its block of `side` in place of every number."""
    block = torch.arange(size) // side
    same = (block[:, None] == block).double()
    return same / same.sum(1, keepdim=True)


class ChannelBasis(Basis):
    """The colour channels, each moving on its own."""

    name = "channel"

    def __init__(self, n_bands: int = 3) -> None:
        self.n_bands = check_at_least(n_bands, 1, "basis.n_bands", "the number of channels")

    def components(self, difference: Tensor) -> Tensor:
        """Return one band for each channel, `(B, C, C, H, W)`, zero in the other channels."""
        if difference.shape[1] != self.n_bands:
            raise ValueError(f"basis channel has {self.n_bands} bands, the images {difference.shape[1]} channels")
        own = torch.eye(self.n_bands, device=difference.device, dtype=difference.dtype)
        return own[None, :, :, None, None] * difference[:, None]
