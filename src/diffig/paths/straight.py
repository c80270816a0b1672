"""The straight line: the path of Integrated Gradients (Sundararajan, Taly and Yan 2017)."""

from __future__ import annotations

import torch

from diffig.checks import check_at_least
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import AlphaPath
from diffig.randomness import Streams


class StraightPath(PathGenerator):
    """Every pixel moves at the same constant speed.

    Args:
        n_segments: `T`; the polyline is the same for every `T`, which matters only to rules that follow its points.
    """

    def __init__(self, n_segments: int = 1) -> None:
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> AlphaPath:
        """Return the straight paths, `AlphaPath` of batch `B * n_paths` with a grid of one cell."""
        images, baselines = batch.images, batch.baselines
        alpha = torch.linspace(0, 1, self.n_segments + 1, device=images.device, dtype=images.dtype)
        alpha = alpha.reshape(1, -1, 1, 1, 1).repeat(len(images) * n_paths, 1, 1, 1, 1)
        return AlphaPath(candidates(images, n_paths), candidates(baselines, n_paths), alpha)
