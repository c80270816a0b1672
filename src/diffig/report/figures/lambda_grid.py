"""Grids over the two strengths of learned guidance, lambda_faith and lambda_comp, against the unguided cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffig.evaluation.statistics import Difference, simultaneous_differences
from diffig.report.figures.canvas import INK, MUTED, SERIES, WIDTH, Figure, drawing, finish
from diffig.report.ranking import image_table
from diffig.report.settings import COMP, FAITH, OMEGA, SETTING, guidance_columns
from diffig.report.wording import MINUS, estimate, intervals_of, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


Place = tuple[float, float]  # lambda_faith, lambda_comp
UNGUIDED: Place = (0.0, 0.0)
# What no guidance of the package climbs or descends; the first that was measured is shown beside the headline.
UNSEEN = ("diffid_blur", "insertion_minus_deletion", "insertion", "deletion")


class Grid(NamedTuple):
    """Settings that differ in the two strengths only."""

    method: str
    name: str  # the method and what tells this grid from others of the method
    settings: dict[Place, str]

    @property
    def faith(self) -> list[float]:
        """The strengths towards faithful attributions, ascending."""
        return sorted({faith for faith, _ in self.settings})

    @property
    def comp(self) -> list[float]:
        """The strengths towards complex attributions, ascending; negative ones make them sparser."""
        return sorted({comp for _, comp in self.settings})


class Cell(NamedTuple):
    """Mean of a metric and its paired difference to the unguided cell; None for that cell, or where there is none."""

    mean: float
    gain: Difference | None


def lambda_grids(rows: pd.DataFrame) -> list[Grid]:
    """Return grids with two or more values of each strength, the one with most cells first; older rows have none."""
    if not {FAITH, COMP} <= set(rows.columns):
        return []
    rest = [key for key in [*SETTING, *guidance_columns(rows)] if key in rows.columns and key not in (FAITH, COMP)]
    unique = rows.drop_duplicates([*rest, FAITH, COMP])
    grids = []
    for _, group in unique.groupby(rest, dropna=False, sort=True):
        if group[FAITH].nunique() < 2 or group[COMP].nunique() < 2:
            continue
        settings = {(row[FAITH], row[COMP]): str(row["setting"]) for _, row in group.iterrows()}
        if UNGUIDED not in settings:  # without strengths their scale omega does nothing, so any omega will do
            keys = [key for key in rest if key != OMEGA]
            same = unique[(unique[FAITH] == 0) & (unique[COMP] == 0)].merge(group[keys].head(1), on=keys)
            settings.update((UNGUIDED, str(setting)) for setting in same["setting"].head(1))
        label = str(group["setting"].iloc[0])
        name = " ".join(word for word in label.split(" ") if word != "unguided" and not word.startswith("lambda_"))
        grids.append(Grid(str(group["method"].iloc[0]), name, settings))
    return sorted(grids, key=lambda grid: -len(grid.settings))


def unseen_metric(metrics: set[str], headline: str) -> str | None:
    """Return the first metric measured, other than the headline, that no guidance optimises."""
    return next((name for name in UNSEEN if name in metrics and name != headline), None)


def cells(grid: Grid, rows: pd.DataFrame, metric: str, n: int, seed: int) -> dict[Place, Cell]:
    """Return the mean and difference of each place of the grid; intervals hold for all guided cells at once."""
    values = image_table(rows, metric)
    means = {place: float(values[name].mean()) for place, name in grid.settings.items() if name in values}
    known = {place: grid.settings[place] for place, mean in means.items() if np.isfinite(mean)}
    if UNGUIDED not in known:
        return {place: Cell(means[place], None) for place in known}
    guided = [place for place in known if place != UNGUIDED]
    pairs = [(values[known[place]], values[known[UNGUIDED]]) for place in guided]
    gains = dict(zip(guided, simultaneous_differences(pairs, n, seed), strict=True))
    return {place: Cell(means[place], gains.get(place)) for place in known}


def grid_in_words(grid: Grid, found: dict[Place, Cell], metric: str, claim: bool) -> str:
    """Return the finding: the best cell, its difference to unguided, which cells separate, and the rank of unguided.

    Args:
        grid, found, metric: what was measured.
        claim: compare with the paper, which reports that unguided is always the worst cell.
    """
    lower = lower_is_better(metric)
    order = sorted(found, key=lambda place: found[place].mean, reverse=not lower)
    if not order:
        return f"{grid.name} has no finite {metric}."
    best, worst = order[0], order[-1]
    text = f"{grid.name}: the best {metric} is {number(found[best].mean)}"
    if UNGUIDED not in order:
        return f"{text}, at {_at(best)}. The unguided cell (0, 0) was not measured, so no difference can be given."
    gains = {place: cell.gain for place, cell in found.items() if cell.gain is not None}
    good = [p for p, gain in gains.items() if gain.separates and (gain.mean < 0) == lower]
    bad = [p for p, gain in gains.items() if gain.separates and p not in good]
    gain = gains.get(best)
    if gain is None:
        text += ", without guidance: no guided cell has a better mean. "
    else:
        difference = estimate(gain.mean, gain.low, gain.high, signed=True)
        text += f", at {_at(best)}: {difference} from unguided, image by image. "
    of_all = f"{len(gains)} guided cells"
    if good or bad:
        text += f"Of {of_all}, {len(good)} clearly better than unguided, {len(bad)} clearly worse (marked *). "
    else:
        text += f"None of {of_all} separates from unguided. "
    start = found[UNGUIDED].mean
    rank = 1 + sum(cell.mean < start if lower else cell.mean > start for cell in found.values())
    if worst == UNGUIDED or found[worst].mean == start:
        text += f"Unguided is the worst of {len(order)} cells{', as the paper reports it always is' if claim else ''}."
    else:
        text += f"Unguided is not the worst cell{', which the paper reports it always is' if claim else ''}: "
        text += f"it is {'the best' if rank == 1 else f'number {rank}'} of {len(order)},"
        text += f" and {_at(worst)} is last ({number(found[worst].mean)})."
    return f"{text} {intervals_of(len(gains), 'cells')}"


def _at(place: Place) -> str:
    faith, comp = (f"{value:g}".replace("-", MINUS) for value in place)
    return "(0, 0), unguided" if place == UNGUIDED else f"λ_faith = {faith}, λ_comp = {comp}"


MOST_GRIDS = 2
BETTER, WORSE = SERIES[0], SERIES[1]  # blue and orange: told apart by every common kind of colour vision


def heatmap_figures(rows: pd.DataFrame, metric: str, n: int, seed: int) -> list[Figure]:
    """Draw a heat map of each grid for the headline, for a metric that no guidance optimises, and for the entropy."""
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
