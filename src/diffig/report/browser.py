"""The table of every image: its thumbnails, two pictures for a method, and what its lines can be filtered by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffig.evaluation.thumbnails import read_thumbnails
from diffig.report.comparison import Comparison
from diffig.report.notes import telling_order
from diffig.report.sprite import columns_of, fitted, image_sprite, map_cell, map_sprite, pitch_of
from diffig.report.wording import lower_is_better

if TYPE_CHECKING:
    import pandas as pd


IMAGES = ""  # the name of the sheet of images, which no setting can have
SHOWN = 56  # CSS pixels that a thumbnail shall have, about
ROWS = 8  # images whose maps stand side by side
FEW = 40  # images before settings are left out


class ContactSheets(NamedTuple):
    """The sheets of one comparison.

    Attributes:
        places: CSS position of each image, by its index in the dataset.
        addresses: data address of each sheet, by setting; of the images by `IMAGES`.
        cell: width and height of a thumbnail, in CSS pixels.
        background: width and height of a sheet, likewise.
        said: what was left out, in words; empty where nothing was.
    """

    places: dict[int, str]
    addresses: dict[str, str]
    cell: tuple[int, int]
    background: tuple[int, int]
    said: str

    @property
    def settings(self) -> list[str]:
        """The settings whose maps there are, in the order of the ranking."""
        return [name for name in self.addresses if name != IMAGES]

    @property
    def side_by_side(self) -> list[int]:
        """The images shown large beside their maps, the most telling first; none where no setting has maps."""
        return list(self.places)[:ROWS] if self.settings else []

    def number(self, name: str) -> int:
        """Return which sheet is a setting's."""
        return list(self.addresses).index(name)

    @property
    def weight(self) -> int:
        """Bytes that the sheets add to the page."""
        return sum(map(len, self.addresses.values()))


def contact_sheets(folders: Mapping[str, Sequence[str]], order: Sequence[int], budget: int) -> ContactSheets | None:
    """Return the sheets of the images `order`, in at most `budget` bytes; None where no run has thumbnails.

    Images are left out from the end of `order`, then, when few are left, settings from the end of `folders`.

    Args:
        folders: runs of each setting, the first that has an image counts.
        order: indices of images, the most telling first.
        budget: bytes of all data addresses together.
    """
    images, maps = _read(folders)
    known = [index for index in order if index in images]
    settings = [name for name in folders if name in maps]
    if not known:
        return None
    shape = Counter(np.shape(image)[:2] for image in images.values()).most_common(1)[0][0]
    shown, kept = known, settings
    while True:
        addresses = {IMAGES: image_sprite([fitted(images[index], shape) for index in shown])}
        for name in kept:
            addresses[name] = map_sprite([map_cell(maps[name].get(index), shape) for index in shown])
        weight = sum(map(len, addresses.values()))
        if weight <= budget:
            break
        if len(shown) > FEW:
            shown = shown[: max(FEW, int(0.97 * len(shown) * budget / weight))]
        elif len(kept) > 2:
            kept = kept[:-1]
        elif len(shown) > 1:
            shown = shown[: len(shown) // 2]
        else:
            return None
    columns = columns_of(len(shown))
    scale = max(1, round(SHOWN / max(shape)))
    high, wide = (scale * size for size in pitch_of(shape))
    return ContactSheets(
        places={
            index: f"{-(place % columns) * wide}px {-(place // columns) * high}px" for place, index in enumerate(shown)
        },
        addresses=addresses,
        cell=(scale * shape[1], scale * shape[0]),
        background=(columns * wide, math.ceil(len(shown) / columns) * high),
        said=_left_out(len(shown), known, [*folders], settings, kept, budget),
    )


def _read(folders: Mapping[str, Sequence[str]]) -> tuple[dict[int, NDArray[Any]], dict[str, dict[int, NDArray[Any]]]]:
    """Images by index, and maps by setting and index."""
    images: dict[int, NDArray[Any]] = {}
    maps: dict[str, dict[int, NDArray[Any]]] = {}
    for name, runs in folders.items():
        for run in runs:
            found = read_thumbnails(run)
            for index, image, shown in zip(*found, strict=True) if found else ():
                images.setdefault(int(index), image)
                maps.setdefault(name, {}).setdefault(int(index), shown)
    return images, maps


def _left_out(count: int, known: list[int], asked: list[str], settings: list[str], kept: list[str], budget: int) -> str:
    said = []
    if count < len(known):
        said.append(f"of {count} of {len(known)} images, those that settings disagree on most")
    if len(kept) < len(settings):
        said.append(f"without the maps of {', '.join(settings[len(kept) :])}")
    text = ""
    if said:
        text = (
            f"Thumbnails are shown {' and '.join(said)}: more would not fit into {budget / 1e6:.2g} MB."
            " All lie in the runs' thumbnails.safetensors."
        )
    missing = [name for name in asked if name not in settings]
    return " ".join([text, f"No thumbnails were kept of {', '.join(missing)}."] if missing else [text]).strip()


BUDGET = 3_000_000  # bytes of the page for thumbnails, so that it stays mailable
MOST_SPREAD = 20


def thumbnails_of(comparisons: list[Comparison], budget: int = BUDGET) -> list[ContactSheets | None]:
    """Return the contact sheets of each comparison, which share the budget; what one leaves the others have."""
    found: list[ContactSheets | None] = []
    for place, c in enumerate(comparisons):
        share = budget // (len(comparisons) - place)
        found.append(contact_sheets(c.folders, telling_order(c.disagreements, c.images), share))
        budget -= found[-1].weight if found[-1] else 0
    return found


def marks_of(c: Comparison) -> dict[int, list[str]]:
    """Return what each image can be filtered by: `odd` (it failed), `top` (large spread), `behind` (the winner is)."""
    if c.images is None:
        return {}
    spread = c.images["spread"]
    marks = {
        "odd": (c.images["label"] != c.images["prediction"]) | spread.isna(),
        "top": spread >= spread.nlargest(MOST_SPREAD).min(),
    }
    if {c.winner, c.rival} <= set(c.images):
        gain = c.images[c.winner] - c.images[c.rival]
        marks["behind"] = gain > 0 if lower_is_better(c.metric) else gain < 0
    return {
        int(index): [name for name, held in marks.items() if held.iloc[place]]
        for place, index in enumerate(c.images["image_index"])
    }


def labels_of(images: pd.DataFrame) -> list[str]:
    """Return every label once, numbers in their order."""
    return sorted(set(images["label"]), key=lambda label: (not label.isdecimal(), len(label), label))
