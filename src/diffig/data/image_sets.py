"""Map-style datasets of labelled images: the contract and its in-memory form."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from diffig.randomness import stream


class ImageSet(Dataset[tuple[Tensor, int, int]], ABC):
    """A dataset whose item is `(image float32 (C, H, W) in [0, 1], label, index)`.

    Args:
        labels: integers `(N,)`.
        indices: integers `(N,)`, position of each image in the dataset's own order; `None` means `0 .. N - 1`.
    """

    def __init__(self, labels: np.ndarray, indices: np.ndarray | None = None) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)
        self.indices = np.arange(len(self.labels)) if indices is None else np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int, int]:
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} is outside a dataset of {len(self)} images")
        return self.image(position % len(self)), int(self.labels[position]), int(self.indices[position])

    @abstractmethod
    def image(self, position: int) -> Tensor:
        """Return the image at `position`: float32 `(C, H, W)` in [0, 1]."""

    def mask(self, position: int) -> Tensor | None:
        """Return where the object is at `position`, uint8 `(1, H, W)`; None throughout datasets that do not say.

        1 inside the object, 0 outside, 255 where it is not to be counted; without a 1 where this image has no object.
        """
        return None

    def masks(self, indices: Sequence[int]) -> Tensor | None:
        """Return the masks uint8 `(B, 1, H, W)` of images by index; None in datasets without masks.

        Raises:
            KeyError: no image has such an index.
        """
        places = {int(index): position for position, index in enumerate(self.indices)}
        found = [mask for index in indices if (mask := self.mask(places[index])) is not None]
        return torch.stack(found) if found else None

    @abstractmethod
    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        """Return the same kind of dataset with the images at `positions`; they keep their indices."""


class ArrayImages(ImageSet):
    """Images held in memory.

    Args:
        images: uint8 in [0, 255] or float32 in [0, 1], `(N, H, W)` or `(N, H, W, C)`.
        labels: integers `(N,)`.
        indices: see ImageSet.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray | None = None) -> None:
        super().__init__(labels, indices)
        self.images = images if images.ndim == 4 else images[..., None]

    def image(self, position: int) -> Tensor:
        """Return the image at `position`: float32 `(C, H, W)` in [0, 1]."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[position].transpose(2, 0, 1)))
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels

    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        """Return the images at `positions`; they keep their indices."""
        chosen = np.asarray(positions, dtype=np.int64)
        return type(self)(self.images[chosen], self.labels[chosen], self.indices[chosen])


class EndlessOrder(Dataset[tuple[Tensor, int, int]]):
    """Sample number `first + i` of a training: every image once, in random order, before any comes twice.

    Args:
        images: the dataset; one pass is as long as it is.
        seed: of the orders.
        first: number of the first sample of this pass.
    """

    def __init__(self, images: ImageSet, seed: int, first: int = 0) -> None:
        self.images, self.seed, self.first = images, seed, first
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: int) -> tuple[Tensor, int, int]:
        turn, place = divmod(self.first + item, len(self.images))
        if turn not in self._orders:
            self._orders[turn] = stream(self.seed, "training order", turn).permutation(len(self.images))
        return self.images[int(self._orders[turn][place])]
