"""How what a user holds becomes a floating tensor of pixels in [0, 1]; advice under which white stays white."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def kind_of(value: object) -> str:
    """Return what a value is, with its dtype where it has one."""
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype}"
    return str(value.dtype) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def conversion(images: object, name: str = "x") -> str:
    """Return how `name`, which holds `images`, becomes a floating tensor `(B, C, H, W)` in [0, 1]."""
    if isinstance(images, tuple | list) and images and isinstance(images[0], Tensor):
        return f"take {name}[0], or torch.stack(list({name})) where it holds single images"
    if not isinstance(images, Tensor) and getattr(getattr(images, "dtype", None), "kind", "O") not in "biuf":
        return f"convert with torch.as_tensor({name}), or an image of Pillow with torchvision's to_tensor({name})[None]"
    how = name
    if isinstance(images, np.ndarray):
        turned = min(images.strides, default=0) < 0  # which PyTorch does not take
        how = f"torch.from_numpy({name}{'.copy()' if turned else ''})"
        images = images.copy()
    pixels = torch.as_tensor(images)
    if pixels.ndim > 2 and pixels.shape[-1] in (1, 3) and pixels.shape[-3] not in (1, 3):
        how += ".permute(0, 3, 1, 2)" if pixels.ndim == 4 else ".permute(2, 0, 1)[None]"
    white = white_of(float(pixels.double().max())) if pixels.numel() and is_integer(pixels) else 1
    return f"convert with {how}.float(){'' if white == 1 else f' / {white}'}"


def is_integer(values: Tensor) -> bool:
    """Return whether the values are whole numbers by their type; truth values are not."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def white_of(largest: float) -> int:
    """Return the value of white among pixels of which `largest` is the largest: 1, 255 or 65535."""
    return 1 if largest <= 1 else 255 if largest <= 255 else 65535
