"""What a dataloader gives: images, labels and the index of each image in its dataset."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """A batch of images with what identifies them.

    Attributes:
        images: float32 `(B, C, H, W)` in [0, 1].
        labels: int64 `(B,)`, class numbers.
        indices: int64 `(B,)`, position of each image in the dataset's own order; it depends on neither split, seed nor
            batch size, so it may key randomness and rows of results.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


def collate(samples: Iterable[tuple[Tensor, int, int]]) -> Batch:
    """Return one Batch made of samples `(image (C, H, W), label, index)`, in the order given."""
    images, labels, indices = zip(*samples, strict=True)
    return Batch(torch.stack(images), torch.tensor(labels, dtype=torch.int64), torch.tensor(indices, dtype=torch.int64))
