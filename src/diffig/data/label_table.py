"""Which file has which label: from labels.csv, or from the names of sub-folders."""

import csv
import io
import json
from dataclasses import dataclass

import numpy as np

from diffig.data.checks import checked_labels
from diffig.data.class_folders import labels_of_folders
from diffig.data.pictures import is_image
from diffig.data.storage import Storage

TABLE, CATEGORIES = "labels.csv", "categories.json"


@dataclass(frozen=True)
class LabelledFiles:
    """Names of image files in a storage, int64 labels `(N,)` and the name of each class in label order.

    Attributes:
        by_order: whether nothing but the order of sub-folders gave the labels, right only where no class is missing.
    """

    storage: Storage
    files: list[str]
    labels: np.ndarray
    class_names: list[str]
    by_order: bool = False


def read_labelled_files(storage: Storage, num_classes: int | None = None) -> LabelledFiles:
    """Return the labelled files of a folder or archive, by `labels.csv` if it has one, else by sub-folder.

    `categories.json`, a list of names in label order, names the classes where present; the column `category` does
    so otherwise. A sub-folder's label is its position in `categories.json`, else its number if all are numbers,
    else its position among the sorted sub-folders. One folder around all of this, as archives often have, is looked
    through.

    Args:
        storage: the folder or archive.
        num_classes: number of classes where more exist than the files show.

    Raises:
        ValueError: no images, a broken table, labels out of range, or sub-folders that cannot give the labels.
        FileNotFoundError: a file of the table that does not exist.
    """
    storage = _unwrapped(storage)
    names, by_order = storage.names(), False
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
        files, labels, known, by_order = labels_of_folders(storage, categories, num_classes)
    labels = checked_labels(labels, len(files), num_classes, storage.path)
    count = int(labels.max()) + 1 if num_classes is None else num_classes
    class_names = categories or [known.get(label, str(label)) for label in range(count)]
    return LabelledFiles(storage, files, labels, class_names, by_order)


def _unwrapped(storage: Storage) -> Storage:
    """The part inside the one folder that holds class sub-folders or a table, as long as there is such a folder."""
    names, folders = storage.names(), storage.folders()
    if {TABLE, CATEGORIES} & set(names) or len(folders) != 1 or folders[0].isdecimal() or _images_on_top(names):
        return storage
    inside = storage.below(folders[0])
    wraps = TABLE in inside.names() or not _images_on_top(inside.names())
    return _unwrapped(inside) if wraps and inside.names() else storage


def _images_on_top(names: list[str]) -> bool:
    return any(is_image(name) for name in names if "/" not in name)


def _categories(storage: Storage) -> list[str]:
    try:
        categories = json.loads(storage.read(CATEGORIES))
    except ValueError as error:
        raise ValueError(f"{CATEGORIES} in {storage.path} is not JSON ({error})") from error
    if not isinstance(categories, list) or not all(isinstance(name, str) for name in categories) or not categories:
        raise ValueError(f"{CATEGORIES} in {storage.path} must be a list of class names in label order")
    return categories


def _from_table(storage: Storage, present: set[str]) -> tuple[list[str], np.ndarray, dict[int, str]]:
    table = csv.DictReader(io.StringIO(storage.text(TABLE)))
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
