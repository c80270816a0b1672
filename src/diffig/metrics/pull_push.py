"""Pull-push: an image from a few of its pixels, smooth in between, by a pyramid of weighted means."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pull_push(images: Tensor, known: Tensor) -> Tensor:
    """Return the images `(B, C, H, W)` with every unknown pixel interpolated from the known ones.

    Pull-push of Gortler, Grzeszczuk, Szeliski and Cohen (The Lumigraph, SIGGRAPH 1996). Known pixels have weight 1, all
    others 0. *Pull*: a pixel of the next coarser level is the weighted mean of the four below it, its weight their
    sum, at most 1; up to one single pixel. *Push*: from the coarsest level down, what a pixel's weight lacks of 1 is
    taken from the coarser level, enlarged bilinearly. Known pixels stay as they are, bit for bit, and all others are
    weighted means of known ones. A dozen tensor operations for any number of images, where triangulations of scattered
    points go one image at a time.

    Args:
        images: `(B, C, H, W)`.
        known: `(B, 1, H, W)` bool, at least one pixel of each image; without any the image becomes 0.
    """
    weight = known.to(images)
    levels = [(images * weight, weight)]  # colours times weights
    while max(weight.shape[2:]) > 1:
        colour, weight = (_sum_of_four(part) for part in levels[-1])
        levels.append((colour / weight.clamp(min=1), weight.clamp(max=1)))
        weight = levels[-1][1]
    colour, _ = levels.pop()
    for own, weight in reversed(levels):
        coarser = functional.interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
        colour = own + (1 - weight) * coarser[..., : own.shape[2], : own.shape[3]]
    return torch.where(known, images, colour)


def _sum_of_four(part: Tensor) -> Tensor:
    """Sums over blocks of 2 x 2, `(B, n, ceil(H / 2), ceil(W / 2))`; beyond the border there is nothing."""
    height, width = part.shape[2:]
    return 4 * functional.avg_pool2d(functional.pad(part, (0, width % 2, 0, height % 2)), 2)
