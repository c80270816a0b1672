"""The path that a method goes, to be looked at."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.paths.generator import PathGenerator
from diffig.paths.path import Path
from diffig.randomness import Streams


def path_of(attributor: Attributor, images: Tensor, targets: Tensor, indices: Tensor | None = None) -> Path | None:
    """Return the path from the first reference to each image, a batch of `B`, or None for methods without one.

    Where a method takes several candidates this is the first of them, drawn as `explain` draws it. What the path costs
    is counted by the method's score.

    Args:
        attributor: the method.
        images: `(B, C, H, W)` in [0, 1].
        targets: `(B,)` classes.
        indices: `(B,)` the images' dataset indices; 0 ... B - 1 otherwise.
    """
    generator = getattr(attributor, "path", None)
    if not isinstance(generator, PathGenerator):
        return None
    streams = Streams(attributor.seed, torch.arange(len(images)) if indices is None else indices)
    baselines = attributor.baseline.references(images, streams)[0]
    return generator.generate(images, baselines, targets, attributor.score, n_paths=1, generator=streams)
