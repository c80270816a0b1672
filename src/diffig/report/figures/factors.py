"""Studies of one factor: settings of a method that differ in one key only, against its default value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from diffig.evaluation.statistics import Difference, simultaneous_differences
from diffig.report.figures.canvas import PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import setting_lines
from diffig.report.ranking import image_table
from diffig.report.settings import SETTING, guidance_columns
from diffig.report.wording import estimate, intervals_of, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd


FACTORS = ("baseline", "aggregation", "credit", "rule", "nodes", "steps", "variant")
# What other values are compared with; where it was not run, the first value.
DEFAULTS = {
    "baseline": "black",
    "aggregation": "mean",
    "credit": "riemann midpoint",
    "rule": "midpoint",
    "nodes": "uniform",
    "variant": "",
}
MOST_LINES = 14


class Level(NamedTuple):
    """One value of the factor, and its paired difference to the default; None for the default itself."""

    value: str
    setting: str
    gain: Difference | None


class Study(NamedTuple):
    """One factor within one method, all else equal; the default is the first level."""

    factor: str
    method: str
    levels: list[Level]


def factor_studies(rows: pd.DataFrame, metric: str, n: int, seed: int) -> dict[str, list[Study]]:
    """Return studies by factor. A method enters each once: with most values, then most paths, then least guidance."""
    strengths, values = guidance_columns(rows), image_table(rows, metric)
    keys = [key for key in [*SETTING, *strengths] if key in rows.columns]
    unique = rows[rows["setting"].isin(values.columns)].drop_duplicates(keys)
    chosen: dict[str, list[tuple[str, list[tuple[str, str]]]]] = {}
    for method, own in unique.groupby("method", sort=True):
        for factor in (factor for factor in FACTORS if own[factor].nunique() > 1):
            rest = [key for key in keys if key != factor]
            groups = [group for _, group in own.groupby(rest, dropna=False) if group[factor].nunique() > 1]
            groups.sort(key=lambda g: (-len(g), -g["n_paths"].iloc[0], abs(g[strengths].to_numpy()).sum()))
            if groups:
                name, levels = _levels(factor, groups[0])
                chosen.setdefault(name, []).append((str(method), levels))
    return {factor: _measured(factor, studies, values, n, seed) for factor, studies in chosen.items()}


def _levels(factor: str, group: pd.DataFrame) -> tuple[str, list[tuple[str, str]]]:
    """Name of the factor and (value, setting) of each level, the default first."""
    raw = dict(zip(group[factor], group["setting"], strict=True))
    name, values = factor, {value: f"{value:g}" if isinstance(value, float) else str(value) for value in raw}
    if factor == "variant":
        words = {value: dict(word.partition("=")[::2] for word in value.split(" ") if word) for value in raw}
        differing = {
            key for own in words.values() for key in own if any(own[key] != o.get(key) for o in words.values())
        }
        if len(differing) == 1:  # one option only: name it, and let its values stand alone
            (name,) = differing
            values = {value: words[value].get(name, "default") for value in raw}
        else:
            values = {value: value or "default" for value in raw}
    default = DEFAULTS.get(factor)
    order = sorted(raw, key=lambda value: (value != default, _number_or_text(values[value])))
    return name, [(values[value], str(raw[value])) for value in order]


def _number_or_text(text: str) -> tuple[bool, float, str]:
    try:
        return (False, float(text), "")
    except ValueError:
        return (text != "default", 0.0, text)


def _measured(
    factor: str, chosen: list[tuple[str, list[tuple[str, str]]]], values: pd.DataFrame, n: int, seed: int
) -> list[Study]:
    """The studies that fit into one figure, methods of this project first, with differences corrected over them all."""
    ours = sorted(chosen, key=lambda study: (not study[0].startswith("diffig"), study[0]))
    fitting: list[tuple[str, list[tuple[str, str]]]] = []
    for method, levels in ours:
        if not fitting or sum(len(own) for _, own in fitting) + len(levels) <= MOST_LINES:
            fitting.append((method, levels[:MOST_LINES]))
    pairs = [(values[s], values[levels[0][1]]) for _, levels in fitting for _, s in levels[1:]]
    gains = iter(simultaneous_differences(pairs, n, seed))
    return [
        Study(factor, method, [Level(v, s, next(gains) if i else None) for i, (v, s) in enumerate(levels)])
        for method, levels in fitting
    ]


def factor_in_words(studies: list[Study], metric: str) -> str:
    """Return the finding: each method's value that differs most from the default, how many differences are clear."""
    lower, said = lower_is_better(metric), []
    gains = [(study, level, level.gain) for study in studies for level in study.levels if level.gain is not None]
    for study in studies:
        own = [(level, gain) for other, level, gain in gains if other is study]
        clear = [pair for pair in own if pair[1].separates]
        level, gain = max(clear or own, key=lambda pair: abs(pair[1].mean))
        verdict = ("better" if (gain.mean < 0) == lower else "worse") if gain.separates else "unclear"
        span = estimate(gain.mean, gain.low, gain.high, signed=True)
        said.append(f"{study.method}: {level.value} instead of {study.levels[0].value} {span} ({verdict})")
    clear_ones = sum(gain.separates for *_, gain in gains)
    text = "; ".join(said[:4]) + (f"; and {len(said) - 4} more methods" if len(said) > 4 else "")
    of_all = f" {clear_ones} of {len(gains)} differences exclude 0." if len(gains) > 1 else ""
    return f"{text}.{of_all} {intervals_of(len(gains), 'differences')}"


def factor_figures(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, look: dict[str, Style], n: int, seed: int
) -> list[Figure]:
    """Draw one figure for each factor that was varied alone within a method."""
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
