"""What the films show: the way from baseline to image, and pixels put in and taken out."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.attribution.trace import path_of
from diffig.explain.film import Track
from diffig.metrics.masking import order_of, pixel_map, ranks_of
from diffig.metrics.replacement import blur
from diffig.scores import ScoreFunction


def path_track(
    attributor: Attributor,
    image: Tensor,
    target: int,
    title: str,
    frames: int = 25,
    index: Tensor | None = None,
    region: Tensor | None = None,
) -> Track | None:
    """Return `frames` points of the method's path, equally far apart in its own time, with the score at each.

    None for methods that go no path.

    Args:
        attributor: the method.
        image: `(1, C, H, W)` in [0, 1].
        target: the class explained.
        title: of the track.
        frames: at least two.
        index, region: see `path_of`.
    """
    targets = torch.tensor([target], device=image.device)
    path = path_of(attributor, image, targets, index, region)
    if path is None:
        return None
    positions = torch.linspace(0, path.n_segments, frames, device=image.device, dtype=image.dtype)
    points = path.at(positions[None])[0]
    return Track(title, points, attributor.score.score(points, targets.expand(frames)))


def removal_tracks(
    score: ScoreFunction, image: Tensor, attribution: Tensor, target: int, frames: int = 25
) -> list[Track]:
    """Return insertion into the blurred image and deletion to black, with the target's probability.

    Petsiuk, Das and Saenko 2018; ranked by `|sum_c a|`.

    Args:
        score: read for its classifier's probabilities, whatever its objective.
        image, attribution: `(1, C, H, W)`.
        target: the class explained.
        frames: shares of the pixels, from none to all.
    """
    order = order_of(pixel_map(attribution, "abs_sum").flatten(1), 0, torch.zeros(1, dtype=torch.long))
    ranks = ranks_of(order).view(1, 1, *image.shape[2:])
    counts = (torch.linspace(0, 1, frames, device=image.device) * order.shape[1]).round().view(-1, 1, 1, 1)
    first = ranks < counts  # the pixels that the method names first
    shown = [torch.where(first, image, blur(image)[:, 0]), torch.where(first, torch.zeros_like(image), image)]
    probability = [score.logits(images).softmax(1)[:, target] for images in shown]
    return [
        Track(name, images, p) for name, images, p in zip(("insertion", "deletion"), shown, probability, strict=True)
    ]
