"""The information in an image, as the bytes of its lossless compression."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

Information = Literal["webp", "entropy"]


def webp_bytes(images: Tensor) -> Tensor:
    """Return the sizes `(B,)` float64, in bytes, of the images as lossless WebP files of 8 bits per channel.

    As Kapishnikov et al. measure it, with the codec's highest effort. A codec takes one image at a time, on the CPU.

    Args:
        images: `(B, 1 or 3, H, W)` in [0, 1].

    Raises:
        ValueError: another number of channels, or a Pillow without WebP.
    """
    from PIL import Image, features

    if images.shape[1] not in (1, 3) or not features.check("webp"):
        raise ValueError(
            f"images of {images.shape[1]} channels cannot be stored as WebP here (that takes 1 or 3, and a Pillow that "
            "knows WebP); choose information=entropy"
        )
    sizes = []
    for pixels in eight_bits(images).expand(-1, 3, -1, -1).byte().permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "webp", lossless=True, quality=100)
        sizes.append(file.tell())
    return torch.tensor(sizes, dtype=torch.float64, device=images.device)


def entropy_bytes(images: Tensor) -> Tensor:
    """Return the bytes `(B,)` float64 that an ideal code needs for the images' prediction residuals.

    Each 8-bit value is predicted from its left and upper neighbours by the median edge detector (Weinberger, Seroussi
    and Sapiro, LOCO-I, 2000), colours as differences from green, and the residuals' entropy is counted over the whole
    image. A few tensor operations on the device.

    Args:
        images: `(B, C, H, W)` in [0, 1].
    """
    values = eight_bits(images).long()
    if images.shape[1] == 3:
        red, green, blue = values.unbind(1)
        values = torch.stack([red - green, green, blue - green], 1)
    left, above, corner = torch.zeros_like(values), torch.zeros_like(values), torch.zeros_like(values)
    left[..., 1:], above[..., 1:, :], corner[..., 1:, 1:] = values[..., :-1], values[..., :-1, :], values[..., :-1, :-1]
    # The median of left, above and their plane: on the first row and column, where one is 0, it is the other.
    low, high = torch.minimum(left, above), torch.maximum(left, above)
    residual = (values - (left + above - corner).clamp(low, high)).flatten(1) % 256
    counts = torch.zeros(len(images), 256, dtype=torch.float64, device=images.device)
    counts.scatter_add_(1, residual, torch.ones_like(residual, dtype=torch.float64))
    nats = torch.special.entr(counts / residual.shape[1]).sum(1)
    return nats / torch.log(torch.tensor(2.0, dtype=torch.float64)).to(nats) * residual.shape[1] / 8


def eight_bits(images: Tensor) -> Tensor:
    """Return the images' values as whole numbers of 0 to 255, in their own type."""
    return (images.clamp(0, 1) * 255).round()


MEASURES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({"webp": webp_bytes, "entropy": entropy_bytes})
