"""CIFAR-10 in the python format that its page and torchvision use."""

from pathlib import Path

import numpy as np

from diffig.data.checks import checked_labels, existing_path
from diffig.data.image_sets import ArrayImages
from diffig.data.module import ImageDataModule, Splits, split_off_validation
from diffig.data.pickled_arrays import read_pickled_arrays

FOLDER = "cifar-10-batches-py"
TRAIN_FILES = [f"data_batch_{number}" for number in range(1, 6)]
CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Cifar10(ImageDataModule):
    """Datamodule of the CIFAR-10 batches; images (3, 32, 32) in [0, 1].

    The index is the position in the test batch, or in the training batches one after the other. With ``test_batch``
    alone the dataset has test images only. Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny
    Images".

    Args:
        path: the folder ``cifar-10-batches-py`` or the one that holds it (torchvision's ``root``).
        val_fraction: share of the training images used for validation.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the split and of the training order.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        val_fraction: float = 0.1,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__("cifar10", batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.path = path
        self.val_fraction = val_fraction

    def load(self) -> Splits:
        """Return training, validation and test images."""
        wanted = f"the folder {FOLDER} (or its parent) with test_batch and data_batch_1 to data_batch_5"
        folder = existing_path(self.path, wanted)
        folder = folder / FOLDER if (folder / FOLDER).is_dir() else folder
        if not (folder / "test_batch").is_file():
            raise FileNotFoundError(
                f"no test_batch in {folder}; expected {wanted}. Unpack cifar-10-python.tar.gz and set dataset.path=..."
                " (for .npz files use dataset=cifar10_npz)"
            )
        test = read_batches([folder / "test_batch"])
        present = [name for name in TRAIN_FILES if (folder / name).is_file()]
        if not present:
            return Splits(test=test, class_names=CLASS_NAMES)
        if len(present) < len(TRAIN_FILES):
            missing = sorted(set(TRAIN_FILES) - set(present))
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; unpack the archive again, whole")
        train, val = split_off_validation(
            read_batches([folder / name for name in TRAIN_FILES]), self.val_fraction, self.seed
        )
        return Splits(train=train, val=val, test=test, class_names=CLASS_NAMES)


def read_batches(paths: list[Path]) -> ArrayImages:
    """Return the images of one or more batch files, one after the other.

    Raises:
        ValueError: a file without ``data`` uint8 (N, 3072) and ``labels`` in 0 to 9, one for each row.
    """
    images, labels = [], []
    for path in paths:
        content = read_pickled_arrays(path)
        data = content.get("data")
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
            found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise ValueError(
                f"'data' of {path} is {found}; expected uint8 (N, 3072): a CIFAR-10 batch of the python format"
            )
        if "labels" not in content:
            raise ValueError(
                f"{path} has keys {sorted(content)}; expected 'data' and 'labels' (CIFAR-10, not CIFAR-100)"
            )
        images.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(checked_labels(np.asarray(content["labels"]), len(data), len(CLASS_NAMES), path))
    return ArrayImages(np.concatenate(images), np.concatenate(labels))
