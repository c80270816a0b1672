"""Photographs as files: class sub-folders, or a table of labels, in a folder or a .zip."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor

from diffig.data.checks import existing_path
from diffig.data.image_sets import ImageSet
from diffig.data.label_table import LabelledFiles, read_labelled_files
from diffig.data.module import ImageDataModule, Splits, split_off_validation
from diffig.data.storage import Storage

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.Image import Resampling

WANTED = "a folder or .zip with class sub-folders, or with labels.csv (columns file,label[,category]) and images"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 224
ResizeMode = Literal["crop", "squash"]


class ImageFiles(ImageSet):
    """Image files decoded when asked for and made square: cropped, or squashed.

    Args:
        storage: where the files are.
        files: their names (N,).
        labels: integers (N,).
        size: side of the square, pixels.
        resize: length of the shorter side before the crop, at least ``size``.
        resize_mode: ``crop`` scales the shorter side to ``resize`` and keeps the central square; ``squash`` scales
            each side to ``size``, so that all of the image stays and its proportions do not.
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
        """Return the image at ``position``: float32 (3, size, size) in [0, 1].

        Raises:
            ValueError: a file that is no image, naming it.
        """
        from PIL import Image

        content = self.storage.read(self.files[position])
        try:
            picture = Image.open(io.BytesIO(content)).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"{self.files[position]} in {self.storage.path} is not a readable image ({error}); replace or remove it"
            ) from error
        picture = self.square(picture, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy()).float() / 255

    def square(self, picture: Picture, resampling: Resampling) -> Picture:
        """Return the picture cropped or squashed to a square of side ``size``."""
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
        """Return the files at ``positions``; they keep their indices."""
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


class PhotoDataModule(ImageDataModule):
    """Datamodule of image files of any size; images (3, size, size) in [0, 1].

    Args:
        name: of the dataset in results.
        size: side of the images in pixels; ``None`` means 224.
        resize: length of the shorter side before the central crop; ``None`` means ``size``.
        resize_mode: ``crop`` or ``squash``, see ImageFiles; ``squash`` has no use for ``resize``.
        mean: per channel, for classifiers trained on this data; ImageNet's by default.
        std: likewise.
        options: ``batch_size``, ``num_workers`` and ``seed``, see ImageDataModule.

    Raises:
        ValueError: an unknown way to resize, or sizes that do not fit together.
    """

    def __init__(
        self,
        name: str,
        *,
        size: int | None = None,
        resize: int | None = None,
        resize_mode: ResizeMode = "crop",
        mean: Sequence[float] | None = IMAGENET_MEAN,
        std: Sequence[float] | None = IMAGENET_STD,
        **options: Any,
    ) -> None:
        super().__init__(name, mean=mean, std=std, **options)
        if resize_mode not in get_args(ResizeMode):
            raise ValueError(
                f"resize_mode={resize_mode!r} is unknown; choose one of {list(get_args(ResizeMode))} (preprocess=... or"
                " dataset.resize_mode=...)"
            )
        self.size = SIZE if size is None else size
        self.resize = self.size if resize is None or resize_mode == "squash" else resize
        self.resize_mode: ResizeMode = resize_mode
        if not 1 <= self.size <= self.resize:
            raise ValueError(
                f"size={self.size}, resize={resize}: dataset.size must be 1 or more, dataset.resize at least that"
            )

    def images_of(self, storage: Storage, files: Sequence[str], labels: np.ndarray) -> ImageFiles:
        """Return the files as a dataset, made square the way this datamodule was told."""
        return ImageFiles(storage, files, labels, size=self.size, resize=self.resize, resize_mode=self.resize_mode)


class ImageFolder(PhotoDataModule):
    """Datamodule of image files of any size; images (3, size, size) in [0, 1].

    Labels come from ``labels.csv`` where there is one, else from the sub-folder of each file. The index is the row of
    the table, or the position in the sorted list of files.

    Args:
        path: folder or .zip of the test images.
        train_path: the same for training images; ``None`` leaves only test images.
        size: side of the images in pixels; ``None`` means 224.
        resize: length of the shorter side before the central crop; ``None`` means ``size``.
        resize_mode: ``crop``, or ``squash`` to scale each side to ``size``.
        num_classes: how many classes there are, where the files do not show all of them; ``None`` counts.
        val_fraction: share of the training images used for validation.
        name: of the dataset in results; ``None`` takes the name of the folder or file.
        mean: per channel, for classifiers trained on this data; ImageNet's by default.
        std: likewise.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the split and of the training order.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        train_path: str | Path | None = None,
        size: int | None = None,
        resize: int | None = None,
        resize_mode: ResizeMode = "crop",
        num_classes: int | None = None,
        val_fraction: float = 0.1,
        name: str | None = None,
        mean: Sequence[float] | None = IMAGENET_MEAN,
        std: Sequence[float] | None = IMAGENET_STD,
        batch_size: int = 16,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            name or Path(path).stem,
            size=size,
            resize=resize,
            resize_mode=resize_mode,
            mean=mean,
            std=std,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
        )
        self.path, self.train_path = path, train_path
        self.class_count = num_classes
        self.val_fraction = val_fraction

    def load(self) -> Splits:
        """Return the test images and, where given, the training and validation images."""
        test_files = self._files(self.path, "dataset.path")
        test = self._images(test_files)
        if self.train_path is None:
            return Splits(test=test, class_names=test_files.class_names)
        train_files = self._files(self.train_path, "dataset.train_path")
        names, other = train_files.class_names, test_files.class_names
        if names != other:
            longer, shorter = sorted((names, other), key=len, reverse=True)
            if longer[: len(shorter)] != shorter:
                raise ValueError(
                    f"{self.train_path} and {self.path} name their classes differently ({names[:3]} and {other[:3]},"
                    " first three); a label must mean one class in both: use equal sub-folders, or labels.csv, in both"
                )
            names = longer
        train, val = split_off_validation(self._images(train_files), self.val_fraction, self.seed)
        return Splits(train=train, val=val, test=test, class_names=names)

    def _files(self, path: str | Path, key: str) -> LabelledFiles:
        return read_labelled_files(Storage(existing_path(path, WANTED, key=key)), self.class_count)

    def _images(self, files: LabelledFiles) -> ImageFiles:
        return self.images_of(files.storage, files.files, files.labels)
