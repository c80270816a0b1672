"""Photographs with instance masks and the ImageNet class that a classifier may find in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from diffig.checks import check_choice
from diffig.data.checks import checked_labels, existing_path
from diffig.data.imagenet import imagenet_names
from diffig.data.masked_files import Region
from diffig.data.photos import PhotoDataModule
from diffig.data.splits import Splits
from diffig.data.storage import Storage

Targets = Literal["top1", "top5", "objects"]
WANTED = (
    "a folder or .zip with images/<name>.jpg, masks/<name>.png and instances.json (images: file, instances, targets)"
)
CROWD = 255
CLASSES = 1000


class _Item(NamedTuple):
    """One explanation: a file, the ImageNet class and the instances that are the object."""

    file: str
    label: int
    instances: tuple[int, ...]


class CocoInstances(PhotoDataModule):
    """Datamodule of COCO photographs with instance masks and ImageNet labels; images `(3, size, size)` in [0, 1].

    Localisation asks whether a map lies on the object it speaks of, so the explained class must be there. `top1`
    takes the images whose likeliest class, as the file records it for one classifier, is a kind of an object in them:
    the label is that class, the mask its instances. `top5` takes each such class among the five likeliest; one
    image can then appear several times. `objects` takes every image with the mask of all its instances; there the
    label is what that classifier said, which may not be there at all, so explain the prediction (`target=prediction
    only_correct=false`). Only test images. The index is the position in this list, in the file's order.

    Args:
        path: folder or .zip with `images`, `masks` and `instances.json`.
        targets: `top1`, `top5` or `objects`.
        resize: length of the shorter side before the central crop; `None` means `size`.
        name: of the dataset in results.
        photo: size, normalisation and loading, see PhotoDataModule; masks follow the images.

    Raises:
        FileNotFoundError: nothing at `path`, or files that the list names are missing.
        ValueError: an unknown kind of targets, or a list without any.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        targets: Targets = "top1",
        resize: int | None = 256,
        name: str = "coco_instances",
        **photo: Any,
    ) -> None:
        check_choice(targets, Targets, "targets", "set dataset.targets to")
        super().__init__(path, name, resize=resize, **photo)
        self.targets: Targets = targets

    def load(self) -> Splits:
        """Return the images with their masks as test images."""
        storage = Storage(existing_path(self.path, WANTED))
        names = set(storage.names())
        if "instances.json" not in names:
            raise FileNotFoundError(f"{storage.path} has no instances.json; expected {WANTED}")
        try:
            entries = json.loads(storage.read("instances.json"))["images"]
            items = [item for entry in entries for item in _items(entry, self.targets)]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"instances.json of {storage.path} cannot be read ({error!r}); expected {WANTED}"
            ) from error
        if not items:
            raise ValueError(
                f"{storage.path} has no image with targets={self.targets!r}; set dataset.targets to another of "
                f"{list(get_args(Targets))}"
            )
        files = [f"images/{item.file}.jpg" for item in items]
        regions = [Region(f"masks/{item.file}.png", item.instances, (CROWD,)) for item in items]
        missing = [name for name in (*files, *(region.file for region in regions)) if name not in names]
        if missing:
            raise FileNotFoundError(f"{storage.path} has no {missing[0]}, which instances.json names; unpack it again")
        labels = checked_labels(np.asarray([item.label for item in items]), len(items), CLASSES, storage.path)
        return Splits(test=self.images_of(storage, files, labels, regions), class_names=imagenet_names())


def _items(entry: dict[str, Any], targets: Targets) -> list[_Item]:
    """What an image of `instances.json` contributes."""
    if targets == "objects":
        everything = tuple(int(instance["id"]) for instance in entry["instances"])
        return [_Item(entry["file"], int(entry["mobilenet_v2_top1"]), everything)]
    found = entry["targets_top5"] if targets == "top5" else [entry["target"]]
    return [
        _Item(entry["file"], int(target["imagenet_index"]), tuple(int(number) for number in target["instance_ids"]))
        for target in found
        if target
    ]
