"""Geodesics of predictions in Fisher and Rao's metric, cut where neighbours are so far apart in KL divergence.

Notation: `sqrt(p)` lies on a sphere, where the geodesic from `p` to `u = 1 / K` is an arc of angle `a`. Its length is
`2 a`, and near points at the distance `l` are `l^2 / 2` apart in divergence: `2 a / sqrt(2 d)` pieces are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

SAFETY = 1.1  # more waypoints than the arc needs


class Waypoints:
    """Points of the arcs from predictions to the even one.

    Args:
        start: `(B, K)` probabilities.
        divergence: `d`.

    Attributes:
        count: `(B,)` how many each image has; 0 where it is there already, or has no finite prediction.
    """

    def __init__(self, start: Tensor, divergence: float) -> None:
        self.start = start.sqrt()
        self.end = torch.full_like(start, 1 / start.shape[1]).sqrt()
        # By the chord: the cosine of a small angle rounds to that of a hundred times a larger one.
        self.angle = 2 * ((self.start - self.end).norm(dim=1) / 2).clamp(max=1).asin()
        needed = (SAFETY * 2 * self.angle / (2 * divergence) ** 0.5).nan_to_num(0)
        self.count = (needed - 1e-4).ceil().clamp_min(0).long()

    def at(self, rows: Tensor, number: Tensor) -> Tensor:
        """Return the waypoints `number` `(m,)` of the images `rows` `(m,)`, probabilities `(m, K)`."""
        share = (number / self.count[rows].clamp_min(1)).clamp(max=1).to(self.start)[:, None]
        angle = self.angle[rows, None]
        whole = torch.where(angle > 0, angle, 1).sin()
        arc = (((1 - share) * angle).sin() * self.start[rows] + (share * angle).sin() * self.end[rows]) / whole
        return torch.where(share >= 1, self.end[rows].square(), arc.square())


def divergence_of(one: Tensor, other: Tensor) -> Tensor:
    """`KL(one | other)` `(n,)` of probabilities `(n, K)`."""
    return (torch.xlogy(one, one) - torch.xlogy(one, other)).sum(1)
