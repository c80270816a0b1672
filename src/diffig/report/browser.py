"""The table of every image: its thumbnails, and what its lines can be filtered by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.report.comparison import Comparison
from diffig.report.contact_sheet import ContactSheets, contact_sheets
from diffig.report.notes import telling_order
from diffig.report.wording import lower_is_better

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 3_000_000  # bytes of the page for thumbnails, so that it stays mailable
MOST_SPREAD = 20


def thumbnails_of(comparisons: list[Comparison], budget: int = BUDGET) -> list[ContactSheets | None]:
    """The contact sheets of each comparison, which share the budget; what one leaves the others have."""
    found: list[ContactSheets | None] = []
    for place, c in enumerate(comparisons):
        share = budget // (len(comparisons) - place)
        found.append(contact_sheets(c.folders, telling_order(c.disagreements, c.images), share))
        budget -= found[-1].weight if found[-1] else 0
    return found


def marks_of(c: Comparison) -> dict[int, list[str]]:
    """What each image can be filtered by: ``odd`` (a failure), ``top`` (a large spread), ``behind`` (the winner is)."""
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
    """Every label once, numbers in their order."""
    return sorted(set(images["label"]), key=lambda label: (not label.isdecimal(), len(label), label))
