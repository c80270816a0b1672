"""ImageNet (Russakovsky et al. 2015) as its publishers ship it: validation images in one folder, labels beside it."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import torch

from diffig.checks import check_choice
from diffig.data.checks import checked_labels, existing_path
from diffig.data.photos import PhotoDataModule
from diffig.data.pictures import is_image
from diffig.data.splits import Splits, split_off_validation
from diffig.data.storage import Storage

Split = Literal["all", "authors"]
CLASSES, AUTHORS_IMAGES, AUTHORS_SEED = 1000, 500, 42
TRUTH, META, SOLUTION = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "LOC_val_solution.csv"
WANTED = (
    f"ImageNet in one of three layouts: validation images ILSVRC2012_val_*.JPEG with {TRUTH} and {META} of the devkit,"
    f" or with {SOLUTION} (Kaggle), or class folders val/n01440764/, ...; as a folder or .zip"
)


class ImageNet(PhotoDataModule):
    """Datamodule of ImageNet-1k; images `(3, size, size)` in [0, 1].

    A class is a WordNet id; labels are positions among the thousand ids, sorted, which is the order of torchvision's
    weights. The index is the position among the validation images, sorted by file name.

    Args:
        path: folder or .zip in one of the three layouts, see `WANTED`; class folders in `train/`
            are training images.
        split: `all` 50,000 validation images, or `authors`, 500 of them drawn with seed 42 as the DiffIG group
            draws them (the order of files before their draw is not published, so theirs may be others).
        num_classes: how many classes there must be; a copy that lacks some cannot tell the others' labels.
        val_fraction: share of the training images used for validation.
        name: of the dataset in results.
        photo: size, normalisation and loading, see PhotoDataModule.

    Raises:
        FileNotFoundError: nothing at `path`, or images without labels.
        ValueError: an unknown split, or labels that contradict the images.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: Split = "all",
        num_classes: int = CLASSES,
        val_fraction: float = 0.1,
        name: str = "imagenet",
        **photo: Any,
    ) -> None:
        check_choice(split, Split, "split", "set dataset.split to")
        super().__init__(path, name, **photo)
        self.split, self.val_fraction, self.class_count = split, val_fraction, num_classes

    def load(self) -> Splits:
        """Return validation images as the test set and, where there are any, training images."""
        storage = Storage(existing_path(self.path, WANTED))
        names = storage.names()
        images = [name for name in names if is_image(name)]
        train = _by_folder(name for name in images if "train" in PurePosixPath(name).parts)
        ids, test = _validation(storage, names, [name for name in images if name not in train])
        if len(ids) != self.class_count:
            raise ValueError(
                f"{storage.path} has {len(ids)} classes where {self.class_count} are expected, so their order does"
                f" not give the labels; complete it, or set dataset.num_classes={len(ids)} for these alone"
            )
        files = sorted(test, key=lambda name: (PurePosixPath(name).name, name))
        every = self.images_of(storage, files, _labels([test[file] for file in files], ids, storage.path))
        if self.split == "authors":
            order = torch.randperm(len(every), generator=torch.Generator().manual_seed(AUTHORS_SEED))
            every = every.subset(np.sort(order[:AUTHORS_IMAGES].numpy()))
        if not train:
            return Splits(test=every, class_names=_class_names(ids))
        files = sorted(train)
        labelled = self.images_of(storage, files, _labels([train[file] for file in files], ids, storage.path))
        rest, val = split_off_validation(labelled, self.val_fraction, self.seed)
        return Splits(every, _class_names(ids), rest, val)


def _by_folder(images: Iterable[str]) -> dict[str, str]:
    """WordNet id of each image that lies in a folder named by one."""
    folders = {name: PurePosixPath(name).parent.name for name in images}
    return {name: folder for name, folder in folders.items() if _is_id(folder)}


def _is_id(text: str) -> bool:
    return len(text) == 9 and text[0] == "n" and text[1:].isdecimal()


def _validation(storage: Storage, names: Sequence[str], images: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The class ids, sorted, and the id of each validation image."""
    found = _by_folder(images)
    if found:
        return sorted(set(found.values())), found
    flat = sorted((name for name in images if "ILSVRC2012_val_" in name), key=lambda name: PurePosixPath(name).name)
    tables = {PurePosixPath(name).name: name for name in names}
    if not flat or not ({SOLUTION} <= set(tables) or {TRUTH, META} <= set(tables)):
        raise FileNotFoundError(
            f"{storage.path} has {len(flat)} images ILSVRC2012_val_* and no labels for them; {WANTED}"
        )
    if SOLUTION in tables:
        rows = csv.DictReader(io.StringIO(storage.text(tables[SOLUTION])))
        known = {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
        missing = [name for name in flat if PurePosixPath(name).stem not in known]
        if missing:
            raise ValueError(f"{SOLUTION} in {storage.path} has no line for {missing[0]}; fetch it again")
        return sorted(set(known.values())), {name: known[PurePosixPath(name).stem] for name in flat}
    by_number = _devkit(storage, tables[META])
    truth = storage.text(tables[TRUTH]).split()
    try:
        # An image's own number, so that a part of the validation images will do.
        found = {name: by_number[int(truth[int(PurePosixPath(name).stem.rsplit("_", 1)[-1]) - 1])] for name in flat}
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError(
            f"{TRUTH} in {storage.path} does not fit the images ({error}); fetch the devkit again"
        ) from error
    return sorted(by_number.values()), found


def _devkit(storage: Storage, file: str) -> dict[int, str]:
    """WordNet id of each class by the devkit's own number, of the leaves 1 ... 1000."""
    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(storage.read(file)), squeeze_me=True)["synsets"]
    return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if int(row["num_children"]) == 0}


def _labels(ids_of_images: Sequence[str], ids: Sequence[str], path: Path) -> np.ndarray:
    numbers = {wordnet: number for number, wordnet in enumerate(ids)}
    unknown = sorted(set(ids_of_images) - set(numbers))
    if unknown:
        raise ValueError(
            f"{path} has training images of {unknown[0]}, a class without validation images; unpack both again"
        )
    labels = np.asarray([numbers[wordnet] for wordnet in ids_of_images], dtype=np.int64)
    return checked_labels(labels, len(labels), len(ids), path)


def _class_names(ids: Sequence[str]) -> list[str]:
    return imagenet_names() if len(ids) == CLASSES else list(ids)


def imagenet_names() -> list[str]:
    """Return the names of ImageNet's thousand classes in the order of torchvision's weights."""
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
