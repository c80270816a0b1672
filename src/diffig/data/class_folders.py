"""Labels from the names of class sub-folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diffig.data.pictures import is_image
from diffig.data.storage import Storage

PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}


class FolderLabels(NamedTuple):
    """Image files, int64 labels `(N,)`, the name of each label that occurs, and whether only order gave the labels."""

    files: list[str]
    labels: np.ndarray
    known: dict[int, str]
    by_order: bool


def labels_of_folders(storage: Storage, categories: list[str] | None, num_classes: int | None) -> FolderLabels:
    """Return the images of the sub-folders with their labels.

    A label is the sub-folder's position in `categories`, else its number if all are numbers, else its position among
    the sorted sub-folders.

    Args:
        storage: the folder or archive.
        categories: class names in label order, where they are known.
        num_classes: how many classes there are, where that is known.

    Raises:
        ValueError: no images, folders that are parts of a dataset and no classes, or an order that cannot give the
            labels because classes are missing.
    """
    files = [name for name in storage.names() if is_image(name) and "/" in name]
    if not files:
        raise ValueError(
            f"{storage.path} has no labels.csv and no images (.jpg, .png, ...) in class sub-folders;"
            " point dataset.path at a folder or .zip that has one of these"
        )
    folders = sorted({_folder(name) for name in files})
    if categories is not None and set(folders) <= set(categories):
        numbers = {folder: categories.index(folder) for folder in folders}
    elif all(folder.isdecimal() and folder.isascii() for folder in folders):
        # In sorted order "10" comes before "2".
        numbers = {folder: int(folder) for folder in folders}
    else:
        _check_order(storage, folders, num_classes)
        return _labelled(files, {folder: number for number, folder in enumerate(folders)}, by_order=True)
    return _labelled(files, numbers, by_order=False)


def _labelled(files: list[str], numbers: dict[str, int], by_order: bool) -> FolderLabels:
    labels = np.asarray([numbers[_folder(name)] for name in files], dtype=np.int64)
    return FolderLabels(files, labels, {number: folder for folder, number in numbers.items()}, by_order)


def _check_order(storage: Storage, folders: Sequence[str], num_classes: int | None) -> None:
    if {folder.lower() for folder in folders} <= PARTS:
        raise ValueError(
            f"the sub-folders of {storage.path} are {folders}, parts of a dataset and no classes; set dataset.path to"
            " the part to explain and dataset.train_path to the one to train on"
        )
    empty = [folder for folder in storage.folders() if folder not in folders]
    if empty:
        raise ValueError(
            f"{storage.path} has no image in its sub-folder {empty[0]!r}, so the order of sub-folders does not give the"
            " labels. Put its images there, remove it if it is no class, or add a categories.json with all class names"
        )
    if num_classes is not None and len(folders) != num_classes:
        raise ValueError(
            f"{storage.path} has {len(folders)} class sub-folders where {num_classes} classes are expected, so their"
            f" order does not give the labels. Add a labels.csv, name the sub-folders by label number, or set"
            f" dataset.num_classes={len(folders)}"
        )


def _folder(name: str) -> str:
    return name.split("/", 1)[0]
