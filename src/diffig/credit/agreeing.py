"""Shares for those features alone that pushed the score the way it went."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.credit.base import Where
from diffig.credit.footprint import Unit
from diffig.credit.proportional import Proportional, relative


class Agreeing(Proportional):
    """Shares `w_i = max(g_i dx_i sign(dF), 0)^p`; otherwise as `Proportional`.

    Args:
        p: exponent, at least 0; larger ones favour few features, 0 all that agree alike.
        footprint, unit, where: as in `Proportional`.
    """

    name = "agreeing"

    def __init__(self, p: float = 1.0, footprint: float = 0.0, unit: Unit = "side", where: Where = "midpoint") -> None:
        super().__init__(p, p, footprint, unit, where)

    def weights(self, gradients: Tensor, steps: Tensor, change: Tensor) -> Tensor:
        """Return `w` `(B, K, C, H, W)`, not negative, up to a factor for each piece; arguments as in `divide`."""
        agreement = (gradients * steps * change.sign()[..., None, None, None]).clamp(min=0)
        return torch.where(agreement > 0, relative(agreement) ** self.p, agreement)

    def __str__(self) -> str:
        return f"{self.name} p={self.p:g}{self.footprint}"
