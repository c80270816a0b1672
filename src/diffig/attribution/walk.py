"""The attribution of a path that is found step by step, added up while it is found: no point of it is kept."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.credit import Credit
from diffig.scores import ScoreFunction


class Walk:
    """The running attribution of a batch of walks.

    Args:
        credit: how pieces are divided; one that needs scores costs a forward image for each piece, one for the start.
        score: what is explained.
        starts: `(B, C, H, W)` where the walks begin.
        targets: `(B,)` classes.

    Attributes:
        attribution: `(B, C, H, W)`, what features have got up to now.
        absolute_mass: `(B,)` the sum over pieces of the sizes of what they got.
    """

    def __init__(self, credit: Credit, score: ScoreFunction, starts: Tensor, targets: Tensor) -> None:
        self.credit, self.score, self.targets = credit, score, targets
        self.attribution, self.absolute_mass = torch.zeros_like(starts), starts.new_zeros(len(starts))
        self._value = score.score(starts, targets) if credit.needs_scores else None

    def add(self, old: Tensor, new: Tensor, gradient: Tensor, rows: Tensor | None = None) -> None:
        """Add a piece of each walk, or of the walks `rows` `(m,)`; points and gradient are `(m, C, H, W)`."""
        rows = torch.arange(len(self.targets), device=old.device) if rows is None else rows
        change = None
        if self._value is not None:
            value = self.score.score(new, self.targets[rows])
            change = (value - self._value[rows])[:, None]
            self._value[rows] = value
        share = self.credit.divide(gradient[:, None], (new - old)[:, None], change)[:, 0]
        self.attribution[rows] += share
        self.absolute_mass[rows] += share.abs().flatten(1).sum(1)
