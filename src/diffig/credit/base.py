"""What a credit is: a rule that says how much of a piece each feature gets.

Notation: a path is cut into pieces; piece `k` goes by `dx_k` and changes the score by `dF_k`; `g_k` is the score's
gradient somewhere on it. A credit turns `(g_k, dx_k, dF_k)` into what each feature gets, and an attribution is the sum
over pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

Where = Literal["left", "right", "midpoint", "trapezoid"]


class Credit(ABC):
    """A rule that divides pieces.

    Attributes:
        name: what configs and tables call it.
        where: the place of a piece where its gradient is taken; `trapezoid` is the mean of both ends. Methods that walk
            (Guided IG, SAMP, AGI, IG2, FRInGe) keep the gradients of their walk instead.
        needs_scores: whether `dF` must be known, at a forward image for each cut.
    """

    name = "credit"
    where: Where = "midpoint"
    needs_scores = True

    @abstractmethod
    def divide(self, gradients: Tensor, steps: Tensor, change: Tensor | None) -> Tensor:
        """Return what each feature gets of each piece, `(B, K, C, H, W)`.

        Args:
            gradients: `(B, K, C, H, W)` of the score, one for each piece.
            steps: `(B, K, C, H, W)` `dx`, the end of each piece minus its start.
            change: `(B, K)` `dF`, the score at the end of each piece minus that at its start; may be None where
                `needs_scores` is False.
        """

    def __str__(self) -> str:
        """The name with the parameters, as tables show it."""
        return self.name

    def __repr__(self) -> str:
        return str(self)
