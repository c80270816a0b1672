"""The score's change itself, dealt out in shares: complete for any number of pieces.

Notation: piece `k` with gradient `g`, step `dx` and change of the score `dF`. Feature `i` gets

    dF * w_i / sum_j w_j,    w_i = |g_i|^p |dx_i|^q,

so what a piece gives sums to `dF`, and what a path gives telescopes to `F(x) - F(x')` without an error of quadrature.
Where all `w` vanish the shares follow `|dx|`: no change is lost. `p = 2, q = 0` with the gradient at the piece's start
is IDGI (Yang, Wang and Bilgic 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffig.checks import check_choice
from diffig.credit.base import Credit, Where
from diffig.credit.footprint import Footprint, Unit


class Proportional(Credit):
    """Shares by the size of gradient and step.

    A feature that does not move gets nothing where `q > 0`, one without a gradient nothing where `p > 0`. All features
    of a piece get the sign of `dF`: what argues against the class shows where the score falls along the path.

    Args:
        p, q: exponents of gradient and step, at least 0.
        footprint: how far the share of a feature is spread over its neighbourhood before shares are normalised; 0 does
            not spread. See `Footprint`.
        unit: of the footprint, `side` (the image's shorter side) or `step` (the scale of what the piece has moved).
        where: the place of a piece where its gradient is taken.
    """

    name = "proportional"

    def __init__(
        self,
        p: float = 1.0,
        q: float = 1.0,
        footprint: float = 0.0,
        unit: Unit = "side",
        where: Where = "midpoint",
    ) -> None:
        for key, value in (("p", p), ("q", q)):
            if not 0 <= value < math.inf:
                raise ValueError(f"credit.{key}={value} must be a number of at least 0, an exponent; 1 and 2 are usual")
        check_choice(where, Where, "credit.where")
        self.p, self.q, self.where = float(p), float(q), where
        self.footprint = Footprint(footprint, unit)

    def weights(self, gradients: Tensor, steps: Tensor, change: Tensor) -> Tensor:
        """Return `w` `(B, K, C, H, W)`, not negative, up to a factor for each piece; arguments as in `divide`."""
        parts = [relative(value) ** power for value, power in ((gradients, self.p), (steps, self.q)) if power]
        if not parts:
            return torch.ones_like(gradients)
        return parts[0] if len(parts) == 1 else parts[0] * parts[1]

    def divide(self, gradients: Tensor, steps: Tensor, change: Tensor | None) -> Tensor:
        """Return `dF w / sum w` `(B, K, C, H, W)`; arguments as in `Credit.divide`."""
        if change is None:
            raise ValueError(f"credit={self.name} divides the score's change; give the change of each piece")
        weights = self.weights(gradients, steps, change)
        total = weights.sum((2, 3, 4), keepdim=True)
        if bool((total == 0).any()):
            weights = torch.where(total == 0, relative(steps), weights)
        weights = self.footprint.spread(weights, steps)
        total = weights.sum((2, 3, 4), keepdim=True)
        return weights / torch.where(total == 0, 1, total) * change[..., None, None, None]

    def __str__(self) -> str:
        return f"{self.name} p={self.p:g} q={self.q:g}{self.footprint}"


def relative(values: Tensor) -> Tensor:
    """Return `|values|` `(B, K, C, H, W)` over the largest of each piece.

    Powers of the values alone underflow where the score is saturated.
    """
    sizes = values.abs()
    largest = sizes.amax((2, 3, 4), keepdim=True)
    return sizes / torch.where(largest == 0, 1, largest)
