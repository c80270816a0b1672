"""Energies of guidance: one number for each path, higher is better, differentiable in the path.

Classifier gradients enter as numbers (first order): every energy is a function of where the path goes, of the scores
`F_k` and gradients `g_k` that were found at its nodes, and of nothing behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PathView:
    """A path as guidance sees it, cut into `G` pieces; `N` paths.

    progress: `(N, bands, T + 1, h, w)` of the field, with graph.
    points: `(N, G + 1, C, H, W)` images at the cuts, with graph.
    nodes: `(N, G, C, H, W)` an image inside each piece, with graph.
    values: `(N, G)` scores at the nodes.
    gradients: `(N, G, C, H, W)` gradients there, numbers only.
    region: `(N, 1, h, w)` share of the user's mask in each place of the field, or None.
    """

    progress: Tensor
    points: Tensor
    nodes: Tensor
    values: Tensor
    gradients: Tensor
    region: Tensor | None = None

    @property
    def products(self) -> Tensor:
        """Attribution of each piece, `g_k dP_k`, `(N, G, C, H, W)`."""
        return self.gradients * self.points.diff(dim=1)


def faithfulness(view: PathView) -> Tensor:
    """Return the mean score along the path `(N,)`: early evidence is what insertion rewards."""
    change = (view.gradients * (view.nodes - view.nodes.detach())).flatten(2).sum(2)
    return (view.values + change).mean(1)


def absolute_mass(view: PathView) -> Tensor:
    """Return minus the logarithm of the attribution mass spent, `-log sum_k |g_k dP_k|`, `(N,)`."""
    return -(view.products.abs().flatten(1).sum(1) + 1e-12).log()


def complexity(view: PathView) -> Tensor:
    """Return minus the entropy of |A|, `sum_i p_i log p_i` with `p = |A| / sum |A|`, `(N,)` (DiffIG's complexity)."""
    size = view.products.sum(1).flatten(1).abs()
    share = size / (size.sum(1, keepdim=True) + 1e-12)
    return (share * (share + 1e-12).log()).sum(1)


def smoothness(view: PathView) -> Tensor:
    """Return minus the total variation of the field `(N,)`, mean absolute difference of neighbouring cells."""
    down = view.progress.diff(dim=-2).abs().flatten(1)
    across = view.progress.diff(dim=-1).abs().flatten(1)
    return -torch.cat([down, across], 1).mean(1)


def region(view: PathView) -> Tensor:
    """Return how much further the user's region has come than the rest `(N,)`, on average over the bands' clocks."""
    if view.region is None:
        raise ValueError(
            "guidance.region is set but no region is given; pass attribute(..., region=mask) or set it to 0"
        )
    ahead = view.progress.mean(dim=(1, 2))[:, None]  # (N, 1, h, w)
    inside, outside = view.region, 1 - view.region
    mean_inside = (ahead * inside).flatten(1).sum(1) / inside.flatten(1).sum(1).clamp(min=1e-6)
    return mean_inside - (ahead * outside).flatten(1).sum(1) / outside.flatten(1).sum(1).clamp(min=1e-6)


ENERGIES: dict[str, Callable[[PathView], Tensor]] = {
    "faithfulness": faithfulness,
    "absolute_mass": absolute_mass,
    "complexity": complexity,
    "smoothness": smoothness,
    "region": region,
}
NEEDS_GRADIENTS = ("faithfulness", "absolute_mass", "complexity")


def direction(energy: Tensor, field: Tensor) -> Tensor:
    """Return the gradient of `energy` `(N,)` in `field` `(N, ...)`, scaled to root mean square 1 for each path.

    The scale of a classifier's gradients drops out, so that a strength means the same for all of them.
    """
    (gradient,) = torch.autograd.grad(energy.sum(), field, retain_graph=True)
    size = gradient.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (gradient.ndim - 1))
    return torch.where(size > 0, gradient / torch.where(size > 0, size, 1), 0)
