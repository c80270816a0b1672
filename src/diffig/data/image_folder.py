"""Photographs as files: class sub-folders, or a table of labels, in a folder or a .zip."""

from pathlib import Path
from typing import Any

from diffig.data.checks import existing_path
from diffig.data.image_files import ImageFiles
from diffig.data.label_table import LabelledFiles, read_labelled_files
from diffig.data.photos import PhotoDataModule
from diffig.data.splits import Splits, split_off_validation
from diffig.data.storage import Storage

WANTED = "a folder or .zip with class sub-folders, or with labels.csv (columns file,label[,category]) and images"


class ImageFolder(PhotoDataModule):
    """Datamodule of image files of any size; images `(3, size, size)` in [0, 1].

    Labels come from `labels.csv` where there is one, else from the sub-folder of each file. The index is the row of
    the table, or the position in the sorted list of files. One folder around all of this is looked through.

    Args:
        path: folder or .zip of the test images.
        train_path: the same for training images; `None` leaves only test images.
        num_classes: how many classes there are, where the files do not show all of them; `None` counts.
        val_fraction: share of the training images used for validation.
        name: of the dataset in results; `None` takes the name of the folder or file.
        photo: size, normalisation and loading, see PhotoDataModule.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        train_path: str | Path | None = None,
        num_classes: int | None = None,
        val_fraction: float = 0.1,
        name: str | None = None,
        **photo: Any,
    ) -> None:
        super().__init__(path, name or Path(path).stem, **photo)
        self.train_path = train_path
        self.class_count = num_classes
        self.val_fraction = val_fraction
        self.labels_by_order = False

    def load(self) -> Splits:
        """Return the test images and, where given, the training and validation images."""
        test_files = self._files(self.path, "dataset.path")
        test = self._images(test_files)
        if self.train_path is None:
            return Splits(test=test, class_names=test_files.class_names)
        train_files = self._files(self.train_path, "dataset.train_path")
        names, other = train_files.class_names, test_files.class_names
        if names != other:
            longer, shorter = sorted((names, other), key=len, reverse=True)
            if longer[: len(shorter)] != shorter:
                raise ValueError(
                    f"{self.train_path} and {self.path} name their classes differently ({names[:3]} and {other[:3]},"
                    " first three); a label must mean one class in both: use equal sub-folders, or labels.csv, in both"
                )
            names = longer
        train, val = split_off_validation(self._images(train_files), self.val_fraction, self.seed)
        return Splits(train=train, val=val, test=test, class_names=names)

    def _files(self, path: str | Path, key: str) -> LabelledFiles:
        found = read_labelled_files(Storage(existing_path(path, WANTED, key=key)), self.class_count)
        self.labels_by_order |= found.by_order
        return found

    def _images(self, files: LabelledFiles) -> ImageFiles:
        return self.images_of(files.storage, files.files, files.labels)
