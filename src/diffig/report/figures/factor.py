"""Dots and intervals of studies of one factor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diffig.report.factors import factor_in_words, factor_studies
from diffig.report.figures.canvas import PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.wording import lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd


def factor_figures(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, look: dict[str, Style], n: int, seed: int
) -> list[Figure]:
    """One figure for each factor that was varied alone within a method."""
    import pandas as pd

    figures = []
    of_setting = table.set_index("setting")
    for factor, studies in factor_studies(rows, metric, n, seed).items():
        shown = pd.DataFrame(
            [
                {
                    **of_setting.loc[level.setting],
                    "setting": f"{study.method}, {level.value}",
                    "gain": "compared with" if level.gain is None else _gain(level.gain.mean, level.gain.separates),
                    "hollow": level.gain is None,
                }
                for study in studies
                for level in study.levels
            ]
        )
        with drawing(height=0.42 * len(shown) + 0.75) as (canvas, axes):
            setting_lines(axes, shown, lambda row: row["gain"], bold=-1)
            for y, (_, row) in enumerate(shown.iterrows()):
                style = look[row["method"]]
                axes.plot([row["low"], row["high"]], [y, y], color=style.colour, lw=2.2, solid_capstyle="round")
                fill = {"mfc": PAPER, "mec": style.colour, "mew": 1.5} if row["hollow"] else {"mec": PAPER, "mew": 0.8}
                axes.plot(row["mean"], y, style.marker, color=style.colour, ms=6.5, **fill)
            axes.set_xlabel(f"{metric}  ({'lower' if lower_is_better(metric) else 'higher'} is better)")
            caption = factor_in_words(studies, metric)
            hollow = ", ".join(study.levels[0].setting for study in studies[:4]) + (", ..." if len(studies) > 4 else "")
            caption += f" Hollow: {hollow}. Right: paired difference to it, * where its interval excludes 0."
            caption += " Bars: 95 % over images; all other keys are equal."
            name = "factor-" + re.sub(r"\W+", "-", factor)
            figures.append(finish(canvas, name, f"Study of one factor: {factor}", caption))
    return figures


def _gain(mean: float, separates: bool) -> str:
    return number(mean, signed=True) + (" *" if separates else "")
