"""Which file has which label: from labels.csv, or from the names of sub-folders."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffig.data.checks import checked_labels
from diffig.data.storage import Storage

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
TABLE, CATEGORIES = "labels.csv", "categories.json"


@dataclass(frozen=True)
class LabelledFiles:
    """Names of image files in a storage, int64 labels (N,) and the name of each class in label order."""

    storage: Storage
    files: list[str]
    labels: np.ndarray
    class_names: list[str]


def read_labelled_files(storage: Storage, num_classes: int | None = None) -> LabelledFiles:
    """Return the labelled files of a folder or archive, by ``labels.csv`` if it has one, else by sub-folder.

    ``categories.json``, a list of names in label order, names the classes where present; the column ``category`` does
    so otherwise. A sub-folder's label is its position in ``categories.json``, else its number if all are numbers,
    else its position among the sorted sub-folders.

    Args:
        storage: the folder or archive.
        num_classes: number of classes where more exist than the files show.

    Raises:
        ValueError: no images, a broken table, labels out of range, or sub-folders that cannot give the labels.
        FileNotFoundError: a file of the table that does not exist.
    """
    names = storage.names()
    categories = _categories(storage) if CATEGORIES in names else None
    if categories is not None and num_classes is not None and len(categories) != num_classes:
        raise ValueError(
            f"{CATEGORIES} in {storage.path} names {len(categories)} classes, dataset.num_classes is {num_classes};"
            " make them agree, or leave dataset.num_classes unset"
        )
    num_classes = num_classes if categories is None else len(categories)
    if TABLE in names:
        files, labels, known = _from_table(storage, set(names))
    else:
        files, labels, known = _from_sub_folders(storage, names, categories, num_classes)
    labels = checked_labels(labels, len(files), num_classes, storage.path)
    count = int(labels.max()) + 1 if num_classes is None else num_classes
    return LabelledFiles(storage, files, labels, categories or [known.get(label, str(label)) for label in range(count)])


def _categories(storage: Storage) -> list[str]:
    try:
        categories = json.loads(storage.read(CATEGORIES))
    except ValueError as error:
        raise ValueError(f"{CATEGORIES} in {storage.path} is not JSON ({error})") from error
    if not isinstance(categories, list) or not all(isinstance(name, str) for name in categories) or not categories:
        raise ValueError(f"{CATEGORIES} in {storage.path} must be a list of class names in label order")
    return categories


def _from_table(storage: Storage, present: set[str]) -> tuple[list[str], np.ndarray, dict[int, str]]:
    table = csv.DictReader(io.StringIO(storage.read(TABLE).decode("utf-8-sig")))
    columns = list(table.fieldnames or [])
    if not {"file", "label"} <= set(columns):
        raise ValueError(f"{TABLE} in {storage.path} has columns {columns}; expected file,label[,category]")
    files, labels, known = [], [], {}
    for line, row in enumerate(table, start=2):
        name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
        if not label.isascii() or not label.removeprefix("-").isdigit():
            raise ValueError(f"label {label!r} in line {line} of {TABLE} in {storage.path} is not a whole number")
        candidates = [candidate for candidate in (f"images/{name}", name) if candidate in present]
        if not candidates:
            raise FileNotFoundError(
                f"line {line} of {TABLE} names {name!r}, but {storage.path} holds neither it nor images/{name}"
            )
        files.append(candidates[0])
        labels.append(int(label))
        if row.get("category"):
            known[int(label)] = row["category"].strip()
    return files, np.asarray(labels, dtype=np.int64), known


def _from_sub_folders(
    storage: Storage, names: Sequence[str], categories: list[str] | None, num_classes: int | None
) -> tuple[list[str], np.ndarray, dict[int, str]]:
    files = [name for name in names if name.lower().endswith(EXTENSIONS) and "/" in name]
    if not files:
        raise ValueError(
            f"{storage.path} has no {TABLE} and no images ({', '.join(EXTENSIONS[:3])}, ...) in class sub-folders;"
            " point dataset.path at a folder or .zip that has one of these"
        )
    folders = sorted({name.split("/", 1)[0] for name in files})
    if categories is not None and set(folders) <= set(categories):
        numbers = {folder: categories.index(folder) for folder in folders}
    elif all(folder.isdecimal() and folder.isascii() for folder in folders):
        # In sorted order "10" comes before "2".
        numbers = {folder: int(folder) for folder in folders}
    elif num_classes is not None and len(folders) != num_classes:
        raise ValueError(
            f"{storage.path} has {len(folders)} class sub-folders where {num_classes} classes are expected, so their"
            f" order does not give the labels. Add a {TABLE}, name the sub-folders by label number, or set"
            f" dataset.num_classes={len(folders)}"
        )
    else:
        numbers = {folder: number for number, folder in enumerate(folders)}
    labels = np.asarray([numbers[name.split("/", 1)[0]] for name in files], dtype=np.int64)
    return files, labels, {number: folder for folder, number in numbers.items()}
