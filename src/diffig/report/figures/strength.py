"""The metric against the strength of one energy at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.statistics import paired_difference
from diffig.report.figures.canvas import LINE, MUTED, PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import dashes, end_labels
from diffig.report.figures.lambda_grid import lambda_grids
from diffig.report.ranking import image_table
from diffig.report.settings import COMP, FAITH, SCALES, SETTING, guidance_columns
from diffig.report.wording import estimate, lower_is_better

if TYPE_CHECKING:
    import pandas as pd


def guidance_figure(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]
) -> Figure | None:
    """Draw the metric against the strength of each energy that was swept, other keys held fixed."""
    strengths = guidance_columns(rows)
    keys = [*SETTING, *strengths]
    points = rows.drop_duplicates("setting")[[*keys, "setting"]].merge(table[["setting", "mean", "low", "high"]])
    sweeps = []
    drawn = {FAITH, COMP} if lambda_grids(rows) else set()  # a heat-map shows them
    for energy in [name for name in strengths if name not in drawn]:
        for _, line in points.groupby([k for k in keys if k != energy], dropna=False, sort=False):
            if len(line) >= 2:
                sweeps.append((energy, line.sort_values(energy)))
    # a line where another energy is on as well belongs to a grid, of which only the axes are drawn when they exist
    steering = [name for name in strengths if name not in SCALES]
    alone = [(e, line) for e, line in sweeps if (line[[s for s in steering if s != e]] == 0).all(axis=None)]
    sweeps = alone or sweeps
    energies = list(dict.fromkeys(energy for energy, _ in sweeps))[:4]
    if not energies:
        return None
    anchor = table[table["setting"] == reference].iloc[0]
    said = []
    with drawing(height=2.3 * len(energies) + 0.3, rows=len(energies), sharey=True) as (canvas, grid):
        for axes, energy in zip(np.atleast_1d(np.asarray(grid, dtype=object)), energies, strict=True):
            lines = [line for name, line in sweeps if name == energy]
            ticks = sorted({value for line in lines for value in line[energy]})
            place = {value: i for i, value in enumerate(ticks)}
            axes.axhspan(anchor["low"], anchor["high"], color=LINE, alpha=0.5, lw=0)
            axes.plot([0, len(ticks) - 1], [anchor["mean"]] * 2, color=MUTED, lw=1, ls=(0, (4, 3)))
            ends: list[tuple[float, float, str, str]] = []
            for line, dash in zip(lines, dashes(len(lines)), strict=True):
                style, x = look[line["method"].iloc[0]], [place[value] for value in line[energy]]
                axes.fill_between(x, line["low"], line["high"], color=style.colour, alpha=0.12, lw=0)
                axes.plot(x, line["mean"], ls=dash, marker=style.marker, color=style.colour, lw=1.8, ms=5, mec=PAPER)
                if line[energy].iloc[0] == 0:
                    unguided = line["mean"].iloc[0]
                    axes.plot([0, len(ticks) - 1], [unguided] * 2, color=style.colour, lw=0.9, ls=(0, (1, 2)))
                ends.append((x[-1], float(line["mean"].iloc[-1]), _line_name(line, lines), style.colour))
            ends.append((len(ticks) - 1, float(anchor["mean"]), reference, MUTED))
            axes.set_xticks(range(len(ticks)), [f"{tick:g}" for tick in ticks])
            # names stand right of the lines: a letter is about 5.2 points wide, the panel about 295
            names = min(0.5, (5.2 * max(len(name) for *_, name, _ in ends) + 10) / 295)
            axes.set_xlim(-0.2, (len(ticks) - 0.8) / (1 - names) - 0.2)
            end_labels(axes, ends)
            axes.set_xlabel(f"strength of {energy.removeprefix('guidance.')}")
            axes.set_ylabel(metric)
            said.append(_sweep_in_words(rows, lines, energy, metric))
        caption = " ".join(said) + f" Dotted: the same path unguided. Dashed: {reference}. Bands: 95 % over images."
        return finish(canvas, "guidance", "Strength of the guidance", caption)


def _sweep_in_words(rows: pd.DataFrame, lines: list[pd.DataFrame], energy: str, metric: str) -> str:
    lower, name = lower_is_better(metric), energy.removeprefix("guidance.")
    tops = [line.loc[line["mean"].idxmin() if lower else line["mean"].idxmax()] for line in lines]
    chosen = int(np.argmin([t["mean"] for t in tops]) if lower else np.argmax([t["mean"] for t in tops]))
    best, start = tops[chosen], lines[chosen].iloc[0]
    text = f"{name}: best at {best[energy]:g} ({estimate(best['mean'], best['low'], best['high'])})"
    if start[energy] != 0 or best[energy] == 0:
        return text + (", that is, unguided." if best[energy] == 0 else ".")
    values = image_table(rows, metric)
    gain = paired_difference(values[best["setting"]], values[start["setting"]])
    return text + f", {estimate(gain.mean, gain.low, gain.high, signed=True)} from unguided, image by image."


def _line_name(line: pd.DataFrame, lines: list[pd.DataFrame]) -> str:
    first = line.iloc[0]
    varying = [k for k in SETTING if k != "method" and len({str(other.iloc[0][k]) for other in lines}) > 1]
    short = {"n_paths": "n={:g}", "steps": "{:g} steps"}
    methods = {other.iloc[0]["method"] for other in lines}
    parts = [first["method"]] if len(methods) > 1 or not varying else []
    return ", ".join([*parts, *(short.get(k, "{}").format(first[k]) for k in varying)])
