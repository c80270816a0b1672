"""The interface of path generators, the batch they are given, and how candidates share one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor

from diffig.paths.path import Path
from diffig.randomness import Streams
from diffig.renamed import old_arguments
from diffig.scores import ScoreFunction


class ExplainBatch(NamedTuple):
    """What is explained: images and baselines `(B, C, H, W)` in [0, 1], the classes `(B,)`, and the score."""

    images: Tensor
    baselines: Tensor
    targets: Tensor
    score: ScoreFunction

    def repeated(self, n_paths: int) -> ExplainBatch:
        """Return the same for `n_paths` candidates of each image, image-major."""
        images, baselines, targets = (candidates(tensor, n_paths) for tensor in self[:3])
        return ExplainBatch(images, baselines, targets, self.score)


class PathGenerator(ABC):
    """Makes paths from baselines to images; `is_random` says whether more candidates than one make sense.

    A subclass writes `_generate`.
    """

    is_random = False

    @old_arguments(generator="streams")
    def generate(
        self,
        images: Tensor,
        baselines: Tensor,
        targets: Tensor,
        score: ScoreFunction,
        *,
        n_paths: int = 1,
        streams: Streams | None = None,
        **options: Any,
    ) -> Path:
        """Return the paths of batch `B * n_paths`, image-major: path `p` of image `b` is `b * n_paths + p`.

        Args:
            images, baselines: `(B, C, H, W)` in [0, 1].
            targets: `(B,)` the classes explained.
            score: the score that may guide the path; its cost is counted.
            n_paths: candidates for each image, made together.
            streams: random numbers keyed by image; by the position in the batch where none are given.
            options: what a generator takes besides, `region` of DiffIG's.
        """
        batch = ExplainBatch(images, baselines, targets, score)
        return self._generate(batch, n_paths, streams or Streams.default(len(images)), **options)

    @abstractmethod
    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> Path:
        """Return what `generate` does."""


def candidates(tensor: Tensor, n_paths: int) -> Tensor:
    """Return `tensor` `(B, ...)` with every row repeated, `(B * n_paths, ...)`, image-major."""
    return tensor if n_paths == 1 else tensor.repeat_interleave(n_paths, 0)
