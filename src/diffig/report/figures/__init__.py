"""Figures of a comparison, each with a caption that says in words what it shows; one file draws one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.report.figures.canvas import Figure, Style
from diffig.report.figures.cost import cost_figure
from diffig.report.figures.curves import curves_figure
from diffig.report.figures.factors import factor_figures
from diffig.report.figures.lambda_grid import heatmap_figures
from diffig.report.figures.path_number import path_number_figure
from diffig.report.figures.ranked import gap_figure, ranked_figure
from diffig.report.figures.ranks import agreement_figure, rank_figure
from diffig.report.figures.strength import guidance_figure

if TYPE_CHECKING:
    import pandas as pd


def draw(
    rows: pd.DataFrame,
    curves: pd.DataFrame | None,
    ranked: dict[str, pd.DataFrame],
    pairs: pd.DataFrame,
    metric: str,
    reference: str,
    look: dict[str, Style],
    n: int,
    seed: int,
) -> list[Figure]:
    """Return every figure that the rows of one comparison have numbers for, in the order of the page.

    Args:
        rows: of one comparison, with the column `setting`.
        curves: of the same settings, None where no run has any.
        ranked: ranked table of every metric.
        pairs: paired table of `metric`.
        metric, reference, look: what is drawn, against which setting, in which colours.
        n, seed: of the bootstrap.
    """
    table = ranked[metric]
    best = table[~table["method"].duplicated()]
    figures = [
        ranked_figure(table, pairs, metric, reference, look),
        rank_figure(rows, best, metric, look),
        agreement_figure(ranked, best, metric),
        curves_figure(curves, best, metric, look) if curves is not None else None,
        *heatmap_figures(rows, metric, n, seed),
        path_number_figure(rows, table, metric, reference, look, n, seed),
        guidance_figure(rows, table, metric, reference, look),
        *factor_figures(rows, table, metric, look, n, seed),
        cost_figure(table, metric, reference, look),
        gap_figure(rows, best, look),
    ]
    return [figure for figure in figures if figure is not None]
