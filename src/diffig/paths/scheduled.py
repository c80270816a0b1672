"""Any path from coarse to fine: the bands of its way follow it one after another.

Notation: a path `gamma(u)` from `x'` to `x`, `u` in [0, 1]; a basis whose bands `P_b` sum to the identity; the clocks
`H_b(t)` of a schedule. The scheduled path is `x(t) = x' + sum_b P_b(gamma(H_b(t)) - x')`: every band goes its part of
the same way, at its own time. Of the straight line it is `coarse_to_fine`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from diffig.paths.basis import Basis, LaplacianBasis
from diffig.paths.generator import ExplainBatch, PathGenerator
from diffig.paths.path import Path
from diffig.paths.schedule import Schedule
from diffig.randomness import Streams


class ScheduledPath(Path):
    """The bands of `path`, each at its own time; it may bend inside a segment, where the path that it follows does.

    Args:
        path: what is followed, a batch of `B`; its points `(B, n, C, H, W)` are asked for once for each band.
        basis: the bands, which sum to what they split.
        schedule: when each of them moves.
    """

    def __init__(self, path: Path, basis: Basis, schedule: Schedule) -> None:
        starts, ends = schedule.windows(basis.n_bands)
        shortest = float((ends - starts).min())
        super().__init__(path.images, path.baselines, max(path.n_segments, round(path.n_segments / shortest)))
        self.path, self.basis, self.schedule, self.intended = path, basis, schedule, path.intended
        self._bands = basis.components(path.images - path.baselines)

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        times = (lower + fraction) / self.n_segments
        clock = self.schedule.clock(times.flatten(), self.basis.n_bands).view(*times.shape, -1)
        followed = self.path.at(clock.flatten(1) * self.path.n_segments)
        way = (followed - self.baselines[:, None]).unflatten(1, (-1, self.basis.n_bands))
        points = self.baselines[:, None].repeat(1, times.shape[1], 1, 1, 1)
        for band in range(self.basis.n_bands):
            arrived = (clock[..., band] >= 1).to(points)[..., None, None, None]
            points.addcmul_(arrived, self._bands[:, None, band])
            moving = (clock[..., band] > 0) & (clock[..., band] < 1)
            if moving.any():  # few bands move at a time, and only theirs are split anew
                points[moving] += self.basis.components(way[:, :, band][moving])[:, band]
        return points


class Scheduled(PathGenerator):
    """Makes the paths of another generator and lets their bands follow one after another.

    Args:
        paths: makes what is followed.
        basis, schedule: see `ScheduledPath`; Laplacian bands from coarse to fine by default.
    """

    def __init__(self, paths: PathGenerator, basis: Basis | None = None, schedule: Schedule | None = None) -> None:
        self.paths, self.basis, self.schedule = paths, basis or LaplacianBasis(), schedule or Schedule()
        self.is_random = paths.is_random

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams, **options: Any) -> ScheduledPath:
        """Return the scheduled paths of batch `B * n_paths`; `options` are those of the generator that is followed."""
        followed = self.paths.generate(*batch, n_paths=n_paths, streams=streams, **options)
        return ScheduledPath(followed, self.basis, self.schedule)
