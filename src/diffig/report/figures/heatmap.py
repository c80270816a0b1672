"""Heat-maps over the two strengths of learned guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffig.report.figures.canvas import INK, MUTED, SERIES, WIDTH, Figure, drawing, finish
from diffig.report.lambda_grid import (
    UNGUIDED,
    Cell,
    Grid,
    Place,
    cells,
    grid_in_words,
    lambda_grids,
    unseen_metric,
)
from diffig.report.wording import MINUS, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_GRIDS = 2
BETTER, WORSE = SERIES[0], SERIES[1]  # blue and orange: told apart by every common kind of colour vision


def heatmap_figures(rows: pd.DataFrame, metric: str, n: int, seed: int) -> list[Figure]:
    """A heat-map of each grid for the headline, for a metric that no guidance optimises, and for the entropy."""
    metrics = set(rows["metric"])
    other = unseen_metric(metrics, metric)
    kinds = [(metric, "", True)]
    kinds += [(other, " No guidance optimises this metric.", False)] if other else []
    kinds += [("entropy", " Entropy is what λ_comp steers.", False)] if "entropy" in metrics - {metric} else []
    grids = lambda_grids(rows)
    figures = []
    for i, grid in enumerate(grids[:MOST_GRIDS], start=1):
        hidden = f" {len(grids) - MOST_GRIDS} smaller grids are only in the tables." if len(grids) > MOST_GRIDS else ""
        title = f" ({grid.name})" if len(grids) > 1 else ""
        for name, remark, claim in kinds:
            found = cells(grid, rows, name, n, seed)
            colours = " Blue is better than unguided, orange worse." if UNGUIDED in found else ""
            empty = " Hatched: no value." if len(found) < len(grid.faith) * len(grid.comp) else ""
            caption = f"{grid_in_words(grid, found, name, claim)}{remark}{colours}{empty}{hidden if claim else ''}"
            heading = f"Strengths of learned guidance: {name}{title}"
            with drawing(height=0.62 + 0.47 * len(grid.faith)) as (canvas, axes):
                _fill(axes, grid, found, lower_is_better(name))
                figures.append(finish(canvas, f"heatmap-{i}-{name}", heading, caption))
    return figures


def _fill(axes: Axes, grid: Grid, found: dict[Place, Cell], lower: bool) -> None:
    n_rows, n_columns = len(grid.faith), len(grid.comp)
    reach = max((abs(cell.gain.mean) for cell in found.values() if cell.gain), default=0.0)
    best = (min if lower else max)(found, key=lambda place: found[place].mean, default=None)
    width = (WIDTH * 72 - 52) / n_columns  # points; a number has about five letters, each half as wide as high
    for y, faith in enumerate(grid.faith):
        for x, comp in enumerate(grid.comp):
            cell = found.get((faith, comp))
            _cell(axes, x, y, cell, lower, reach)
            if cell is None:
                continue
            small = _small_type((faith, comp), cell)
            weight = "bold" if (faith, comp) == best else "normal"
            place: dict[str, Any] = {"ha": "center", "va": "center"}
            up = 0.16 if small else 0.0
            axes.text(x, y - up, number(cell.mean), fontsize=min(9.0, width / 3.1), fontweight=weight, **place)
            axes.text(x, y + 0.22, small, fontsize=min(7.0, width / 4.4), **place)
    axes.set_xlim(-0.5, n_columns - 0.5)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.set_xticks(range(n_columns), [_tick(comp) for comp in grid.comp])
    axes.set_yticks(range(n_rows), [_tick(faith) for faith in grid.faith])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("λ_comp  (negative: sparser)")
    axes.set_ylabel("λ_faith")


def _cell(axes: Axes, x: int, y: int, cell: Cell | None, lower: bool, reach: float) -> None:
    from matplotlib.patches import Rectangle

    corner, side = (x - 0.47, y - 0.46), (0.94, 0.92)
    if cell is None:
        axes.add_patch(Rectangle(corner, *side, facecolor="none", edgecolor=MUTED, hatch="////", lw=0, alpha=0.5))
        return
    change = cell.gain.mean if cell.gain else 0.0
    colour = BETTER if (change < 0) == lower else WORSE
    strength = 0.62 * abs(change) / reach if reach > 0 else 0.0
    axes.add_patch(Rectangle(corner, *side, facecolor=colour, alpha=strength, lw=0))
    outline = {"edgecolor": INK, "lw": 1.2} if cell.gain is None else {"edgecolor": MUTED, "lw": 0.4}
    axes.add_patch(Rectangle(corner, *side, facecolor="none", **outline))  # type: ignore[arg-type]


def _small_type(place: Place, cell: Cell) -> str:
    if cell.gain is None:
        return "unguided" if place == UNGUIDED else ""
    return number(cell.gain.mean, signed=True) + (" *" if cell.gain.separates else "")


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)
