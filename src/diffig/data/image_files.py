"""Image files made square as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from torch import Tensor

from diffig.data.image_sets import ImageSet
from diffig.data.pictures import read_picture
from diffig.data.storage import Storage

if TYPE_CHECKING:
    from PIL.Image import Image as Picture, Resampling

ResizeMode = Literal["crop", "squash"]


class ImageFiles(ImageSet):
    """Image files decoded when asked for, as `read_picture` shows them, and made square: cropped, or squashed.

    Args:
        storage: where the files are.
        files: their names `(N,)`.
        labels: integers `(N,)`.
        size: side of the square, pixels.
        resize: length of the shorter side before the crop, at least `size`.
        resize_mode: `crop` scales the shorter side to `resize` and keeps the central square; `squash` scales
            each side to `size`, so that all of the image stays and its proportions do not.
        indices: see ImageSet.
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[str],
        labels: np.ndarray,
        *,
        size: int,
        resize: int,
        resize_mode: ResizeMode = "crop",
        indices: np.ndarray | None = None,
    ) -> None:
        super().__init__(labels, indices)
        self.storage, self.files = storage, list(files)
        self.size, self.resize, self.resize_mode = size, resize, resize_mode

    def image(self, position: int) -> Tensor:
        """Return the image at `position`: float32 `(3, size, size)` in [0, 1].

        Raises:
            ValueError: a file that is no image, naming it.
        """
        from PIL import Image

        file = self.files[position]
        picture = read_picture(self.storage.read(file), f"{file} in {self.storage.path}")
        picture = self.square(picture, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy()).float() / 255

    def square(self, picture: Picture, resampling: Resampling) -> Picture:
        """Return the picture cropped or squashed to a square of side `size`."""
        if self.resize_mode == "squash":
            return picture.resize((self.size, self.size), resampling)
        width, height = picture.size
        shorter = min(width, height)
        if shorter != self.resize:
            # Rounds down, as torchvision's Resize does, so that published accuracies are met.
            scaled = (int(self.resize * width / shorter), int(self.resize * height / shorter))
            picture = picture.resize(scaled, resampling)
        left, top = (round((side - self.size) / 2) for side in picture.size)
        return picture.crop((left, top, left + self.size, top + self.size))

    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        """Return the files at `positions`; they keep their indices."""
        chosen = np.asarray(positions, dtype=np.int64)
        files = [self.files[position] for position in chosen]
        return type(self)(
            self.storage,
            files,
            self.labels[chosen],
            size=self.size,
            resize=self.resize,
            resize_mode=self.resize_mode,
            indices=self.indices[chosen],
        )
