"""Guided IG's path: at every step the features with the smallest gradients move first (Kapishnikov et al. 2021).

Notation: `p` the current point, `L = |x - x'|_1`, fraction `q`, tube width `d_max`, steps `s = 0 ... T - 1`. After
step `s` the path must be within `L (1 - (s + 1) / T)` of the image; every feature stays in a tube around the line.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import PointPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class GuidedPath(PathGenerator):
    """The greedy path of Guided IG, a whole batch in lock-step.

    Args:
        n_segments: `T`, and the number of gradients for each image.
        fraction: `q`, the quantile of |gradient| whose features move in one go.
        max_distance: `d_max` in [0, 1]; 0 is the straight line, 1 sets no bound. Without a bound the path is chaotic
            in float32: rounding decides which features move first.
    """

    def __init__(self, n_segments: int = 128, fraction: float = 0.25, max_distance: float = 0.02) -> None:
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction} must lie in (0, 1]; the paper's default is 0.25")
        if not 0 <= max_distance <= 1:
            raise ValueError(f"max_distance={max_distance} must lie in [0, 1]; the paper's default is 0.02")
        self.fraction, self.max_distance = float(fraction), float(max_distance)

    def walk(
        self, images: Tensor, baselines: Tensor, targets: Tensor, score: ScoreFunction
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each step's old point, new point and the gradient at the old one, all `(B, C, H, W)`.

        The gradient that chose the step is the one integrated over it, so a walk costs `T` backward images.
        """
        shape = images.shape
        first, last = baselines.flatten(1), images.flatten(1)
        point = first
        for step in range(1, self.n_segments + 1):
            gradient = score.value_and_grad(point.reshape(shape), targets)[1]
            new = self._step(point, gradient.flatten(1), step, first, last)
            yield point.reshape(shape), new.reshape(shape), gradient
            point = new

    def _step(self, point: Tensor, gradient: Tensor, step: int, first: Tensor, last: Tensor) -> Tensor:
        """Return the state after step `step` of `1 ... T`; states, gradients and both ends are `(B, d)`."""
        if step == self.n_segments:
            return last
        difference = last - first
        time = step / self.n_segments
        behind, ahead = max(time - self.max_distance, 0.0), min(time + self.max_distance, 1.0)
        lowest, highest = first + difference * behind, (last if ahead >= 1 else first + difference * ahead)
        # Features that lag behind the tube are lifted to its edge.
        lags = ((point - first) * difference.sign()) < ((lowest - first) * difference.sign())
        point = torch.where(lags, lowest, point)
        return self._advance(point, highest, last, gradient.abs(), difference.abs().sum(1) * (1 - time))

    def _advance(self, point: Tensor, highest: Tensor, last: Tensor, size: Tensor, wanted: Tensor) -> Tensor:
        """Move features towards `highest`, smallest gradients first, until `point` is `wanted` away from the image."""
        # The lower q-quantile over all features, eligible or not, as the paper's code takes it.
        rank = 1 + int(self.fraction * (point.shape[1] - 1))
        slack = 10 * torch.finfo(point.dtype).eps
        while True:
            room = (highest - point).abs()
            excess = (last - point).abs().sum(1) - wanted
            size = torch.where(room > 0, size, torch.inf)
            active = (excess > slack * (wanted + 1)) & (size < torch.inf).any(1)
            if not bool(active.any()):
                return point
            largest = torch.where(size < torch.inf, size, -torch.inf).amax(1)
            threshold = torch.minimum(size.kthvalue(rank, 1).values, largest)
            chosen = (size <= threshold[:, None]) & active[:, None]
            ratio = excess / torch.where(chosen, room, 0).sum(1)
            full = (ratio >= 1)[:, None]
            moved = torch.where(full, highest, self._partial(point, highest, ratio[:, None], chosen))
            point = torch.where(chosen, moved, point)
            size = torch.where(full, size, torch.inf)  # a partial move ends the step for its image

    def _partial(self, point: Tensor, highest: Tensor, ratio: Tensor, chosen: Tensor) -> Tensor:
        """Return `point` moved by `ratio` `(B, 1)` of its way to `highest`; only features `chosen` are looked at."""
        return point + ratio * (highest - point)

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> PointPath:
        """Return the guided paths, `PointPath` of batch `B * n_paths` (all candidates of an image are alike)."""
        steps = list(self.walk(*batch))
        points = torch.stack([old for old, _, _ in steps] + [steps[-1][1]], 1)
        return PointPath(candidates(points, n_paths))
