"""Fills: what replaces removed pixels. Where a path starts is another matter, see `diffig.baselines`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from diffig.metrics.masking import Interval
from diffig.scores import ScoreFunction

Space = Literal["pixel", "normalised"]


def black(images: Tensor) -> Tensor:
    """Return pixel value 0, `(1, 1, C, 1, 1)`."""
    return images.new_zeros(1, 1, images.shape[1], 1, 1)


def dataset_mean(images: Tensor, score: ScoreFunction) -> Tensor:
    """Return the classifier's own mean colour `(1, 1, C, 1, 1)`: zero after its normalisation, not black."""
    return _channels(images, score, "mean").reshape(1, 1, -1, 1, 1)


def blur(images: Tensor, kernel_size: int = 11, sigma: float = 5.0) -> Tensor:
    """Return the images `(B, 1, C, H, W)` blurred by a Gaussian, `sigma` in pixels, borders reflected.

    RISE (Petsiuk, Das and Saenko 2018) pads with zeros, which darkens the border. On images smaller than the kernel the
    kernel shrinks to fit.
    """
    size = min(kernel_size, 2 * min(images.shape[-2:]) - 1)
    half = size // 2
    offsets = torch.arange(-half, half + 1, device=images.device, dtype=images.dtype)
    weights = (-(offsets**2) / (2 * sigma**2)).exp()
    weights = (weights / weights.sum()).reshape(1, 1, 1, -1)
    planes = functional.pad(images, (half, half, half, half), mode="reflect").flatten(0, 1)[:, None]
    blurred = functional.conv2d(functional.conv2d(planes, weights), weights.transpose(2, 3))
    return blurred.reshape(images.shape)[:, None]


def kept_mean(images: Tensor, order: Tensor, removed: Sequence[Interval], score: ScoreFunction, space: Space) -> Tensor:
    """Return one grey `(B, V, C, 1, 1)` for each copy: the mean, over all channels, of the elements it keeps.

    Args:
        images: `(B, C, H, W)`.
        order: `(B, P)` positions by rank; P is C*H*W (elements) or H*W (pixels, all channels kept or removed).
        removed: V intervals of ranks.
        score: its classifier's `mean` and `std` are read where `space` is `normalised`.
        space: `pixel` averages values in [0, 1]. `normalised` averages what the network sees, as the published code
            does, and maps the scalar back channel by channel; the two differ where channels have unlike mean or std,
            and the second can leave [0, 1] a little.
    """
    batch, channels, positions = images.shape[0], images.shape[1], order.shape[1]
    values = images
    if space == "normalised":
        mean, std = (_channels(images, score, name).reshape(-1, 1, 1) for name in ("mean", "std"))
        values = (images - mean) / std
    rows = values.reshape(batch, -1, positions)  # (B, 1, CHW) or (B, C, HW)
    by_rank = rows.gather(2, order[:, None].expand_as(rows))
    means = [torch.cat([by_rank[..., :low], by_rank[..., high:]], 2).mean((1, 2)) for low, high in removed]
    grey = torch.stack(means, 1)[:, :, None, None, None].expand(-1, -1, channels, 1, 1)
    return grey * std + mean if space == "normalised" else grey


def _channels(images: Tensor, score: ScoreFunction, name: str) -> Tensor:
    """The classifier's normalisation constant `name`, one number for each channel."""
    value = getattr(score.classifier, name, None)
    if not isinstance(value, Tensor) or value.numel() not in (1, images.shape[1]):
        raise ValueError(
            f"the classifier ({type(score.classifier).__name__}) has no buffer `{name}` of {images.shape[1]} channels; "
            f"wrap it as diffig.classifiers.Classifier(net, mean, std), or choose fill=black and space=pixel"
        )
    return value.detach().to(images).flatten().expand(images.shape[1])
