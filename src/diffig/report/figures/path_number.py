"""The metric against the number of candidate paths, and against what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.report.figures.canvas import LINE, MUTED, PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import count_ticks, dashes
from diffig.report.path_number import path_lines, paths_in_words

if TYPE_CHECKING:
    import pandas as pd


def path_number_figure(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style], n: int, seed: int
) -> Figure | None:
    """Two views of one ablation: settings with equally many paths, and settings of equal price."""
    lines = path_lines(rows, table, metric)
    if not lines:
        return None
    panels = [("n_paths", "candidate paths N")]
    priced = [line for line in lines if (line.points["backward_images"] > 0).all()]
    panels += [("backward_images", "backward images per explained image, all paths together")] if priced else []
    anchor = table[table["setting"] == reference].iloc[0]
    height = 2.3 * len(panels) + 0.2 * len(lines) + 0.3
    with drawing(height=height, rows=len(panels), sharey=True) as (canvas, grid):
        handles = {}
        for axes, (column, title) in zip(grid if len(panels) > 1 else [grid], panels, strict=True):
            axes.axhspan(anchor["low"], anchor["high"], color=LINE, alpha=0.5, lw=0)
            axes.axhline(anchor["mean"], color=MUTED, lw=1, ls=(0, (4, 3)))
            seen: dict[str, int] = {}
            for line in lines if column == "n_paths" else priced:
                style, x = look[line.method], line.points[column]
                turn = seen[line.method] = seen.get(line.method, -1) + 1
                axes.fill_between(x, line.points["low"], line.points["high"], color=style.colour, alpha=0.12, lw=0)
                (handles[line.name],) = axes.plot(
                    x, line.points["mean"], ls=dashes(turn + 1)[turn], marker=style.marker, color=style.colour,
                    lw=1.8, ms=5, mec=PAPER, mew=0.6,
                )  # fmt: skip
            every = [value for line in lines for value in line.points[column] if value > 0]
            axes.set_xscale("log")
            count_ticks(axes, min(every), max(every), shown=sorted(set(every)) if column == "n_paths" else None)
            axes.set_xlim(min(every) / 1.2, max(every) * 1.2)
            axes.set_xlabel(title)
            axes.set_ylabel(metric)
        canvas.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=1, handlelength=2.4)
        caption = paths_in_words(lines, rows, metric, n, seed)
        caption += f" Dashed: {reference}. Bands: 95 % over images."
        return finish(canvas, "paths", "Number of candidate paths", caption)
