"""The page: comparisons and appendix through the template."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffig.report.browser import MOST_SPREAD, labels_of, marks_of, thumbnails_of
from diffig.report.comparison import Comparison
from diffig.report.families import family_of
from diffig.report.figures.canvas import NEUTRAL, SERIES, Figure
from diffig.report.provenance import MADE_RANDOM, MOST_PICTURES, distinct_texts, pictures_of
from diffig.report.ranking import PAIRED_TITLES, RANKED_TITLES
from diffig.report.reliability import RELIABILITY_TITLES
from diffig.report.runs import Found, named, overrides_of, short_name
from diffig.report.wording import (
    arrow,
    cell,
    direction_of,
    judges_methods,
    lower_is_better,
    number,
    range_text,
    said_of,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_CONFIGS = 100  # thousands of jobs would make a page of tens of megabytes of them


def render(
    comparisons: list[Comparison], found: Found, counts: Mapping[str, int], notices: list[str], n: int, seed: int
) -> str:
    """Return the whole page as one string; nothing in it points outside."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        cell=cell,
        number=number,
        lower=lower_is_better,
        arrow=arrow,
        judges=judges_methods,
        direction=direction_of,
        family=family_of,
        range_text=range_text,
        svg=lambda f, i: Markup(unique_ids(f, i)),
        bar=bar_of,
        ends_of=ends_of,
        named=named,
        marks_of=marks_of,
        labels=labels_of,
        columns=columns_of,
    )
    environment.filters["said_of"] = said_of
    folders = [file.parent for file in found.row_files]
    configs = distinct_texts(folders, ["config.yaml", ".hydra/config.yaml"])
    sheets = thumbnails_of(comparisons)
    pictures = pictures_of(folders)
    if all(sheet and sheet.side_by_side for sheet in sheets):  # which show the same images beside each other
        pictures = [picture for picture in pictures if picture[0].endswith(MADE_RANDOM)]
    page = environment.get_template("template.html.j2").render(
        comparisons=comparisons,
        failures=found.failures,
        notices=notices,
        ranked_titles=RANKED_TITLES,
        paired_titles=PAIRED_TITLES,
        reliability_titles=RELIABILITY_TITLES,
        most_spread=MOST_SPREAD,
        thumbnails=sheets,
        neutral=NEUTRAL,
        series=SERIES,
        pictures=pictures,
        n_more_pictures=max(0, sum((f / "attributions.png").exists() for f in folders) - MOST_PICTURES)
        if pictures
        else 0,
        runs=[{"folder": short_name(f), "overrides": overrides_of(f), "rows": counts.get(str(f), 0)} for f in folders],
        configs=configs[:MOST_CONFIGS],
        n_more_configs=max(0, len(configs) - MOST_CONFIGS),
        environments=distinct_texts(folders, ["environment.json"]),
        n=n,
        seed=seed,
    )
    return str(page)


def columns_of(figures: list[Figure]) -> tuple[list[Figure], list[Figure]]:
    """Return two columns of about equal height."""
    columns: tuple[list[Figure], list[Figure]] = ([], [])
    heights = [0.0, 0.0]
    for figure in figures:
        shorter = int(heights[1] < heights[0])
        columns[shorter].append(figure)
        heights[shorter] += figure.canvas.get_figheight() + 1.7  # inches of title and caption
    return columns


def unique_ids(figure: Figure, section: int) -> str:
    """Return a figure's drawing with identifiers of its section's own, as one page holds several."""
    start = f"{figure.name}-"
    svg = figure.svg
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(before + start, f"{before}s{section}-{start}")
    return svg


def ends_of(table: pd.DataFrame) -> tuple[float, float] | None:
    """Return where the bars of a table of means or differences begin and end; None where there is nothing to draw."""
    left, right = table[["low", "mean" if "mean" in table else "difference"]].min().min(), table["high"].max()
    if not np.isfinite([left, right]).all() or right <= left:
        return None
    return (min(left, 0.0), max(right, 0.0)) if "difference" in table else (left, right)


def bar_of(low: float, mean: float, high: float, ends: tuple[float, float] | None) -> dict[str, str] | None:
    """Return the places of a small interval bar in percent of the range of its table."""
    if ends is None or not all(map(math.isfinite, (low, mean, high))):
        return None
    left, right = ends

    def place(value: float) -> str:
        return f"{100 * (value - left) / (right - left):.1f}%"

    return {
        "low": place(low),
        "mean": place(mean),
        "width": f"{100 * (high - low) / (right - left):.1f}%",
        "zero": place(0.0) if left <= 0 <= right else "",
    }
