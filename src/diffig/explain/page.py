"""A small page for one image, and one that lists many; both are files that need no network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from diffig.io import write_text
from diffig.report.wording import count, number

PICTURES = {
    "attribution.png": "What speaks for the class (red) and against it (blue), how strongly, and where. Every map has a"
    " scale of its own.",
    "path.gif": "The way from the baseline to the image, with the score at each point.",
    "path.png": "The same way, still.",
    "removal.gif": "Pixels put into a blurred image, and taken out to black, in the order in which the first method"
    " names them.",
    "removal.png": "The same, still: a faithful map lets the probability rise early and fall early.",
}
COLUMNS = {
    "method": "Method",
    "objective": "Score",
    "sum": "Sum of the map",
    "gap": "Completeness gap",
    "absolute_mass": "Absolute mass",
    "backward_images": "Backward images",
    "forward_images": "Forward images",
    "seconds": "Seconds",
}


def write_page(folder: Path, summary: dict[str, Any]) -> Path:
    """Write `index.html` beside the pictures of one image and return its path."""
    pictures = [(name, text) for name, text in PICTURES.items() if (folder / name).exists()]
    image = Path(summary["image"]).name
    return _write(folder, f"Why {summary['target']}?", summary=summary, pictures=pictures, image=image)


def write_list(folder: Path, found: list[tuple[str, dict[str, Any]]], failures: list[tuple[str, str]]) -> Path:
    """Write `index.html` that links the page of each image and names those left out; return its path.

    Args:
        folder: where the page goes.
        found: sub-folder and summary of each image.
        failures: image and message of each that could not be explained.
    """
    return _write(folder, f"{len(found)} images explained", summary=None, found=found, failures=failures)


def _write(folder: Path, title: str, **content: Any) -> Path:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(number=number, cell=_cell, columns=COLUMNS, title=title)
    file = folder / "index.html"
    write_text(file, environment.get_template("page.html.j2").render(content))
    return file


def _cell(key: str, value: float | str | None) -> str:
    if value is None:
        return number(math.nan)
    if isinstance(value, str):
        return value
    return count(value) if key.endswith("images") else number(value)
