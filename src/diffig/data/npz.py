"""Arrays of images in .npz files: raw pixels, or JPEG files one after the other."""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from diffig.data.checks import checked_labels, checked_pixels, existing_path
from diffig.data.image_sets import ArrayImages, ImageSet
from diffig.data.module import ImageDataModule
from diffig.data.pictures import read_picture
from diffig.data.splits import Splits, split_off_validation

WANTED = "an .npz file with 'x' uint8 (N, H, W[, C]) or 'jpeg' bytes and their 'offset', and labels 'y'"

LARGEST = 64 * 2**30  # bytes of a file's arrays; ImageNet's validation images at 224 pixels take 8 GB
# What NumPy raises for damaged files, MemoryError for shapes that no file holds.
UNREADABLE = (
    *(OSError, ValueError, EOFError, AttributeError, TypeError, KeyError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, MemoryError, SyntaxError, struct.error, OverflowError),
)


class JpegImages(ImageSet):
    """Images kept as encoded files and decoded when asked for; all must have the size of the first.

    Args:
        encoded: uint8, the bytes of all files one after the other.
        offsets: int64 (N + 1,), file `i` is `encoded[offsets[i]:offsets[i + 1]]`.
        labels: integers `(N,)`.
        source: named in messages.
        positions: which files this set holds, in order; `None` means all. They are also the indices.
    """

    def __init__(
        self,
        encoded: np.ndarray,
        offsets: np.ndarray,
        labels: np.ndarray,
        source: str | Path,
        positions: np.ndarray | None = None,
    ) -> None:
        files = np.arange(len(labels)) if positions is None else positions
        super().__init__(labels[files], files)
        self.encoded, self.offsets, self.all_labels, self.source = encoded, offsets, labels, source
        self.shape = self._decode(0).shape

    def _decode(self, file: int) -> Tensor:
        content = self.encoded[self.offsets[file] : self.offsets[file + 1]].tobytes()
        pixels = np.asarray(read_picture(content, f"image {file} of {self.source}"))
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def image(self, position: int) -> Tensor:
        """Return the image at `position`: float32 `(3, H, W)` in [0, 1]."""
        file = int(self.indices[position])
        pixels = self._decode(file)
        if pixels.shape != self.shape:
            raise ValueError(
                f"image {file} of {self.source} is {tuple(pixels.shape)}, the first one {tuple(self.shape)}; all images"
                " of an .npz file must have one size (use dataset=image_folder for others)"
            )
        return pixels.float() / 255

    def subset(self, positions: Sequence[int] | np.ndarray) -> Self:
        """Return the images at `positions`; they keep their indices."""
        return type(self)(self.encoded, self.offsets, self.all_labels, self.source, self.indices[np.asarray(positions)])


class Npz(ImageDataModule):
    """Datamodule of one .npz file of test images and, optionally, one of training images.

    A file holds labels `y` `(N,)` and either `x`, uint8 `(N, H, W)` or `(N, H, W, C)` with 1 or 3 channels, or `jpeg`,
    all encoded files as one uint8 array, with `offset` (N + 1,). The index is the position in the file.

    Args:
        path: the test file.
        train_path: the training file; `None` leaves only test images.
        class_names: in label order; `None` names the classes 0, 1, ... up to the highest label.
        val_fraction: share of the training images used for validation.
        name: of the dataset in results; `None` takes the name of the file.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the split and of the training order.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        train_path: str | Path | None = None,
        class_names: Sequence[str] | None = None,
        val_fraction: float = 0.1,
        name: str | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(name or Path(path).stem, batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.path, self.train_path = path, train_path
        self.val_fraction = val_fraction
        self.given_names = None if class_names is None else [str(name) for name in class_names]

    def load(self) -> Splits:
        """Return the test images and, where given, the training and validation images."""
        num_classes = None if self.given_names is None else len(self.given_names)
        test = read_npz(existing_path(self.path, WANTED), num_classes)
        if self.train_path is None:
            return Splits(test=test, class_names=self._names(test))
        whole = read_npz(existing_path(self.train_path, WANTED, key="dataset.train_path"), num_classes)
        if whole.image(0).shape != test.image(0).shape:
            raise ValueError(
                f"training images of {self.train_path} are {tuple(whole.image(0).shape)}, test images of {self.path}"
                f" {tuple(test.image(0).shape)}; dataset.train_path and dataset.path must hold images of one size"
            )
        train, val = split_off_validation(whole, self.val_fraction, self.seed)
        return Splits(train=train, val=val, test=test, class_names=self._names(test, whole))

    def _names(self, *parts: ImageSet) -> list[str]:
        if self.given_names is not None:
            return self.given_names
        return [str(label) for label in range(1 + max(int(part.labels.max()) for part in parts))]


def read_npz(path: Path, num_classes: int | None = None) -> ImageSet:
    """Return the labelled images of one file; pixels are read at once, JPEG files when an image is asked for.

    Raises:
        ValueError: not an .npz file, arrays missing, of a wrong shape or dtype, or labels out of range.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected {WANTED}. For folders use dataset=image_folder")
    try:
        with np.load(path, allow_pickle=False) as archive:
            size = sum(member.file_size for member in archive.zip.infolist())
            if size > LARGEST:
                raise ValueError(
                    f"its arrays unpack to {size / 1e6:.0f} MB, and more than {LARGEST / 1e6:.0f} are refused"
                )
            arrays = {key: archive[key] for key in ("x", "y", "jpeg", "offset") if key in archive}
            keys = list(archive)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read ({error}); expected {WANTED}") from error
    if "y" not in arrays or not ("x" in arrays or {"jpeg", "offset"} <= arrays.keys()):
        raise ValueError(f"{path} has arrays {keys}; expected {WANTED}")
    if "x" in arrays:
        images = checked_pixels(arrays["x"], path)
        return ArrayImages(images, checked_labels(arrays["y"], len(images), num_classes, path))
    encoded, offsets = arrays["jpeg"], arrays["offset"]
    integers = offsets.ndim == 1 and np.issubdtype(offsets.dtype, np.integer) and len(offsets) > 0
    if encoded.dtype != np.uint8 or encoded.ndim != 1 or not integers:
        raise ValueError(
            f"'jpeg' of {path} is {encoded.dtype} {encoded.shape} and 'offset' {offsets.dtype} {offsets.shape};"
            " expected uint8 (bytes,) and integers (N + 1,)"
        )
    if offsets[0] < 0 or offsets[-1] > len(encoded) or bool((np.diff(offsets) < 0).any()):
        raise ValueError(f"'offset' of {path} must rise from 0 to the {len(encoded)} bytes of 'jpeg'")
    return JpegImages(encoded, offsets, checked_labels(arrays["y"], len(offsets) - 1, num_classes, path), path)
