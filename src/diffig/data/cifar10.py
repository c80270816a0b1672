"""CIFAR-10 in the python format that its page and torchvision use."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffig.data.checks import checked_labels, existing_path
from diffig.data.image_sets import ArrayImages
from diffig.data.module import ImageDataModule
from diffig.data.pickled_arrays import read_pickled_arrays
from diffig.data.splits import Splits, split_off_validation

CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Cifar10(ImageDataModule):
    """Datamodule of the CIFAR-10 batches; images (3, 32, 32) in [0, 1].

    The index is the position in the test batch, or in the training batches one after the other. With `test_batch`
    alone the dataset has test images only. Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny
    Images".

    Args:
        path: the folder `cifar-10-batches-py` or the one that holds it (torchvision's `root`).
        val_fraction: share of the training images used for validation.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the split and of the training order.
    """

    dataset = "cifar10"
    folder = "cifar-10-batches-py"
    train_files: Sequence[str] = tuple(f"data_batch_{number}" for number in range(1, 6))
    test_file = "test_batch"
    label_key = "labels"

    def __init__(
        self,
        path: str | Path,
        *,
        val_fraction: float = 0.1,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(self.dataset, batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.path = path
        self.val_fraction = val_fraction

    def load(self) -> Splits:
        """Return training, validation and test images."""
        files = f"{self.test_file} and {', '.join(self.train_files)}"
        wanted = f"the folder {self.folder} (or its parent) with {files}"
        folder = existing_path(self.path, wanted)
        folder = folder / self.folder if (folder / self.folder).is_dir() else folder
        if not (folder / self.test_file).is_file():
            raise FileNotFoundError(
                f"no {self.test_file} in {folder}; expected {wanted}. Unpack the published python archive and set"
                " dataset.path=... (for .npz files of CIFAR-10 use dataset=cifar10_npz)"
            )
        names = self.names(folder)
        test = read_batches([folder / self.test_file], self.label_key, len(names))
        present = [name for name in self.train_files if (folder / name).is_file()]
        if not present:
            return Splits(test=test, class_names=names)
        if len(present) < len(self.train_files):
            missing = sorted(set(self.train_files) - set(present))
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; unpack the archive again, whole")
        every = read_batches([folder / name for name in self.train_files], self.label_key, len(names))
        train, val = split_off_validation(every, self.val_fraction, self.seed)
        return Splits(train=train, val=val, test=test, class_names=names)

    def names(self, folder: Path) -> list[str]:
        """Return the classes' names in label order."""
        return CLASS_NAMES


def read_batches(paths: list[Path], label_key: str = "labels", num_classes: int = 10) -> ArrayImages:
    """Return the images of one or more batch files, one after the other.

    Raises:
        ValueError: a file without `data` uint8 `(N, 3072)` and labels in `0 .. num_classes - 1`, one for each row.
    """
    images, labels = [], []
    for path in paths:
        content = read_pickled_arrays(path)
        data = content.get("data")
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
            found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise ValueError(
                f"'data' of {path} is {found}; expected uint8 (N, 3072): a CIFAR batch of the python format"
            )
        if label_key not in content:
            raise ValueError(
                f"{path} has keys {sorted(content)}; expected 'data' and {label_key!r} (CIFAR-10 has 'labels', "
                "CIFAR-100 'fine_labels' and 'coarse_labels')"
            )
        images.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(checked_labels(np.asarray(content[label_key]), len(data), num_classes, path))
    return ArrayImages(np.concatenate(images), np.concatenate(labels))
