"""What the films show: the way from baseline to image, and pixels put in and taken out."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.attribution.trace import path_of
from diffig.credit import as_credit
from diffig.explain.film import Track
from diffig.metrics.masking import order_of, pixel_map, ranks_of
from diffig.metrics.replacement import blur
from diffig.paths.path import Path
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
    path = _path(attributor, image, target, index, region)
    if path is None:
        return None
    points = path.at(_positions(path, frames))[0]
    return Track(title, points, attributor.score.score(points, _each(target, points)))


def credit_tracks(
    attributor: Attributor,
    image: Tensor,
    target: int,
    title: str,
    frames: int = 25,
    index: Tensor | None = None,
    region: Tensor | None = None,
) -> tuple[Track, Track] | None:
    """Return the points of `path_track`, and what the pieces up to each have given the pixels.

    The last picture is the map of this path, cut into `frames - 1` pieces, before candidates are put together and
    shared with neighbours. Its numbers are the score at the baseline plus the sum of the credit: with a complete
    credit they follow the score. Arguments as in `path_track`.
    """
    path = _path(attributor, image, target, index, region)
    if path is None:
        return None
    score, credit = attributor.score, as_credit(getattr(attributor, "credit", "midpoint"))
    points = path.at(_positions(path, frames))
    each = _each(target, points[0])
    values = score.score(points[0], each)
    if credit.where == "trapezoid":
        ends = score.value_and_grad(points[0], each)[1]
        gradients = (ends[1:] + ends[:-1]) / 2
    else:
        shift = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[credit.where]
        places = torch.lerp(points[0, :-1], points[0, 1:], shift)
        gradients = score.value_and_grad(places, each[1:])[1]
    shares = credit.divide(gradients[None], points.diff(dim=1), values.diff()[None])[0]
    so_far = torch.cat([torch.zeros_like(shares[:1]), shares.cumsum(0)])
    walked = Track(f"{title}: path", points[0], values)
    return walked, Track(f"{title}: credit so far", coloured(so_far), values[0] + so_far.flatten(1).sum(1))


def coloured(maps: Tensor) -> Tensor:
    """Return pictures `(K, 3, H, W)` of maps `(K, C, H, W)`, red for and blue against, on the scale of the last."""
    from matplotlib import colormaps

    signed = maps.detach().float().sum(1).cpu()
    top = signed[-1].abs().quantile(0.99)
    shown = torch.where(top > 0, signed / top, signed).clamp(-1, 1)
    return torch.from_numpy(colormaps["RdBu_r"](shown.add(1).div(2).numpy())[..., :3]).permute(0, 3, 1, 2)


def _path(
    attributor: Attributor, image: Tensor, target: int, index: Tensor | None, region: Tensor | None
) -> Path | None:
    return path_of(attributor, image, _each(target, image), index, region)


def _each(target: int, images: Tensor) -> Tensor:
    """The class for each of the images `(K, C, H, W)`."""
    return torch.full((len(images),), target, device=images.device)


def _positions(path: Path, frames: int) -> Tensor:
    """`frames` places `(1, frames)` on a path, equally far apart in its own time."""
    like = path.images
    return torch.linspace(0, path.n_segments, frames, device=like.device, dtype=like.dtype)[None]


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
