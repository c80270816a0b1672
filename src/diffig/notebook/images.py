"""Images as users hold them, as one float32 batch in [0, 1], and maps back in the layout they came in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffig.checks import noise_advice
from diffig.conversion import is_integer, kind_of, white_of
from diffig.data.pictures import as_shown, read_picture
from diffig.notebook.framing import AS_IT_IS, Framing

KINDS = "a tensor or array (C, H, W), (H, W, C) or a batch of these, an image of Pillow, or the path of a file"


class Given(NamedTuple):
    """A batch `(B, C, H, W)` in [0, 1], and how a map of it gets the layout of what it was made from."""

    batch: Tensor
    restored: Callable[[Tensor], Tensor]

    @property
    def is_one(self) -> bool:
        """Whether it was one image without a batch dimension."""
        return self.restored(self.batch[:1]).ndim < 4


def read_images(image: Any, framing: Framing = AS_IT_IS, channels: int = 3, clamped: bool = False) -> Given:
    """Return images of any kind as a batch.

    Args:
        image: a tensor, an array, an image of Pillow, the path of a file, or a list of equal ones.
        framing: of files and Pillow's images; tensors and arrays are taken as they are.
        channels: that the model takes; 1 makes files and Pillow's images grey.
        clamped: take pixels outside [0, 1] for the nearest inside.

    Raises:
        TypeError, ValueError: it is no image, or its values are not pixels.
    """
    if isinstance(image, list | tuple) and image:
        each = [read_images(one, framing, channels, clamped).batch for one in image]
        if len({one.shape[1:] for one in each}) > 1:
            raise ValueError(f"the images have different sizes, {[tuple(one.shape) for one in each]}; give them singly")
        return Given(torch.cat(each), lambda maps: maps)
    if isinstance(image, str | Path) or hasattr(image, "convert"):
        return Given(_picture(image, framing, channels)[None], lambda maps: maps[0])
    if not isinstance(image, Tensor | np.ndarray):
        found = "an empty list" if isinstance(image, list | tuple) else kind_of(image)
        raise TypeError(f"image is {found}; give {KINDS}")
    if isinstance(image, np.ndarray):  # of which those of Pillow may not be written to
        image = np.array(image, order="C")
    pixels = torch.as_tensor(image).detach()
    if pixels.ndim not in (2, 3, 4) or not pixels.numel():
        raise ValueError(f"image has shape {tuple(pixels.shape)}; give {KINDS}")
    pixels = pixels.float() / (255 if is_integer(pixels) else 1)
    pixels = pixels.clamp(0, 1) if clamped else pixels
    place = pixels.device
    if pixels.ndim == 2:
        return Given(_checked(pixels[None, None]), lambda maps: maps[0, 0].to(place))
    last = pixels.shape[-1] in (1, 3) and pixels.shape[-3] not in (1, 3)
    batch = pixels if pixels.ndim == 4 else pixels[None]
    batch = batch.permute(0, 3, 1, 2).contiguous() if last else batch

    def restored(maps: Tensor) -> Tensor:
        maps = maps.permute(0, 2, 3, 1) if last else maps
        return (maps if pixels.ndim == 4 else maps[0]).to(place)

    return Given(_checked(batch), restored)


def _picture(image: Any, framing: Framing, channels: int) -> Tensor:
    from torchvision.transforms.v2 import functional as vision

    if isinstance(image, str | Path):
        file = Path(image).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"no image at {file}; give {KINDS}")
        picture = read_picture(file, str(file))
    else:
        picture = as_shown(image, "the image")
    picture = framing(picture)
    return vision.pil_to_tensor(picture.convert("L") if channels == 1 else picture).float() / 255


def _checked(images: Tensor) -> Tensor:
    finite = images[images.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 1.0)
    if low < -1e-6 or high > 1 + 1e-6:
        if low >= 0 and high > 16:
            advice = f"divide by {white_of(high)}"
        else:
            advice = (
                "it looks normalised already; give pixels in [0, 1] and let the model normalise them, with preprocess= "
                "the transform, torchvision's weights or the image processor that did it"
                f"{noise_advice(low, high)}"
            )
        raise ValueError(f"the image lies in [{low:.4g}, {high:.4g}], and pixels must lie in [0, 1]: {advice}")
    return images
