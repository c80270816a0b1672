"""Gradient times step: the credit of Riemann sums, right in the limit of many pieces."""

from __future__ import annotations

from torch import Tensor

from diffig.checks import check_choice
from diffig.credit.base import Credit, Where


class Riemann(Credit):
    """Gives feature `i` of a piece `g_i dx_i`, the first term of the score's change.

    Complete, linear in the score and exact for straight stretches in the limit only; between neighbouring pieces the
    products oscillate and cancel, which is what `absolute_mass` counts.

    Args:
        rule: where on the piece the gradient is taken, `left`, `right`, `midpoint` or `trapezoid`.
    """

    name = "riemann"
    needs_scores = False

    def __init__(self, rule: Where = "midpoint") -> None:
        check_choice(rule, Where, "credit.rule")
        self.where = rule

    def divide(self, gradients: Tensor, steps: Tensor, change: Tensor | None = None) -> Tensor:
        """Return the products `g dx` `(B, K, C, H, W)`; arguments as in `Credit.divide`, `change` is not looked at."""
        return gradients * steps

    def __str__(self) -> str:
        return f"riemann {self.where}"
