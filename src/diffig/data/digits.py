"""Handwritten digits that ship with scikit-learn: a dataset that needs no file."""

import numpy as np
import torch
from torch.nn.functional import interpolate

from diffig.checks import check_at_least
from diffig.data.image_sets import ArrayImages
from diffig.data.module import ImageDataModule
from diffig.data.splits import Splits, stratified_split

TEST_FRACTION, VAL_FRACTION = 0.25, 0.1


class Digits(ImageDataModule):
    """Datamodule of 1797 grey digits, enlarged from 8x8; 449 of them are test images.

    Images `(1, size, size)` in [0, 1]; the index is the position in scikit-learn's order. Source: Alpaydin and Kaynak
    1998, UCI "Optical Recognition of Handwritten Digits" (its test part).

    Args:
        size: side of the images in pixels, 8 or more, reached by bilinear interpolation.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the stratified split and of the training order.
    """

    def __init__(self, *, size: int = 16, batch_size: int = 64, num_workers: int = 0, seed: int = 0) -> None:
        size = check_at_least(size, 8, "size", "the digits themselves have 8 pixels a side (dataset.size)")
        super().__init__("digits", batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.size = size

    def load(self) -> Splits:
        """Return the three stratified parts."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(digits.images).float()[:, None] / 16
        pixels = interpolate(pixels, size=(self.size, self.size), mode="bilinear", align_corners=False)
        images = ArrayImages(pixels[:, 0].numpy(), np.asarray(digits.target))
        test, val, train = stratified_split(images.labels, [TEST_FRACTION, VAL_FRACTION], self.seed)
        return Splits(
            train=images.subset(train),
            val=images.subset(val),
            test=images.subset(test),
            class_names=[str(name) for name in digits.target_names],
        )
