"""What makes paths: the contract of every path generator, and how candidates share a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from diffig.paths.path import Path
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class PathGenerator(ABC):
    """Makes paths from baselines to images; `is_random` says whether more candidates than one make sense."""

    is_random = False

    @abstractmethod
    def generate(
        self,
        images: Tensor,
        baselines: Tensor,
        targets: Tensor,
        score: ScoreFunction,
        *,
        n_paths: int = 1,
        generator: Streams | None = None,
    ) -> Path:
        """Return the paths of batch `B * n_paths`, image-major: path `p` of image `b` stands at `b * n_paths + p`.

        Args:
            images, baselines: `(B, C, H, W)` in [0, 1].
            targets: `(B,)` the classes explained.
            score: the score that may guide the path; its cost is counted.
            n_paths: candidates for each image, made together.
            generator: random streams keyed by image; the position in the batch where none are given.
        """


def candidates(tensor: Tensor, n_paths: int) -> Tensor:
    """Return `tensor` `(B, ...)` with every row repeated, `(B * n_paths, ...)`, image-major."""
    return tensor if n_paths == 1 else tensor.repeat_interleave(n_paths, 0)
