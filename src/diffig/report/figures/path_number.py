"""Settings that differ in the number of candidate paths only: what more paths bring, and for what price."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffig.evaluation.statistics import Difference, simultaneous_differences
from diffig.report.figures.canvas import LINE, MUTED, PAPER, Figure, Style, drawing, finish
from diffig.report.figures.labels import count_ticks, dashes
from diffig.report.ranking import image_table
from diffig.report.settings import SETTING, guidance_columns
from diffig.report.wording import count, estimate, intervals_of, lower_is_better

if TYPE_CHECKING:
    import pandas as pd


class Line(NamedTuple):
    """One method and aggregation: its rows of the ranked table by ascending `n_paths`."""

    method: str
    name: str
    points: pd.DataFrame

    def at(self, column: str, most: float) -> pd.Series:
        """Return the point with the largest value of a column that is at most `most`."""
        return self.points[self.points[column] <= most].sort_values(column).iloc[-1]


def path_lines(rows: pd.DataFrame, table: pd.DataFrame, metric: str) -> list[Line]:
    """Return one line for each method and aggregation with three values of `n_paths` or more.

    Of several (other steps, other strengths), the one with most values counts, then the one that ends best.
    """
    rest = [key for key in [*SETTING, *guidance_columns(rows)] if key in rows.columns and key != "n_paths"]
    unique = rows.drop_duplicates("setting")[[*rest, "n_paths", "setting"]]
    points = unique.merge(table[["setting", "mean", "low", "high", "backward_images"]], on="setting")
    sign = 1 if lower_is_better(metric) else -1
    kept: dict[tuple[str, str], tuple[tuple[float, float], Line]] = {}
    for _, group in points.groupby(rest, dropna=False, sort=False):
        own = group.sort_values("n_paths")
        if own["n_paths"].nunique() < 3:
            continue
        last = own.iloc[-1]
        label = " ".join(w for w in str(last["setting"]).split(" ") if not w.startswith("n="))
        order = (-float(len(own)), sign * float(last["mean"]))
        key = (str(last["method"]), str(last["aggregation"]))
        if key not in kept or order < kept[key][0]:
            kept[key] = (order, Line(key[0], label, own))
    return sorted((line for _, line in kept.values()), key=lambda line: line.name)


def paths_in_words(lines: list[Line], rows: pd.DataFrame, metric: str, n: int, seed: int) -> str:
    """Return the finding: the change of each line, then who leads with equal paths and with equal backward images."""
    lower, values = lower_is_better(metric), image_table(rows, metric)
    ends = [(line.points.iloc[-1], line.points.iloc[0]) for line in lines]
    duels = []
    if len(lines) > 1:
        common = set.intersection(*(set(line.points["n_paths"]) for line in lines))
        if common:
            duels.append((f"With {max(common):g} paths each", _leaders(lines, "n_paths", max(common), lower)))
        if all((line.points["backward_images"] > 0).all() for line in lines):
            price = min(line.points["backward_images"].max() for line in lines)
            able = [line for line in lines if line.points["backward_images"].min() <= price]
            if len(able) > 1:
                title = f"With at most {count(price)} backward images each"
                duels.append((title, _leaders(able, "backward_images", price, lower)))
    pairs = [(values[a["setting"]], values[b["setting"]]) for a, b in [*ends, *(pair for _, pair in duels)]]
    found = simultaneous_differences(pairs, n, seed)
    said = [
        f"{line.name}: {_change(gain, lower)} from {first['n_paths']:g} to {last['n_paths']:g} paths"
        for line, (last, first), gain in zip(lines, ends, found[: len(lines)], strict=True)
    ]
    text = "; ".join(said) + ". "
    for (title, (best, second)), gain in zip(duels, found[len(lines) :], strict=True):
        span = estimate(gain.mean, gain.low, gain.high, signed=True)
        verb = "leads" if (gain.mean < 0) == lower else "trails"  # the latter on common images only
        how = f"{verb} {second['setting']} ({span})"
        how = how if gain.separates else f"cannot be told from {second['setting']} ({span})"
        text += f"{title}, {best['setting']} {how}. "
    return text + intervals_of(len(found), "differences")


def _leaders(lines: list[Line], column: str, most: float, lower: bool) -> tuple[pd.Series, pd.Series]:
    points = sorted((line.at(column, most) for line in lines), key=lambda p: p["mean"], reverse=not lower)
    return points[0], points[1]


def _change(gain: Difference, lower: bool) -> str:
    text = estimate(gain.mean, gain.low, gain.high, signed=True)
    if not gain.separates:
        return f"{text} (unclear)"
    return f"{text} ({'better' if (gain.mean < 0) == lower else 'worse'})"


def path_number_figure(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style], n: int, seed: int
) -> Figure | None:
    """Draw two views of one ablation: settings with equally many paths, and settings of equal price."""
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
