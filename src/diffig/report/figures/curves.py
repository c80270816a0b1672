"""Mean curves of insertion and deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffig.report.figures.canvas import INK, PAPER, Figure, Style, drawing, finish
from diffig.report.wording import lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd


def curves_figure(curves: pd.DataFrame, best: pd.DataFrame, metric: str, look: dict[str, Style]) -> Figure | None:
    """Draw mean curves over images with 95 % bands: those of the headline metric first, then insertion and deletion."""
    chosen = curves[curves["setting"].isin(best["setting"])].dropna(subset=["value"])
    first = [f"{metric}_insertion", f"{metric}_deletion", "insertion", "deletion"]
    present = sorted(chosen["curve"].unique())
    kinds = [kind for kind in first if kind in present] or present[:4]
    if not kinds:
        return None
    areas: dict[str, dict[str, float]] = {}
    with drawing(height=2.25 * len(kinds) + 0.2 * len(best) + 0.1, rows=len(kinds)) as (canvas, grid):
        panels = np.atleast_1d(np.asarray(grid, dtype=object))
        handles: dict[str, Any] = {}
        for axes, kind in zip(panels, kinds, strict=True):
            for _, setting in best[::-1].iterrows():
                own = chosen[(chosen["curve"] == kind) & (chosen["setting"] == setting["setting"])]
                if own.empty:
                    continue
                table = own.assign(x=own["x"].round(6)).pivot_table(index="image_index", columns="x", values="value")
                mean = table.mean()
                half = 1.96 * table.std(ddof=1) / np.sqrt(table.notna().sum())
                style, x = look[setting["method"]], mean.index.to_numpy(dtype=float)
                axes.fill_between(x, mean - half, mean + half, color=style.colour, alpha=0.1, lw=0)
                mark = {"marker": style.marker, "ms": 4.5, "mec": PAPER, "mew": 0.6, "markevery": max(1, len(x) // 5)}
                (handles[setting["setting"]],) = axes.plot(x, mean, color=style.colour, lw=1.7, **mark)
                area = float(np.trapezoid(mean, x) / max(x[-1] - x[0], 1e-12))
                areas.setdefault(kind, {})[setting["setting"]] = area
            axes.set_title(kind, loc="left", fontsize=9.5, color=INK, fontweight="bold")
            axes.set_ylabel("score")
        panels[-1].set_xlabel("share of the image")
        named = [setting for setting in best["setting"] if setting in handles]
        # columns are as wide as their longest name: take fewer when names are long
        columns = 1 if max(map(len, named)) > 30 else 2 if max(map(len, named)) > 16 else 3
        canvas.legend(
            [handles[setting] for setting in named], named, loc="outside lower left", ncols=columns, handlelength=1.8
        )
        said = []
        for kind, by_setting in areas.items():
            choose = min if lower_is_better(kind) else max
            name = choose(by_setting, key=lambda setting: by_setting[setting])
            word = "lowest" if lower_is_better(kind) else "highest"
            said.append(f"{name} has the {word} mean {kind} curve ({number(by_setting[name])})")
        caption = "; ".join(said) + ". Best setting of each method; bands are 95 % intervals over images."
        return finish(canvas, "curves", "Curves", caption)
