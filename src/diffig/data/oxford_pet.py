"""The Oxford-IIIT Pet dataset (Parkhi, Vedaldi, Zisserman and Jawahar 2012): 37 breeds of cats and dogs."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from diffig.checks import check_choice
from diffig.data.checks import existing_path
from diffig.data.masked_files import Region
from diffig.data.photos import PhotoDataModule
from diffig.data.pictures import is_image
from diffig.data.splits import Splits, random_split, split_off_validation
from diffig.data.storage import Storage

Split = Literal["authors", "official"]
WANTED = (
    "Oxford-IIIT Pet as published: a folder or .zip with images/<breed>_<number>.jpg, and for dataset.split=official"
    " annotations/trainval.txt and annotations/test.txt"
)


class OxfordPet(PhotoDataModule):
    """Datamodule of Oxford-IIIT Pet; images `(3, size, size)` in [0, 1].

    A class is a breed, named as the files are; labels are the published class numbers minus 1, which is the
    alphabetical order of breeds without regard to case. The index is the position among all image files, sorted. Where
    `annotations/trimaps` is there, images have masks for localisation; the outline between pet and ground is ignored.

    Args:
        path: folder or .zip that holds `images/` and `annotations/`, or the folder around it.
        split: `authors` tests on 5 % of all image files drawn at random, as the DiffIG group does (370 of 7,390; the
            order of files before the draw is not published, so their 370 may be others); `official` tests on
            `annotations/test.txt` and trains on `annotations/trainval.txt`.
        split_seed: of the random draw, scikit-learn's `random_state`.
        test_fraction: share of the files in the random draw.
        val_fraction: share of the training images used for validation.
        name: of the dataset in results.
        photo: size, normalisation and loading, see PhotoDataModule.

    Raises:
        FileNotFoundError: nothing at `path`, or no annotations where they are needed.
        ValueError: an unknown split, another layout, or annotations that contradict the files.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: Split = "authors",
        split_seed: int = 42,
        test_fraction: float = 0.05,
        val_fraction: float = 0.1,
        name: str = "oxford_pet",
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
        folder = _images_folder(names)
        files = [name for name in names if name.startswith(folder) and is_image(name)]
        breeds = [breed_of(file) for file in files]
        if not files or not all(breeds):
            strange = f", but {files[breeds.index('')]} has no breed in its name" if files else ""
            raise ValueError(f"{storage.path} has {len(files)} images in images/{strange}; expected {WANTED}")
        class_names = sorted(set(breeds), key=lambda breed: (breed.lower(), breed))
        numbers = {breed: number for number, breed in enumerate(class_names)}
        labels = np.asarray([numbers[breed] for breed in breeds], dtype=np.int64)
        every = self.images_of(storage, files, labels, trimaps_of(files, names, folder))
        if self.split == "official":
            root = folder.removesuffix("images/")
            train, test = (_listed(storage, names, root, part, files, numbers) for part in ("trainval", "test"))
        else:
            train, test = random_split(len(files), self.test_fraction, self.split_seed)
        rest, val = split_off_validation(every.subset(train), self.val_fraction, self.seed)
        return Splits(train=rest, val=val, test=every.subset(test), class_names=class_names)


def trimaps_of(files: Sequence[str], names: Sequence[str], folder: str) -> list[Region | None]:
    """Return where the pet is in each image file; the published trimaps have 1 for it and 3 for its outline."""
    present = set(names)
    trimaps = [f"{folder.removesuffix('images/')}annotations/trimaps/{PurePosixPath(file).stem}.png" for file in files]
    return [Region(trimap, (1,), (3,)) if trimap in present else None for trimap in trimaps]


def breed_of(file: str) -> str:
    """Return the breed in a file name, `british_shorthair` of `images/british_shorthair_12.jpg`; "" for none."""
    breed, _, number = PurePosixPath(file).stem.rpartition("_")
    return breed if number.isdecimal() else ""


def _images_folder(names: Sequence[str]) -> str:
    """The prefix up to `images/` of the shallowest folder of that name; "images/" where there is none."""
    folders = [name.split("/")[:-1] for name in names]
    prefixes = {"/".join(parts[: parts.index("images") + 1]) + "/" for parts in folders if "images" in parts}
    return min(prefixes, key=lambda prefix: (prefix.count("/"), prefix), default="images/")


def _listed(
    storage: Storage, present: Sequence[str], root: str, part: str, files: Sequence[str], numbers: dict[str, int]
) -> np.ndarray:
    """Positions of the files that `annotations/<part>.txt` lists, sorted."""
    table = f"{root}annotations/{part}.txt"
    if table not in present:
        raise FileNotFoundError(
            f"{storage.path} has no {table}; unpack annotations.tar.gz beside images, or use dataset.split=authors"
        )
    stems = {PurePosixPath(file).stem: position for position, file in enumerate(files)}
    positions = []
    for line, text in enumerate(storage.text(table).splitlines(), start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"line {line} of {table} in {storage.path}"
        if len(words) != 4 or not all(word.isdecimal() for word in words[1:]):
            raise ValueError(f"{where} is {text!r}; expected `name CLASS-ID SPECIES BREED-ID`")
        if words[0] not in stems:
            raise FileNotFoundError(
                f"{where} names {words[0]!r}, but images/ has no such file; unpack images.tar.gz again"
            )
        if int(words[1]) != numbers[breed_of(words[0] + ".jpg")] + 1:
            raise ValueError(
                f"{where} gives class {words[1]}, the alphabetical order of the {len(numbers)} breeds in images/ gives"
                f" {numbers[breed_of(words[0] + '.jpg')] + 1}; breeds are missing, or files were renamed"
            )
        positions.append(stems[words[0]])
    if not positions:
        raise ValueError(f"{table} in {storage.path} lists no images; fetch annotations.tar.gz again")
    return np.sort(np.asarray(positions, dtype=np.int64))
