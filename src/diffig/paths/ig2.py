"""GradPath of IG2: from the image downhill to the representation of a reference (Zhuo and Ge 2024).

Notation: representation `h`, reference `r`, steps of length `e`; `x_0 = x` and `x_{k+1} = clip(x_k + e u_k, 0, 1)`
with `u_k` the unit vector along `-grad |h(x_k) - h(r)|^2`. The end `x_T` is the counterfactual, called GradCF.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import PointPath
from diffig.paths.representation import direction, represent
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class GradPath(PathGenerator):
    """The way from an image to its counterfactual; the baselines given are the references, where it does not arrive.

    Args:
        n_segments: `T`, and the number of gradients for each path.
        travel: length of the whole way, as the root mean square over all numbers of an image in [0, 1] if it went
            straight; a step is `e = travel sqrt(C H W) / T`. The authors' 201 steps of length 256 in [0, 255], on
            images of 3 x 224 x 224, are 0.52.
        layer: the head whose input is the representation; the last linear layer by default, see `Representation`.
        clip: keep points in [0, 1].
    """

    def __init__(self, n_segments: int = 64, travel: float = 0.52, layer: str | None = None, clip: bool = True) -> None:
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")
        if not travel > 0:
            raise ValueError(f"travel={travel} must be positive; the authors' steps add up to 0.52")
        self.travel, self.layer, self.clip = float(travel), layer, clip

    def walk(self, images: Tensor, wanted: Tensor, score: ScoreFunction) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each step's old and new point, both `(B, C, H, W)`, from the images on.

        Args:
            images: `(B, C, H, W)`.
            wanted: `(B, d)` representations of the references.
            score: its classifier gives representations: one forward and one backward image for each step.
        """
        length = self.travel * images[0].numel() ** 0.5 / self.n_segments
        point = images
        for _ in range(self.n_segments):
            new = point + length * direction(score, point, wanted, self.layer)
            new = new.clamp(0, 1) if self.clip else new
            yield point, new
            point = new

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> PointPath:
        """Return the paths from the counterfactuals to the images, `PointPath` of batch `B * n_paths`."""
        wanted = represent(batch.score, batch.baselines, self.layer)[1]
        points = [batch.images, *(new for _, new in self.walk(batch.images, wanted, batch.score))]
        return PointPath(candidates(torch.stack(points[::-1], 1), n_paths))
