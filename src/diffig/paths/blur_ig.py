"""Gaussian scale space as a path: the image sharpens from a full blur (Xu, Venugopalan and Sundararajan 2020).

Notation: `L(x, s)` the image `x` blurred by a Gaussian of standard deviation `s` pixels, `s_max` the widest; at time
`t` in [0, 1] the path stands at `L(x, s(t))` with `s(t) = s_max (1 - t)`, or `s_max sqrt(1 - t)`, even in variance.
A blur is a matrix on each axis, `L = R x C^T`, so that any width fits any image and every image may have its own.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice, check_images
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import Path
from diffig.randomness import Streams

Padding = Literal["constant", "reflect"]
Spacing = Literal["linear", "sqrt"]


def gaussian_blur(images: Tensor, sigmas: Tensor, padding: Padding = "constant", truncate: float = 4.0) -> Tensor:
    """Return `images` `(B, C, H, W)`, each blurred with its own standard deviation; 0 leaves an image as it is.

    Args:
        images: floating.
        sigmas: `(B,)` in pixels, not negative.
        padding: `constant`: black outside; `reflect`: mirrored at the centres of the border pixels, as torch's
            `reflect` does (SciPy calls it `mirror`; SciPy's `reflect` repeats the border pixel).
        truncate: the kernel ends after this many standard deviations, as SciPy's.
    """
    check_images(images)
    check_choice(padding, Padding, "padding")
    if sigmas.shape != (len(images),) or not bool((sigmas >= 0).all()):
        raise ValueError(f"sigmas must be ({len(images)},) numbers of at least 0, one for each image")
    kernels = _kernels(sigmas.to("cpu", torch.float64), truncate)
    rows, columns = (_matrix(kernels, size, padding).to(images)[:, None] for size in images.shape[-2:])
    return rows @ images @ columns.mT


def _kernels(sigmas: Tensor, truncate: float) -> Tensor:
    """Weights `(n, 2 R + 1)` at the offsets `-R ... R`, rows that sum to 1; `R` is the largest of all radii."""
    radii = (truncate * sigmas + 0.5).floor()
    reach = int(radii.max())
    offsets = torch.arange(-reach, reach + 1, dtype=sigmas.dtype)
    variances = torch.where(sigmas > 0, sigmas, 1).square()[:, None]
    weights = torch.where(offsets.abs() <= radii[:, None], torch.exp(-offsets.square() / (2 * variances)), 0)
    return weights / weights.sum(1, keepdim=True)


def _matrix(kernels: Tensor, size: int, padding: Padding) -> Tensor:
    """The blur of a line of `size` pixels as matrices `(n, size, size)`."""
    reach = kernels.shape[1] // 2
    places = torch.arange(size)
    offsets = places[:, None] - places
    if padding == "constant":
        beyond = max(0, size - 1 - reach)
        return torch.nn.functional.pad(kernels, (beyond, beyond))[:, offsets + reach + beyond]
    # A mirrored line repeats itself; weights one period apart fall on the same pixel.
    period = max(1, 2 * (size - 1))
    folded = torch.nn.functional.pad(kernels, (0, -kernels.shape[1] % period)).unflatten(1, (-1, period)).sum(1)
    inner = (places > 0) & (places < size - 1)  # border pixels are their own mirror images
    mirrored = folded[:, (places[:, None] + places + reach) % period]
    return folded[:, (offsets + reach) % period] + torch.where(inner, mirrored, 0)


class ScaleSpace(Path):
    """A batch of such paths. No point is stored, and between two points too the path is a blur and no straight line.

    The first point is the fully blurred image, the path's own start; the last is the image, bitwise.
    """

    def __init__(
        self, images: Tensor, sigma_max: float, n_segments: int, padding: Padding, spacing: Spacing, truncate: float
    ) -> None:
        self.sigma_max, self.padding, self.spacing, self.truncate = sigma_max, padding, spacing, truncate
        start = gaussian_blur(images, torch.full((len(images),), sigma_max, dtype=torch.float64), padding, truncate)
        super().__init__(images, start, n_segments)

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        left = (1 - (lower + fraction) / self.n_segments).clamp(0, 1)
        sigmas = self.sigma_max * (left.sqrt() if self.spacing == "sqrt" else left)
        repeated = self.images.repeat_interleave(sigmas.shape[1], 0)
        blurred = gaussian_blur(repeated, sigmas.flatten(), self.padding, self.truncate)
        return blurred.unflatten(0, sigmas.shape)


class ScaleSpacePath(PathGenerator):
    """From the fully blurred image to the image; baselines play no part.

    Args:
        n_segments: `T`; the curve is the same for every `T`.
        sigma_max: `s_max` in pixels, for an image whose longer side has `reference_side` pixels. The authors take 50
            at ImageNet's size, where little more than the mean colour is left.
        reference_side: `s_max` shrinks and grows with the image; None: it is meant in pixels for any image.
        padding: `constant` (the authors') or `reflect`, see `gaussian_blur`. Black borders make maps dark at the rim.
        spacing: `linear` in the standard deviation, or `sqrt`, even in the variance. (The authors' program reaches
            only `sqrt(s_max)` in the latter.)
        truncate: of the kernels.
    """

    def __init__(
        self,
        n_segments: int = 128,
        sigma_max: float = 50.0,
        reference_side: int | None = 224,
        padding: Padding = "constant",
        spacing: Spacing = "linear",
        truncate: float = 4.0,
    ) -> None:
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")
        for name, value in (("sigma_max", sigma_max), ("truncate", truncate)):
            if not value > 0:
                raise ValueError(f"{name}={value} must be positive; the authors' values are 50 pixels and 4")
        check_choice(padding, Padding, "padding")
        check_choice(spacing, Spacing, "spacing")
        if reference_side is not None:
            check_at_least(reference_side, 1, "reference_side", "the image's longer side that sigma_max is meant for")
        self.sigma_max, self.reference_side, self.truncate = float(sigma_max), reference_side, float(truncate)
        self.padding, self.spacing = padding, spacing

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> ScaleSpace:
        """Return the paths of batch `B * n_paths` (all candidates of an image are alike)."""
        images = batch.images
        scale = 1.0 if self.reference_side is None else max(images.shape[-2:]) / self.reference_side
        images = candidates(images, n_paths)
        return ScaleSpace(images, self.sigma_max * scale, self.n_segments, self.padding, self.spacing, self.truncate)
