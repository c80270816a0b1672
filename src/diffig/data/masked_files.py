"""Image files with a file beside each that says where its object is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from diffig.data.image_files import ImageFiles
from diffig.data.pictures import mask_as_shown
from diffig.data.storage import Storage

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Region(NamedTuple):
    """Which pixels of a grey image file are the object.

    Attributes:
        file: its name in the storage; of the picture's own size.
        inside: pixel values of the object.
        ignored: pixel values that are neither object nor background.
    """

    file: str
    inside: tuple[int, ...]
    ignored: tuple[int, ...] = ()


class MaskedFiles(ImageFiles):
    """Image files with masks, which are made square in the same way, without mixing neighbours.

    Args:
        storage, files, labels: see ImageFiles.
        regions: the object of each image `(N,)`; None for an image without one.
        options: `size`, `resize`, `resize_mode` and `indices`, see ImageFiles.
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[str],
        labels: np.ndarray,
        regions: Sequence[Region | None],
        **options: Any,
    ) -> None:
        super().__init__(storage, files, labels, **options)
        self.regions = list(regions)

    def mask(self, position: int) -> Tensor:
        """Return the mask at `position`, uint8 `(1, size, size)`: 1 object, 0 elsewhere, 255 not to be counted.

        Raises:
            ValueError: a mask that is no image, naming it.
        """
        from PIL import Image

        region = self.regions[position]
        if region is None:
            return torch.zeros(1, self.size, self.size, dtype=torch.uint8)
        content = self.storage.read(region.file)
        try:
            picture: Picture = Image.open(io.BytesIO(content))
            picture.load()
            picture = mask_as_shown(picture, self.storage.read(self.files[position]))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"{region.file} in {self.storage.path} is not a readable mask ({error}); replace or remove it"
            ) from error
        values = np.asarray(self.square(picture, Image.Resampling.NEAREST))
        mask = np.zeros(values.shape, dtype=np.uint8)
        mask[np.isin(values, region.ignored)] = 255
        mask[np.isin(values, region.inside)] = 1
        return torch.from_numpy(mask)[None]

    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        """Return the files at `positions`; they keep their indices and masks."""
        chosen = np.asarray(positions, dtype=np.int64)
        return type(self)(
            self.storage,
            [self.files[position] for position in chosen],
            self.labels[chosen],
            [self.regions[position] for position in chosen],
            size=self.size,
            resize=self.resize,
            resize_mode=self.resize_mode,
            indices=self.indices[chosen],
        )
