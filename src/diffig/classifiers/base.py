"""The wrapper that makes any network a classifier of pixels in [0, 1]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn


class DataInfo(Protocol):
    """What a classifier wants to know of the data; every ImageDataModule offers it."""

    name: str

    @property
    def num_classes(self) -> int:
        """How many classes there are."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of every image."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training images."""

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training images."""


class Classifier(nn.Module):
    """Logits `(B, K)` of images `(B, C, H, W)` in [0, 1]; normalisation is part of it.

    Args:
        net: maps normalised images `(B, C, H, W)` to logits `(B, K)`.
        mean: per channel, subtracted from the images.
        std: per channel, positive; the difference is divided by it.
        name: what rows of results call this classifier.
        num_classes: K.
        channels_last: hand images to the network in that memory layout on a CPU, where most convolutions are faster in
            it. The values stay what they are; a network that calls `view` on its features cannot take it.

    Attributes:
        checkpoint: file the weights came from; None while they are random.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        name: str = "classifier",
        num_classes: int = 10,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or any(not value > 0 for value in std):
            raise ValueError(
                f"mean={tuple(mean)}, std={tuple(std)}: give one mean and one positive standard deviation per channel"
                " (classifier.mean, classifier.std)"
            )
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes}; a classifier has at least one class")
        self.net = net
        self.name = name
        self.num_classes = num_classes
        self.channels_last = channels_last
        self.checkpoint: Path | None = None
        self.register_buffer("mean", torch.tensor(tuple(mean), dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(tuple(std), dtype=torch.float32).view(-1, 1, 1))

    @property
    def in_channels(self) -> int:
        """C, the number of channels of the images."""
        return len(self.mean)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K)` of images `(B, C, H, W)` in [0, 1].

        Raises:
            ValueError: another number of dimensions or channels.
        """
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"classifier {self.name!r} takes images (B, {self.in_channels}, H, W), got {tuple(images.shape)};"
                " choose a dataset and a classifier with the same number of channels"
            )
        normalised = (images - self.mean) / self.std
        if self.channels_last and normalised.device.type == "cpu":
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.net(normalised)
        return logits


def check_fits(classifier: Classifier, datamodule: DataInfo) -> Classifier:
    """Return the classifier after checking that it can classify the images of `datamodule`.

    Raises:
        ValueError: labels beyond the classifier's classes or in an order that is not theirs, or another number of
            channels.
    """
    if datamodule.num_classes > classifier.num_classes:
        raise ValueError(
            f"dataset {datamodule.name!r} has {datamodule.num_classes} classes, classifier {classifier.name!r} only"
            f" {classifier.num_classes}: labels would be out of range. Choose another classifier, or one trained with"
            f" classifier.num_classes={datamodule.num_classes}"
        )
    if datamodule.num_classes < classifier.num_classes and getattr(datamodule, "labels_by_order", False):
        raise ValueError(
            f"dataset {datamodule.name!r} has {datamodule.num_classes} class sub-folders, classifier"
            f" {classifier.name!r} {classifier.num_classes} classes: the order of sub-folders does not give its labels."
            " Name the sub-folders by label number, or add a labels.csv or a categories.json with all class names"
        )
    channels = datamodule.image_shape[0]
    if channels != classifier.in_channels:
        raise ValueError(
            f"images of dataset {datamodule.name!r} have {channels} channels, classifier {classifier.name!r} takes"
            f" {classifier.in_channels}; choose a dataset and a classifier that agree (dataset=..., classifier=...)"
        )
    return classifier
