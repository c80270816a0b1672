"""Coarse to fine by a fixed schedule: bands move one after another, every pixel of a band at the same speed."""

from __future__ import annotations

import torch

from diffig.checks import check_at_least
from diffig.paths.basis import Basis, LaplacianBasis
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import AlphaPath
from diffig.paths.schedule import Schedule
from diffig.randomness import Streams


class CoarseToFinePath(PathGenerator):
    """A blurred image appears first and sharpens.

    Args:
        basis: the coordinates, Laplacian bands by default.
        schedule: when each band moves.
        n_segments: `T` points on which the schedule is drawn.
    """

    def __init__(self, basis: Basis | None = None, schedule: Schedule | None = None, n_segments: int = 64) -> None:
        self.basis = basis or LaplacianBasis()
        self.schedule = schedule or Schedule()
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> AlphaPath:
        """Return the scheduled paths, `AlphaPath` of batch `B * n_paths` with one cell for each band."""
        images, baselines = batch.images, batch.baselines
        times = torch.linspace(0, 1, self.n_segments + 1, device=images.device, dtype=images.dtype)
        clock = self.schedule.clock(times, self.basis.n_bands)
        clock[-1] = 1
        alpha = clock[None, :, :, None, None].repeat(len(images) * n_paths, 1, 1, 1, 1)
        images, baselines = candidates(images, n_paths), candidates(baselines, n_paths)
        return AlphaPath(images, baselines, alpha, self.basis.components(images - baselines))
