"""Mini-ImageNet (Vinyals et al. 2016; files of Ravi and Larochelle 2017): 100 ImageNet classes of 600 images."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from diffig.checks import check_choice
from diffig.data.checks import existing_path
from diffig.data.photos import PhotoDataModule
from diffig.data.pictures import is_image
from diffig.data.splits import Splits, split_off_validation, stratified_split
from diffig.data.storage import Storage

Split = Literal["pooled", "official"]
PARTS = ("train", "val", "test")
WANTED = (
    "Mini-ImageNet in one of its two layouts: images/ with train.csv, val.csv and test.csv (columns filename,label), or"
    " the folders train/, val/ and test/ with class sub-folders; as a folder or .zip"
)


class Listed(NamedTuple):
    """Every image: its file, the name of its class, and the part (train, val or test) it is shipped in."""

    files: list[str]
    classes: list[str]
    parts: list[str]


class MiniImageNet(PhotoDataModule):
    """Datamodule of Mini-ImageNet for classification; images `(3, size, size)` in [0, 1].

    The dataset was made for few-shot learning: its train, val and test parts have different classes, so no classifier
    can be trained on one and tested on another. `pooled` therefore puts the parts together and splits each class.
    Labels are positions among the sorted class names; the index is the position among all images, sorted
    by class and file name.

    Args:
        path: folder or .zip in one of the two layouts, see `WANTED`.
        split: `pooled` draws `test_images` test images, as many from each class; `official` keeps the parts as
            they are shipped, for copies whose parts share their classes.
        split_seed: of the pooled draw.
        test_images: size of the pooled test set; the DiffIG paper samples 500.
        val_fraction: share of the other images used for validation, in the pooled split.
        name: of the dataset in results.
        photo: size, normalisation and loading, see PhotoDataModule.

    Raises:
        FileNotFoundError: nothing at `path`, or a file that a table names and that is not there.
        ValueError: an unknown split, another layout, or parts that share no classes with `official`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: Split = "pooled",
        split_seed: int = 42,
        test_images: int = 500,
        val_fraction: float = 0.1,
        name: str = "mini_imagenet",
        **photo: Any,
    ) -> None:
        check_choice(split, Split, "split", "set dataset.split to")
        super().__init__(path, name, **photo)
        self.split, self.split_seed = split, split_seed
        self.test_images, self.val_fraction = test_images, val_fraction

    def load(self) -> Splits:
        """Return training, validation and test images."""
        storage = Storage(existing_path(self.path, WANTED))
        listed = _listed(storage)
        class_names = sorted(set(listed.classes))
        numbers = {name: number for number, name in enumerate(class_names)}
        labels = np.asarray([numbers[name] for name in listed.classes], dtype=np.int64)
        every = self.images_of(storage, listed.files, labels)
        if self.split == "official":
            train, val, test = (np.flatnonzero([part == wanted for part in listed.parts]) for wanted in PARTS)
            strangers = sorted(set(labels[test]) - set(labels[train]))
            if strangers or not len(test) or not len(val):
                raise ValueError(
                    f"{len(strangers)} of {len(class_names)} classes of {storage.path} are in the test part and not in"
                    f" the train part ({len(train)}, {len(val)} and {len(test)} images in train, val and test), as"
                    " few-shot learning wants it; set dataset.split=pooled to split the images of each class"
                )
            return Splits(every.subset(test), class_names, every.subset(train), every.subset(val))
        if not 0 < self.test_images < len(every):
            raise ValueError(
                f"test_images={self.test_images}: dataset.test_images must lie between 1 and {len(every) - 1}, for"
                f" {storage.path} holds {len(every)} images"
            )
        test, rest = stratified_split(labels, [self.test_images / len(every)], self.split_seed)
        train_set, val_set = split_off_validation(every.subset(rest), self.val_fraction, self.seed)
        return Splits(every.subset(test), class_names, train_set, val_set)


def _listed(storage: Storage) -> Listed:
    """All images in the order of class and file name, by the tables where there are any, else by folders."""
    names = storage.names()
    tables = {part: _shallowest(names, f"{part}.csv") for part in PARTS}
    rows = _from_tables(storage, names, tables) if any(tables.values()) else _from_folders(names)
    if not rows:
        raise ValueError(f"{storage.path} holds no images in a known layout; expected {WANTED}")
    # Not by path: both layouts then have one order, and a seed draws the same images from either.
    rows = sorted(rows, key=lambda row: (row[1], row[0].rpartition("/")[2]))
    files, classes, parts = (list(column) for column in zip(*rows, strict=True))
    return Listed(files, classes, parts)


def _shallowest(names: Sequence[str], file: str) -> str:
    found = [name for name in names if name == file or name.endswith(f"/{file}")]
    return min(found, key=lambda name: (name.count("/"), name), default="")


def _from_tables(storage: Storage, names: Sequence[str], tables: dict[str, str]) -> list[tuple[str, str, str]]:
    missing = [f"{part}.csv" for part, table in tables.items() if not table]
    if missing:
        raise FileNotFoundError(f"{storage.path} lacks {', '.join(missing)}; expected {WANTED}")
    present, rows = set(names), []
    for part, table in tables.items():
        lines = csv.DictReader(io.StringIO(storage.text(table)))
        columns = list(lines.fieldnames or [])
        if not {"filename", "label"} <= set(columns):
            raise ValueError(f"{table} in {storage.path} has columns {columns}; expected filename,label")
        root = table.removesuffix(f"{part}.csv")
        for number, line in enumerate(lines, start=2):
            file, label = (line["filename"] or "").strip(), (line["label"] or "").strip()
            if f"{root}images/{file}" not in present or not label:
                raise FileNotFoundError(
                    f"line {number} of {table} names {file!r} of class {label!r}, but {storage.path} holds no"
                    f" {root}images/{file}; unpack images.tar beside the tables"
                )
            rows.append((f"{root}images/{file}", label, part))
    return rows


def _from_folders(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Images in `<part>/<class>/`, at the top or inside one enclosing folder."""
    images = [(name, name.split("/")[-3:-1]) for name in names if is_image(name)]
    return [
        (name, places[1], places[0])
        for name, places in images
        if len(places) == 2 and places[0] in PARTS and name.count("/") <= 3
    ]
