"""MNIST and its relatives in the original idx format."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffig.data.checks import checked_labels, existing_path
from diffig.data.image_sets import ArrayImages
from diffig.data.module import ImageDataModule
from diffig.data.splits import Splits, split_off_validation, stratified_split

FOLDERS = ("raw", "MNIST/raw", "FashionMNIST/raw")


class Mnist(ImageDataModule):
    """Datamodule of idx files, compressed (`.gz`) or not; images `(1, H, W)` in [0, 1], usually 28x28.

    With the training files (`train-*`) the test images are all of `t10k-*`. Where only `t10k-*` exists it is
    split into training, validation and test images; the index stays the position in the file. Source of the format:
    LeCun, Cortes and Burges 1998.

    Args:
        path: folder of the files, or one that torchvision made (files in `MNIST/raw` or `FashionMNIST/raw`).
        test_images: name of the file in that folder; likewise the next three.
        test_labels: see test_images.
        train_images: see test_images.
        train_labels: see test_images.
        test_fraction: share kept as test images where only the test files exist.
        val_fraction: share of the training images (of all images where only the test files exist) for validation.
        class_names: ten names; `None` means the digits.
        name: of the dataset in results.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the split and of the training order.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        test_images: str = "t10k-images-idx3-ubyte",
        test_labels: str = "t10k-labels-idx1-ubyte",
        train_images: str = "train-images-idx3-ubyte",
        train_labels: str = "train-labels-idx1-ubyte",
        test_fraction: float = 0.4,
        val_fraction: float = 0.1,
        class_names: Sequence[str] | None = None,
        name: str = "mnist",
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(name, batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.path = path
        self.files = {"test": (test_images, test_labels), "train": (train_images, train_labels)}
        self.test_fraction, self.val_fraction = test_fraction, val_fraction
        self.names = [str(digit) for digit in range(10)] if class_names is None else [str(name) for name in class_names]

    def load(self) -> Splits:
        """Return the parts found on disk, split further where needed."""
        folder = existing_path(
            self.path, f"a folder with {self.files['test'][0]}[.gz] and {self.files['test'][1]}[.gz]"
        )
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file; set dataset.path to the folder that holds the idx files")
        test = self._images(folder, "test")
        if any(_find(folder, name) for name in self.files["train"]):
            train, val = split_off_validation(self._images(folder, "train"), self.val_fraction, self.seed)
            return Splits(train=train, val=val, test=test, class_names=self.names)
        parts = stratified_split(test.labels, [self.test_fraction, self.val_fraction], self.seed)
        kept, val, train = (test.subset(part) for part in parts)
        return Splits(train=train, val=val, test=kept, class_names=self.names)

    def _images(self, folder: Path, part: str) -> ArrayImages:
        paths = []
        for which, name in zip(("images", "labels"), self.files[part], strict=True):
            found = _find(folder, name)
            if found is None:
                raise FileNotFoundError(
                    f"no {name} or {name}.gz in {folder} (nor in its {' or '.join(FOLDERS)}). Set dataset.path to the"
                    f" folder of the idx files, or dataset.{part}_{which} to the name of the file"
                )
            paths.append(found)
        images, labels = read_idx(paths[0]), read_idx(paths[1])
        if images.ndim != 3:
            raise ValueError(f"{paths[0]} holds an array of shape {images.shape}; images must be (N, H, W)")
        return ArrayImages(images, checked_labels(labels, len(images), len(self.names), paths[1]))


def _find(folder: Path, name: str) -> Path | None:
    for where in (folder, *(folder / below for below in FOLDERS)):
        for candidate in (where / name, where / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    # Copies often carry the name of the dataset in front.
    near = sorted(path for path in folder.glob(f"*{name}*") if path.name.removesuffix(".gz").endswith(name))
    return near[0] if len(near) == 1 else None


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array of an idx file, compressed or not, in the shape its header states.

    Raises:
        ValueError: not an idx file of bytes, or one cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be decompressed ({error}); fetch the file again") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an idx file of bytes: it begins with {content[:4]!r}, expected 00 00 08 ndim")
    n_dimensions = content[3]
    header = 4 + 4 * n_dimensions
    shape = struct.unpack(f">{n_dimensions}I", content[4:header]) if len(content) >= header else ()
    if not shape or len(content) - header != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(
            f"{path} is cut short or padded: the header states shape {shape}, {max(len(content) - header, 0)} bytes"
            " follow; fetch the file again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
