"""The LightningDataModule that all datasets share."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from diffig.data.batch import Batch, collate
from diffig.data.image_sets import EndlessOrder, ImageSet
from diffig.data.splits import Splits
from diffig.randomness import first_counter, taken_in_turn


class ImageDataModule(pl.LightningDataModule):
    """Datasets, what they are like, and their dataloaders; a subclass only says how to `load`.

    Images are float32 `(C, H, W)` in [0, 1]; dataloaders give Batch. Files are read at the first `setup()` or the
    first use of an attribute that needs them.

    Args:
        name: what rows of results call this dataset.
        batch_size: images per batch (per process).
        num_workers: processes that load images; 0 loads in the main process.
        seed: of the split and of the order of training images.
        mean: per channel, for classifiers trained on this data; `None` measures it.
        std: per channel, likewise.
    """

    labels_by_order = False
    """Whether nothing but an order of names gave the labels, which is right only where no class is missing."""

    def __init__(
        self,
        name: str,
        *,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size={batch_size}, num_workers={num_workers}: dataset.batch_size must be 1 or more and"
                " dataset.num_workers 0 or more"
            )
        if (mean is None) != (std is None):
            raise ValueError(f"mean={mean}, std={std}: set both dataset.mean and dataset.std, or neither")
        self.name: str = name
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self._splits: Splits | None = None
        self._statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
        if mean is not None and std is not None:
            self._statistics = tuple(map(float, mean)), tuple(map(float, std))

    @abstractmethod
    def load(self) -> Splits:
        """Return the parts of the dataset, read from disk and checked."""

    def setup(self, stage: str | None = None) -> None:
        """Read the dataset once; later calls do nothing."""
        if self._splits is None:
            self._splits = self.load()

    @property
    def splits(self) -> Splits:
        """The parts of the dataset."""
        self.setup()
        assert self._splits is not None
        return self._splits

    @property
    def test_set(self) -> ImageSet:
        """Test images."""
        return self.splits.test

    @property
    def train_set(self) -> ImageSet:
        """Training images; ValueError where the dataset has none."""
        return self._training_part(self.splits.train)

    @property
    def val_set(self) -> ImageSet:
        """Validation images; ValueError where the dataset has none."""
        return self._training_part(self.splits.val)

    def _training_part(self, part: ImageSet | None) -> ImageSet:
        if part is None:
            raise ValueError(f"dataset {self.name!r} has only test images; set dataset.train_path=... to train on it")
        return part

    @property
    def class_names(self) -> list[str]:
        """Name of each class, in label order."""
        return list(self.splits.class_names)

    @property
    def num_classes(self) -> int:
        """Number of classes; labels lie in `0 .. num_classes - 1`."""
        return len(self.splits.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of every image."""
        channels, height, width = self.test_set.image(0).shape
        return channels, height, width

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over training images (test images where there are none)."""
        return self._measured()[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, likewise."""
        return self._measured()[1]

    def _measured(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self._statistics is None:
            images = self.splits.train or self.splits.test
            # A thousand images fix the mean to about 1 % of the range; reading all of a photo set takes minutes.
            positions = np.unique(np.linspace(0, len(images) - 1, 1000).astype(int))
            pixels = torch.stack([images.image(int(position)) for position in positions]).double()
            std, mean = torch.std_mean(pixels, dim=(0, 2, 3))
            self._statistics = tuple(mean.tolist()), tuple(std.clamp_min(1e-3).tolist())
        return self._statistics

    def dataloader(
        self,
        images: Dataset[Any],
        *,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
        sampler: Sampler[int] | None = None,
    ) -> DataLoader[Batch]:
        """Return a dataloader of Batch over any dataset of `(image, label, index)`, a `Subset` included.

        Args:
            images: the dataset.
            shuffle: whether each pass has a new order.
            seed: of the order; `None` takes the seed of this module.
            drop_last: leave out a last batch that is not full.
            sampler: which images and in what order, instead of `shuffle`.
        """
        # Its own generator: a loader without one draws from torch's global random numbers even when not shuffling.
        generator = torch.Generator().manual_seed(self.seed if seed is None else seed)
        return DataLoader(
            images,
            batch_size=self.batch_size,
            shuffle=shuffle,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.num_workers,
            collate_fn=collate,
            generator=generator,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return training batches in a new seeded order each pass.

        A trainer asks anew for every epoch and after a resume, and gets what follows the samples it has taken.
        """
        if self.trainer is None:
            return self.dataloader(self.train_set, shuffle=True)
        order = EndlessOrder(self.train_set, self.seed, first_counter(self.trainer, self.batch_size))
        mine = taken_in_turn(order, self.trainer)
        count = len(order if mine is None else mine)
        return self.dataloader(order, drop_last=count > self.batch_size, sampler=mine)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches in order."""
        return self.dataloader(self.val_set)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return test batches in order."""
        return self.dataloader(self.test_set)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the images to explain: the test batches in order."""
        return self.dataloader(self.test_set)
