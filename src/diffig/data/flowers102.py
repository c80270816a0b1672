"""Oxford Flowers-102 (Nilsback and Zisserman 2008): 8,189 photographs of 102 flowers."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diffig.checks import check_choice
from diffig.data.checks import checked_labels, existing_path
from diffig.data.photos import PhotoDataModule
from diffig.data.splits import Splits, random_split, split_off_validation
from diffig.data.storage import Storage

Split = Literal["official", "validation", "authors"]
CLASSES = 102
WANTED = "Flowers-102 as published: a folder or .zip with jpg/image_00001.jpg ..., imagelabels.mat and setid.mat"


class Flowers102(PhotoDataModule):
    """Datamodule of Oxford Flowers-102; images `(3, size, size)` in [0, 1].

    Labels are the published class numbers minus 1. The index is the published image number minus 1.

    Args:
        path: folder or .zip that holds `jpg/`, `imagelabels.mat` and `setid.mat`, or the folder around them.
        split: `official` tests on the 6,149 images of `tstid`; `validation` on the 1,020 of `valid` (the DiffIG
            group's earlier papers; then `val_fraction` of the training images are the validation set); `authors`
            on 5 % of all images drawn at random.
        split_seed: of the random draw, scikit-learn's `random_state`.
        test_fraction: share of the images in the random draw.
        val_fraction: share of the training images used for validation where the split has none.
        name: of the dataset in results.
        photo: size, normalisation and loading, see PhotoDataModule.

    Raises:
        FileNotFoundError: nothing at `path`, or a file that the layout has is missing.
        ValueError: an unknown split, or tables that contradict the images.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: Split = "official",
        split_seed: int = 42,
        test_fraction: float = 0.05,
        val_fraction: float = 0.1,
        name: str = "flowers102",
        **photo: Any,
    ) -> None:
        check_choice(split, Split, "split", "set dataset.split to")
        super().__init__(path, name, **photo)
        self.split, self.split_seed = split, split_seed
        self.test_fraction, self.val_fraction = test_fraction, val_fraction

    def load(self) -> Splits:
        """Return training, validation and test images."""
        storage = Storage(existing_path(self.path, WANTED))
        names = storage.names()
        root = _root(names, storage.path)
        labels = _matrix(storage, f"{root}imagelabels.mat", "labels") - 1
        files = [f"{root}jpg/image_{number:05d}.jpg" for number in range(1, len(labels) + 1)]
        missing = sorted(set(files) - set(names))
        if missing:
            raise FileNotFoundError(
                f"{storage.path} lacks {len(missing)} of {len(files)} images, {missing[0]} first; unpack 102flowers.tgz"
            )
        every = self.images_of(storage, files, checked_labels(labels, len(files), CLASSES, storage.path))
        if self.split == "authors":
            train, test = random_split(len(files), self.test_fraction, self.split_seed)
        else:
            table = f"{root}setid.mat"
            train, val, test = (_matrix(storage, table, key) - 1 for key in ("trnid", "valid", "tstid"))
            if max(part.max() for part in (train, val, test)) >= len(files):
                raise ValueError(f"{table} in {storage.path} names images that imagelabels.mat has no label for")
            if self.split == "official":
                return Splits(every.subset(np.sort(test)), _class_names(), every.subset(train), every.subset(val))
            test = np.sort(val)
        rest, held_out = split_off_validation(every.subset(np.sort(train)), self.val_fraction, self.seed)
        return Splits(every.subset(test), _class_names(), rest, held_out)


def _root(names: Sequence[str], path: Path) -> str:
    tables = [name for name in names if name.rsplit("/", 1)[-1] == "imagelabels.mat"]
    if not tables:
        raise FileNotFoundError(f"no imagelabels.mat in {path}; expected {WANTED}")
    return min(tables, key=lambda name: name.count("/")).removesuffix("imagelabels.mat")


def _matrix(storage: Storage, file: str, key: str) -> np.ndarray:
    """The row of numbers `key` of a MATLAB file."""
    from scipy.io import loadmat

    if file not in storage.names():
        raise FileNotFoundError(f"no {file} in {storage.path}; expected {WANTED}")
    try:
        content = loadmat(io.BytesIO(storage.read(file)))
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{file} in {storage.path} is not a readable MATLAB file ({error}); fetch it again") from error
    if key not in content:
        raise ValueError(f"{file} in {storage.path} has no {key!r}; expected {WANTED}")
    return content[key].ravel().astype(np.int64)


def _class_names() -> list[str]:
    from torchvision.datasets import Flowers102 as Published

    return list(Published.classes)
