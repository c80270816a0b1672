"""The path that a method integrates along, for plots."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.attribution.regional import RegionalAttributor
from diffig.paths.codec import borrowed
from diffig.paths.generator import PathGenerator
from diffig.paths.path import Path
from diffig.randomness import Streams


def path_of(
    attributor: Attributor,
    images: Tensor,
    targets: Tensor,
    indices: Tensor | None = None,
    region: Tensor | None = None,
) -> Path | None:
    """Return the path from the first reference to each image, a batch of `B`, or None for methods without one.

    Where a method takes several candidates this is the first of them, drawn as `explain` draws it. What the path costs
    is counted by the method's score.

    Args:
        attributor: the method.
        images: `(B, C, H, W)` in [0, 1].
        targets: `(B,)` classes.
        indices: `(B,)` the images' dataset indices; 0 ... B - 1 otherwise.
        region: `(B, 1, H, W)` what should move first, for the methods whose `explain` takes it.
    """
    generator = getattr(attributor, "path", None)
    if not isinstance(generator, PathGenerator):
        return None
    streams = Streams(attributor.seed, torch.arange(len(images)) if indices is None else indices)
    baselines = attributor.baseline.references(images, streams)[0]
    codec = getattr(attributor, "autoencoder", None)
    options: dict[str, Any] = {"region": region} if isinstance(attributor, RegionalAttributor) else {}
    with borrowed(codec, images.device):  # type: ignore[arg-type]
        return generator.generate(images, baselines, targets, attributor.score, streams=streams, **options)
