"""Geodesics of the classifier: paths along which the score changes as evenly as a short way allows.

Geodesic IG (Salek and co-authors 2025) measures lengths by the classifier's Jacobian. Here they are `|dP|_M` with
`M = I + r grad F grad F^T`, the metric of the score's graph, so that a flat score leaves the straight line. A geodesic
has the least energy `sum_k |dP_k|_M^2` among curves with the same ends.

Notation: ends `x'`, `x`; `T` segments, points `P_k = line_k + D_k` with `D_0 = D_T = 0`; `F_k = F(P_k)`, `g_k` its
gradient; `V` the score's variation along the line. The energy is told by differences of the score, which needs no
second derivatives: `E = T sum |P_{k+1} - P_k|^2 / |x - x'|^2 + b T sum (F_{k+1} - F_k)^2 / V^2`, the first of which
is 1 on the line. With the score linear around the points the best `D` is known (Gauss and Newton): let `K` be the
matrix of second differences, `G` that of products `g_k . g_l`, `r = b |x - x'|^2 / V^2`, and `u_k` what the linear
score at the line's points `k` is above a straight rise from `F(x')` to `F(x)`. Then `(inv(K) * (1 + r G)) s = u`,
elementwise product, and `D_k = -r sum_l inv(K)_kl s_l g_l`. A linear score has `u = 0`, and the line stays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import PointPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class GeodesicPath(PathGenerator):
    """The curve of least energy, found by a few Gauss-Newton steps from the straight line; its ends are exact.

    Args:
        n_points: free points, `T - 1`.
        iterations: looks at all free points; the first is at the line, so 1 leaves the line. A look costs one forward
            and one backward image for each point.
        strength: `b`; 0 is the straight line.
    """

    def __init__(self, n_points: int = 16, iterations: int = 4, strength: float = 10.0) -> None:
        self.n_points = check_at_least(n_points, 1, "n_points", "points of the path that may move")
        self.iterations = check_at_least(iterations, 1, "iterations", "looks at all points of the path")
        if not strength >= 0:
            raise ValueError(f"strength={strength} must be at least 0, the straight line")
        self.strength = float(strength)

    @property
    def backward_images(self) -> int:
        """Gradients that making a path costs."""
        return self.n_points * self.iterations

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> PointPath:
        """Return the paths, `PointPath` of batch `B * n_paths` (all candidates of an image are alike).

        Beside the points that are returned, memory follows the chunk: as many images at a time as their points fill it.
        """
        width = max(1, batch.score.chunk_size // self.n_points)
        images, baselines, targets, _ = batch
        parts = zip(images.split(width), baselines.split(width), targets.split(width), strict=True)
        return PointPath(candidates(torch.cat([self._bent(*part, batch.score) for part in parts]), n_paths))

    def _bent(self, images: Tensor, baselines: Tensor, targets: Tensor, score: ScoreFunction) -> Tensor:
        """The points `(B, T + 1, C, H, W)` of the paths of some images."""
        ends = score.score(torch.cat([baselines, images]), targets.repeat(2)).reshape(2, -1, 1)
        difference = (images - baselines)[:, None]
        time = torch.arange(1, self.n_points + 1, device=images.device, dtype=images.dtype) / (self.n_points + 1)
        line = baselines[:, None] + time.reshape(-1, 1, 1, 1) * difference
        rise = torch.lerp(ends[0], ends[1], time)
        size = difference.flatten(1).square().sum(1)
        best, trial = line, line
        lowest, variation = torch.full_like(size, torch.inf), torch.zeros_like(size)
        for _ in range(self.iterations):
            flat, classes = trial.flatten(0, 1), targets.repeat_interleave(self.n_points)
            values, gradients = score.value_and_grad(flat, classes)
            values, gradients = values.view_as(rise), gradients.view_as(trial)
            change = torch.cat([ends[0], values, ends[1]], 1).diff(dim=1)
            if trial is line:
                variation = change.abs().sum(1)
            energy = self._energy(torch.cat([baselines[:, None], trial, images[:, None]], 1), change, size, variation)
            better = (energy < lowest)[:, None, None, None, None]
            lowest = torch.minimum(lowest, energy)
            weight = _ratio(self.strength * size, variation.square())
            newton = line + _deviation(gradients, values - rise, trial - line, weight)
            # Where the last step went uphill it is tried again at half its length.
            ahead = torch.where(better, newton.clamp(0, 1), (best + trial) / 2)
            best, trial = torch.where(better, trial, best), ahead
        return torch.cat([baselines[:, None], best, images[:, None]], 1)

    def _energy(self, points: Tensor, change: Tensor, size: Tensor, variation: Tensor) -> Tensor:
        """`E` `(B,)` of points `(B, T + 1, C, H, W)` whose scores differ by `change` `(B, T)`."""
        length = points.diff(dim=1).flatten(1).square().sum(1)
        uneven = change.square().sum(1)
        return (self.n_points + 1) * (_ratio(length, size) + self.strength * _ratio(uneven, variation.square()))


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """`above / below`, and 0 where nothing is below: images that are their own baseline, or a score that is flat."""
    return torch.where(below == 0, 0, above / torch.where(below == 0, 1, below))


def _deviation(gradients: Tensor, excess: Tensor, current: Tensor, weight: Tensor) -> Tensor:
    """The best `D` `(B, n, C, H, W)`.

    Args:
        gradients: `(B, n, C, H, W)`.
        excess: `(B, n)` score above the straight rise, at the current points.
        current: `(B, n, C, H, W)` the deviation that they have now.
        weight: `(B,)` `r`.
    """
    count = gradients.shape[1]
    number = torch.arange(1, count + 1, device=gradients.device, dtype=gradients.dtype)
    # inv(K) in closed form: min(k, l) (T - max(k, l)) / T.
    inverse = torch.minimum(number[:, None], number) * (count + 1 - torch.maximum(number[:, None], number))
    inverse = inverse / (count + 1)
    flat = gradients.flatten(2)
    linear = excess - (flat * current.flatten(2)).sum(2)
    system = inverse * (1 + weight[:, None, None] * (flat @ flat.mT))
    solution = torch.linalg.solve_ex(system, linear)[0]
    mixed = inverse * (-weight[:, None, None] * solution[:, None])
    return (mixed @ flat).view_as(gradients)
