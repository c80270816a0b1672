"""Credit shared with the neighbourhood: a diffusion over the pixel grid that loses nothing at the borders.

Notation: width `s` in pixels, Laplacian `L` of the grid with closed borders. Shares are spread by its heat kernel
`exp(-s^2 / 2 L)`, which is never negative and whose rows and columns all sum to 1. `L` is diagonal in the cosine basis:
frequency `k` of `n` places is damped by `exp(-s^2 (1 - cos(pi k / n)))`, in rows and columns alike.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_choice

Unit = Literal["side", "step"]


class Footprint:
    """How far credit is shared with the neighbourhood.

    Args:
        width: standard deviation of the spread, in `unit`; 0 leaves shares alone.
        unit: `side`, the image's shorter side, so that one value means the same at any resolution; or `step`, the
            scale of what a piece has moved: `sqrt(sum dx^2 / sum |grad dx|^2)`, wide while a blurred image appears and
            narrow while edges do. A piece that moves a blurred difference cannot tell neighbours apart.

    Raises:
        ValueError: a negative or infinite width, an unknown unit, or one wider than the image.
    """

    def __init__(self, width: float = 0.0, unit: Unit = "side") -> None:
        check_choice(unit, Unit, "credit.unit")
        if not 0 <= width < math.inf:
            raise ValueError(f"credit.footprint={width} must be a number of at least 0; 0 shares nothing, .03 is usual")
        if unit == "side" and width >= 1:
            raise ValueError(
                f"credit.footprint={width} is wider than the image; it is a share of the side, so choose less than 1 "
                "(.03 is a pixel of 32), or credit.unit=step"
            )
        self.width, self.unit = float(width), unit

    def spread(self, weights: Tensor, steps: Tensor) -> Tensor:
        """Return `weights` `(B, K, C, H, W)` spread over rows and columns, channel by channel; sums are kept.

        Args:
            weights: not negative.
            steps: `(B, K, C, H, W)` of the pieces, for the unit `step`.
        """
        if self.width == 0:
            return weights
        side = min(weights.shape[-2:])
        if self.unit == "side":
            scale = weights.new_full((1, 1), self.width * side)
        else:
            scale = self.width * scale_of(steps).clamp(max=side)
        return spread(weights, scale).clamp(min=0)  # rounding alone makes it negative

    def __str__(self) -> str:
        if self.width == 0:
            return ""
        return f" footprint={self.width:g}" + (" of the step" if self.unit == "step" else "")


def spread(values: Tensor, scale: Tensor) -> Tensor:
    """Return `values` `(B, K, C, H, W)` spread over rows and columns by widths `scale` in pixels, sums kept.

    Linear, so that a sum of pieces may be spread once instead of each piece.

    Args:
        values: of any sign.
        scale: `(B, K)`, or broadcastable to it.
    """
    height, width = values.shape[-2:]
    rows, columns = _cosines(height).to(values), _cosines(width).to(values)
    damping = _damping(scale, height)[..., None, :, None] * _damping(scale, width)[..., None, None, :]
    spreads = rows.T @ (rows @ values @ columns.T * damping) @ columns
    return torch.where((scale == 0)[..., None, None, None], values, spreads)


def scale_of(steps: Tensor) -> Tensor:
    """Return the scale `(B, K)` in pixels of steps `(B, K, C, H, W)`, `sqrt(sum dx^2 / sum |grad dx|^2)`.

    The gradient is that of neighbouring pixels; a step that is the same everywhere has the length of the image.
    """
    energy = steps.square().sum((2, 3, 4))
    rough = steps.diff(dim=-1).square().sum((2, 3, 4)) + steps.diff(dim=-2).square().sum((2, 3, 4))
    longest = float(max(steps.shape[-2:]))
    flat = rough * longest**2 <= energy
    return torch.where(flat, longest, (energy / torch.where(flat, 1, rough)).sqrt())


def _damping(scale: Tensor, size: int) -> Tensor:
    """`exp(-s^2 (1 - cos w))` `(..., size)` of each frequency for widths `s` `(...)`."""
    angles = torch.arange(size, device=scale.device, dtype=scale.dtype) * (math.pi / size)
    return torch.exp(-scale[..., None].square() * (1 - angles.cos()))


@lru_cache(maxsize=16)
def _cosines(size: int) -> Tensor:
    """The orthonormal cosine basis `(size, size)`, one frequency in each row, float64."""
    places = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (places + 0.5) * places[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis
