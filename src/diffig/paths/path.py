"""Paths from a baseline to an image: geometry only. Points are computed when asked for, and none is stored.

Notation: `B` images, `T` segments, so `T + 1` points; point 0 is the baseline and point `T` the image, bitwise.
A *position* is a real number in [0, T]; between two points a path is straight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from diffig.checks import check_at_least, check_images, check_like


class Path(ABC):
    """A batch of piecewise linear paths from `baselines` to `images`, both `(B, C, H, W)`.

    `intended` are the baselines and images asked for, where the path starts and ends elsewhere because a decoder does
    not return them exactly. The integral sums to the score's change between the path's own ends; the completeness gap
    is measured against the change between the intended ones.
    """

    intended: tuple[Tensor, Tensor] | None = None

    def __init__(self, images: Tensor, baselines: Tensor, n_segments: int) -> None:
        check_images(images)
        check_like(baselines, images, "baselines")
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "T segments join T + 1 points")
        self.images, self.baselines = images, baselines

    def __len__(self) -> int:
        return len(self.images)

    @property
    def endpoints(self) -> tuple[Tensor, Tensor]:
        """The first and the last point, each `(B, C, H, W)`."""
        return self.baselines, self.images

    def at(self, positions: Tensor) -> Tensor:
        """Return the points `(B, K, C, H, W)` at real `positions` `(B, K)` in [0, T]; exact at both ends."""
        lower = positions.floor().clamp(0, self.n_segments - 1)
        points = self._between(lower.long(), positions - lower)
        if bool(((positions > 0) & (positions < self.n_segments)).all()):
            return points
        first, last = self.baselines[:, None], self.images[:, None]
        ends = positions[..., None, None, None]
        return torch.where(ends <= 0, first, torch.where(ends >= self.n_segments, last, points))

    def points(self, start: int, stop: int) -> Tensor:
        """Return the points `start` to `stop - 1` of `0 ... T`, shape `(B, stop - start, C, H, W)`."""
        if not 0 <= start < stop <= self.n_segments + 1:
            raise ValueError(f"points({start}, {stop}) of a path with the points 0 to {self.n_segments}")
        steps = torch.arange(start, stop, device=self.images.device, dtype=self.images.dtype)
        return self.at(steps.expand(len(self), -1))

    @abstractmethod
    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        """The points `(B, K, C, H, W)` at `fraction` of the way from point `lower` to the next, both `(B, K)`."""


class AlphaPath(Path):
    """A path told by how far every place has come: `x(t) = x' + sum_k up(alpha_k(t)) * component_k`.

    Args:
        images, baselines: `(B, C, H, W)`.
        alpha: `(B, T + 1, K, h, w)` progress in [0, 1], 0 at the first and 1 at the last point and never falling. The
            grid may be coarser than the image; it is then enlarged bilinearly, which keeps order and range.
        components: `(B, K, C, H, W)` parts of the difference `images - baselines` that sum to it (bands of a basis).
            Without them `K` is 1 or `C` and the difference itself is scaled, whole or channel by channel.

    Raises:
        ValueError: shapes do not fit, or alpha leaves [0, 1], misses an end or falls.
    """

    def __init__(self, images: Tensor, baselines: Tensor, alpha: Tensor, components: Tensor | None = None) -> None:
        super().__init__(images, baselines, alpha.shape[1] - 1)
        kinds = (1, images.shape[1]) if components is None else (components.shape[1],)
        if alpha.ndim != 5 or len(alpha) != len(images) or alpha.shape[2] not in kinds:
            raise ValueError(
                f"alpha has shape {tuple(alpha.shape)}; it must be ({len(images)}, T + 1, K, h, w) with K in {kinds}"
            )
        if components is not None and components.shape[2:] != images.shape[1:]:
            raise ValueError(
                f"components has shape {tuple(components.shape)}; it must be (B, K, *{tuple(images.shape[1:])})"
            )
        finite = alpha.isfinite().flatten(1).all(1)
        sound = torch.where(finite[:, None], ((alpha.diff(dim=1) >= 0).flatten(1)), True).all()
        if not sound or (alpha[:, 0][finite] != 0).any() or (alpha[:, -1][finite] != 1).any():
            raise ValueError(
                "alpha must rise from exactly 0 to exactly 1 along its second axis; sort it or take a cumulative sum"
            )
        self.alpha, self.components = alpha, components
        self._difference = images - baselines

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        rows = torch.arange(len(self), device=lower.device)[:, None]
        alpha = torch.lerp(self.alpha[rows, lower], self.alpha[rows, lower + 1], fraction[..., None, None, None])
        return blend(alpha, self.baselines, self._difference, self.components)


def blend(alpha: Tensor, baselines: Tensor, difference: Tensor, components: Tensor | None = None) -> Tensor:
    """Return the images `(B, n, C, H, W)` at progress `alpha` `(B, n, K, h, w)`; differentiable in alpha.

    Args:
        alpha: progress on a grid; a coarse grid is enlarged bilinearly.
        baselines, difference: `(B, C, H, W)` start and whole way of each path.
        components: `(B, K, C, H, W)` parts of the difference that move on their own.
    """
    height, width = baselines.shape[-2:]
    if alpha.shape[-2:] not in ((1, 1), (height, width)):
        fine = interpolate(alpha.flatten(0, 1), (height, width), mode="bilinear", align_corners=False)
        alpha = fine.unflatten(0, alpha.shape[:2])
    if components is None:
        return baselines[:, None] + alpha * difference[:, None]
    moved = alpha[:, :, 0, None] * components[:, None, 0]
    for band in range(1, components.shape[1]):  # band by band, and in place: K bands need the memory of one
        moved.addcmul_(alpha[:, :, band, None], components[:, None, band])
    return moved.add_(baselines[:, None])


class PointPath(Path):
    """A path told by its points `(B, T + 1, C, H, W)`; the first is the baseline, the last the image."""

    def __init__(self, points: Tensor) -> None:
        if points.ndim != 5 or points.shape[1] < 2:
            raise ValueError(f"points has shape {tuple(points.shape)}; it must be (B, T + 1, C, H, W) with T >= 1")
        super().__init__(points[:, -1], points[:, 0], points.shape[1] - 1)
        self._points = points

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        rows = torch.arange(len(self), device=lower.device)[:, None]
        weight = fraction[..., None, None, None]
        return torch.lerp(self._points[rows, lower], self._points[rows, lower + 1], weight)
