"""Figures of a comparison, each with a caption that says in words what it shows.

Every figure is as wide as a phone, in two neutral colours and one colour per method; inside HTML these colours become
CSS variables, so that one drawing serves light and dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffig.evaluation.statistics import paired_difference
from diffig.evaluation.tables import SETTING, count, estimate, guidance_columns, image_table, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 4.9  # inches: about 350 points, the width of a phone

# CSS variable -> colour on white. Okabe & Ito (2008) without its yellow, then two of Tol's (2021) muted colours.
NEUTRAL = {"--ink": "#1c1f24", "--muted": "#636973", "--line": "#dfe1e4", "--paper": "#fefefe"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933")
MARKERS = "osD^vPX*"
INK, MUTED, LINE, PAPER = NEUTRAL.values()


class Figure(NamedTuple):
    """One drawing: ``svg`` for HTML (colours are CSS variables), ``pdf()`` for papers."""

    name: str
    title: str
    caption: str
    svg: str
    canvas: Canvas

    def pdf(self) -> bytes:
        """The drawing as a PDF file, in the colours of a white page."""
        file = io.BytesIO()
        self.canvas.savefig(file, format="pdf", metadata={"CreationDate": None})
        return file.getvalue()


class Style(NamedTuple):
    """How a method is drawn; ``number`` is that of its CSS variable ``--c<number>``."""

    colour: str
    marker: str
    number: int


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """One style per method, the same in every figure; from the ninth method on the marker tells colours apart."""
    ordered = sorted(set(methods), key=lambda name: (not name.startswith("diffig"), name))
    return {
        name: Style(SERIES[i % len(SERIES)], MARKERS[(i + i // len(SERIES)) % len(MARKERS)], i % len(SERIES))
        for i, name in enumerate(ordered)
    }


def shortlist(table: pd.DataFrame, reference: str, most: int = 14) -> pd.DataFrame:
    """The best setting of every method, the reference, and the best others, in the order of the table."""
    first = ~table["method"].duplicated() | (table["setting"] == reference)
    others = table[~first].head(max(0, most - int(first.sum())))
    return table[first | table["setting"].isin(others["setting"])]


def ranked_figure(
    table: pd.DataFrame, pairs: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]
) -> Figure:
    """Means with their intervals, best first; the band is the interval of the reference."""
    shown = shortlist(table, reference)
    with _canvas(height=0.42 * len(shown) + 0.75) as (canvas, axes):
        anchor = table[table["setting"] == reference].iloc[0]
        axes.axvspan(anchor["low"], anchor["high"], color=LINE, alpha=0.6, lw=0)
        _lines(axes, shown, look, lambda row: estimate(row["mean"], row["low"], row["high"]), reference)
        for y, (_, row) in enumerate(shown.iterrows()):
            style = look[row["method"]]
            axes.plot([row["low"], row["high"]], [y, y], color=style.colour, lw=2.2, solid_capstyle="round")
            axes.plot(row["mean"], y, style.marker, color=style.colour, ms=6.5, mec=PAPER, mew=0.8)
        axes.set_xlabel(f"{metric}  ({'lower' if lower_is_better(metric) else 'higher'} is better)")
        best, caption = shown.iloc[0], ""
        values = f"{best['setting']} ({estimate(best['mean'], best['low'], best['high'])})"
        if best["setting"] == reference:
            caption = f"{values} is the reference and ranks first; nothing else scores better."
        else:
            pair = pairs[pairs["setting"] == best["setting"]].iloc[0]
            caption = f"{values} {against(pair, reference)}."
        hidden = len(table) - len(shown)
        caption += f" Bars are 95 % intervals over images; the band is that of {reference}."
        caption += f" {hidden} lower settings are only in the table." if hidden else ""
        return _finish(canvas, "ranked", f"Ranking by {metric}", caption)


def against(pair: pd.Series, reference: str) -> str:
    """A finding in words: ``is above ig by .060 [.031, .090]``, or that the data cannot tell."""
    side = "above" if pair["difference"] > 0 else "below"
    sure = "is" if pair["verdict"] != "unclear" else "lies"
    ends = sorted([abs(pair["low"]), abs(pair["high"])]) if pair["low"] * pair["high"] > 0 else None
    if ends is None:
        span = estimate(pair["difference"], pair["low"], pair["high"], signed=True)
        return f"cannot be told from {reference}: the difference {span} includes 0"
    text = f"{sure} {side} {reference} by {estimate(abs(pair['difference']), *ends)}"
    return text + ("" if pair["verdict"] != "unclear" else ", which does not survive Holm's correction")


def curves_figure(curves: pd.DataFrame, best: pd.DataFrame, metric: str, look: dict[str, Style]) -> Figure | None:
    """Mean curves over images with 95 % bands: those behind the headline metric first, then insertion and deletion."""
    chosen = curves[curves["setting"].isin(best["setting"])].dropna(subset=["value"])
    first = [f"{metric}_insertion", f"{metric}_deletion", "insertion", "deletion"]
    present = sorted(chosen["curve"].unique())
    kinds = [kind for kind in first if kind in present] or present[:4]
    if not kinds:
        return None
    areas: dict[str, dict[str, float]] = {}
    with _canvas(height=2.25 * len(kinds) + 0.2 * len(best) + 0.1, rows=len(kinds)) as (canvas, grid):
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
        return _finish(canvas, "curves", "Curves", caption)


def guidance_figure(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]
) -> Figure | None:
    """The metric against the strength of each energy that was swept, other keys held fixed."""
    strengths = guidance_columns(rows)
    keys = [*SETTING, *strengths]
    points = rows.drop_duplicates("setting")[[*keys, "setting"]].merge(table[["setting", "mean", "low", "high"]])
    sweeps = []
    for energy in strengths:
        for _, line in points.groupby([k for k in keys if k != energy], dropna=False, sort=False):
            if len(line) >= 2:
                sweeps.append((energy, line.sort_values(energy)))
    # a line where another energy is on as well belongs to a grid, of which only the axes are drawn when they exist
    alone = [(e, line) for e, line in sweeps if (line[[s for s in strengths if s != e]] == 0).all(axis=None)]
    sweeps = alone or sweeps
    energies = list(dict.fromkeys(energy for energy, _ in sweeps))[:4]
    if not energies:
        return None
    anchor = table[table["setting"] == reference].iloc[0]
    said = []
    with _canvas(height=2.3 * len(energies) + 0.3, rows=len(energies), sharey=True) as (canvas, grid):
        for axes, energy in zip(np.atleast_1d(np.asarray(grid, dtype=object)), energies, strict=True):
            lines = [line for name, line in sweeps if name == energy]
            ticks = sorted({value for line in lines for value in line[energy]})
            place = {value: i for i, value in enumerate(ticks)}
            axes.axhspan(anchor["low"], anchor["high"], color=LINE, alpha=0.5, lw=0)
            axes.plot([0, len(ticks) - 1], [anchor["mean"]] * 2, color=MUTED, lw=1, ls=(0, (4, 3)))
            ends: list[tuple[float, float, str, str]] = []
            for line, dash in zip(lines, _dashes(len(lines)), strict=True):
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
            _end_labels(axes, ends)
            axes.set_xlabel(f"strength of {energy.removeprefix('guidance.')}")
            axes.set_ylabel(metric)
            said.append(_sweep_in_words(rows, lines, energy, metric))
        caption = " ".join(said) + f" Dotted: the same path unguided. Dashed: {reference}. Bands: 95 % over images."
        return _finish(canvas, "guidance", "Strength of the guidance", caption)


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


def cost_figure(table: pd.DataFrame, metric: str, reference: str, look: dict[str, Style]) -> Figure | None:
    """Every setting by its backward images and its score; the line joins those that no cheaper setting beats."""
    shown = table.dropna(subset=["mean", "backward_images"])
    if shown.empty:
        return None
    lower = lower_is_better(metric)
    front = pareto(shown["backward_images"].to_numpy(), shown["mean"].to_numpy() * (-1 if lower else 1))
    best = shown.iloc[sorted(front)].sort_values("backward_images")
    with _canvas(height=3.5) as (canvas, axes):
        axes.plot(best["backward_images"], best["mean"], drawstyle="steps-post", color=MUTED, lw=1.2, zorder=1)
        for _, row in shown.iterrows():
            style, on_front = look[row["method"]], row["setting"] in set(best["setting"])
            x = row["backward_images"]
            axes.plot([x, x], [row["low"], row["high"]], color=style.colour, lw=1, alpha=0.25, zorder=1)
            axes.plot(x, row["mean"], style.marker, color=style.colour, ms=7 if on_front else 4.5, mec=PAPER, mew=0.7)
        few = shown["backward_images"].min() <= 0
        axes.set_xscale("symlog", linthresh=1) if few else axes.set_xscale("log")
        low, high = shown["backward_images"].min(), shown["backward_images"].max()
        axes.set_xlim(-0.3 if few else low / 1.6, max(high, 1) * 4)
        _count_ticks(axes, low, high)
        axes.set_xlabel("backward images per explained image")
        axes.set_ylabel(metric)
        firsts = shown[~shown["method"].duplicated()]
        full = [shown["setting"].iloc[0], reference, *best["setting"][best["method"].duplicated(keep="last")]]
        named = shown[shown["setting"].isin([*full, *firsts["setting"]])]
        texts = [row["setting"] if row["setting"] in full else row["method"] for _, row in named.iterrows()]
        spots = list(zip(named["backward_images"], named["mean"], texts, strict=True))
        steps = list(zip(best["backward_images"], best["mean"], strict=True))
        _point_labels(canvas, axes, shown, steps, spots)
        top, cheap = shown.iloc[0], best.iloc[0]
        caption = f"{top['setting']} scores best at {count(top['backward_images'])} backward images per image"
        if cheap["setting"] != top["setting"]:
            caption += f"; the cheapest setting on the front is {cheap['setting']}"
            caption += f" ({count(cheap['backward_images'])} for {number(cheap['mean'])})"
        caption += f". The line joins the {len(best)} settings that no cheaper setting beats; bars are 95 % intervals."
        return _finish(canvas, "cost", "Quality for its price", caption)


def pareto(cost: np.ndarray, quality: np.ndarray) -> set[int]:
    """Positions that no other beats at equal or lower cost; of equals, the first."""
    front: set[int] = set()
    best = -np.inf
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -quality[i])):
        if quality[i] > best:
            front.add(i)
            best = quality[i]
    return front


def gap_figure(rows: pd.DataFrame, best: pd.DataFrame, look: dict[str, Style]) -> Figure | None:
    """Size of the completeness gap per image: median, middle half and middle 90 %, log axis."""
    spread = []
    for _, setting in best.iterrows():
        own = rows[rows["setting"] == setting["setting"]].drop_duplicates(["image_index", "seed"])
        gaps = own["gap"].abs().to_numpy(dtype=float)
        gaps = gaps[np.isfinite(gaps)]
        if len(gaps):
            quantiles = np.maximum(np.quantile(gaps, [0.05, 0.25, 0.5, 0.75, 0.95]), 1e-8)
            spread.append((setting, quantiles))
    if not spread:
        return None
    spread.sort(key=lambda pair: pair[1][2])
    import pandas as pd
    from matplotlib.ticker import FuncFormatter, NullLocator

    shown = pd.DataFrame([{**s, "median_gap": q[2]} for s, q in spread])
    with _canvas(height=0.42 * len(shown) + 0.75) as (canvas, axes):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        _lines(axes, shown, look, lambda row: number(row["median_gap"]))
        for y, (setting, q) in enumerate(spread):
            style = look[setting["method"]]
            axes.plot(q[[0, 4]], [y, y], color=style.colour, lw=1.1, alpha=0.7)
            axes.plot(q[[1, 3]], [y, y], color=style.colour, lw=4, solid_capstyle="butt", alpha=0.45)
            axes.plot(q[2], y, style.marker, color=style.colour, ms=6.5, mec=PAPER, mew=0.8)
        axes.set_xlabel("|sum of attribution \N{MINUS SIGN} change of score|  (lower is better)")
        (low, low_q), (high, high_q) = spread[0], spread[-1]
        caption = f"{low['setting']} has the smallest gap (median {number(low_q[2])})"
        if len(spread) > 1:
            caption += f", {high['setting']} the largest (median {number(high_q[2])})"
        caption += ". Mark: median; thick: middle half of the images; thin: middle 90 %. Best setting of each method."
        return _finish(canvas, "gap", "Completeness gap", caption)


@contextmanager
def _canvas(height: float, rows: int = 1, columns: int = 1, sharey: bool = False) -> Iterator[tuple[Canvas, Any]]:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    plain: Any = {
        **{"font.size": 9, "svg.fonttype": "none", "text.parse_math": False, "legend.frameon": False},
        **{"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": LINE, "axes.labelcolor": MUTED},
        **{"xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED},
        **{"text.color": INK, "axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True},
        **{"axes.facecolor": "none", "figure.facecolor": "none", "axes.unicode_minus": True, "legend.fontsize": 8.5},
    }
    with matplotlib.rc_context(plain):
        canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas, canvas.subplots(rows, columns, sharey=sharey)


def _lines(axes: Axes, shown: pd.DataFrame, look: dict[str, Style], value: Any, reference: str | None = None) -> None:
    """One line per setting: its name above the mark at the left edge, its value at the right edge."""
    axes.set_ylim(len(shown) - 0.55, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    edge = axes.get_yaxis_transform()
    for y, (_, row) in enumerate(shown.iterrows()):
        name = f"{row['setting']}  (reference)" if row["setting"] == reference else row["setting"]
        weight = "bold" if y == 0 else "normal"
        axes.text(0, y - 0.42, name, transform=edge, va="center", fontsize=8.5, fontweight=weight)
        axes.text(1, y - 0.42, value(row), transform=edge, va="center", ha="right", fontsize=8.5, color=MUTED)


def _dashes(n: int) -> list[Any]:
    return [["-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2))][i % 4] for i in range(n)]


def _count_ticks(axes: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    every = [m * 10**e for e in range(7) for m in (1, 2, 5)]
    inside = [tick for tick in every if max(low, 1) / 1.6 <= tick <= high * 2.2]
    axes.xaxis.set_major_locator(FixedLocator(([0] if low <= 0 else []) + inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _end_labels(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names at the right end of their lines, pushed apart so that none covers another."""
    low, high = axes.get_ylim()
    step = (high - low) * 0.085
    ends = sorted(ends, key=lambda end: end[1])
    heights = [end[1] for end in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + step)
    overshoot = max(0.0, heights[-1] - high)
    right = max(end[0] for end in ends)
    for (_, _, name, colour), height in zip(ends, heights, strict=True):
        text = axes.text(right + 0.12, height - overshoot, name, va="center", fontsize=8.5, color=colour)
        text.set_in_layout(False)


def _point_labels(
    canvas: Canvas,
    axes: Axes,
    every: pd.DataFrame,
    front: list[tuple[float, float]],
    named: list[tuple[float, float, str]],
) -> None:
    """Names beside their points, at the place that hides the fewest points, other names and pieces of the front."""
    canvas.draw_without_rendering()
    renderer = canvas.canvas.get_renderer()  # type: ignore[attr-defined]
    corners = [(x, y) for (x, _), (_, y) in zip(front[1:], front[:-1], strict=True)]
    line = sorted({*front, *corners})
    obstacles = axes.transData.transform([*every[["backward_images", "mean"]].to_numpy(dtype=float)])
    bends = axes.transData.transform(np.array(line, dtype=float))
    along = [bends[:-1] + (bends[1:] - bends[:-1]) * share for share in np.linspace(0, 1, 24)]
    points = np.concatenate([obstacles, *along])
    frame = axes.get_window_extent(renderer)
    taken: list[Any] = []
    places = [(-5, 8, "right"), (5, 8, "left"), (0, 11, "center"), (-8, 0, "right"), (8, 0, "left"), (5, -9, "left")]
    places += [(-5, -9, "right"), (-8, 16, "right"), (8, 16, "left"), (8, -18, "left"), (-8, -18, "right")]
    for x, y, name in named:
        options = []
        for dx, dy, side in places:
            text = axes.annotate(
                _wrapped(name), (x, y), (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=8
            )
            text.set_bbox({"facecolor": PAPER, "alpha": 0.75, "linewidth": 0, "pad": 0.6})
            text.set_in_layout(False)
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            hits = sum(box.x0 - 3 < px < box.x1 + 3 and box.y0 - 3 < py < box.y1 + 3 for px, py in points)
            hits += 3 * sum(box.overlaps(other) for other in taken) + (0 if inside else 5)
            options.append((hits, text, box))
            if hits == 0:
                break
        chosen = min(range(len(options)), key=lambda i: options[i][0])
        for i, (_, text, box) in enumerate(options):
            if i == chosen:
                taken.append(box)
            else:
                text.remove()


def _wrapped(name: str) -> str:
    method, _, rest = name.partition(" ")
    return f"{method}\n{rest}" if len(name) > 18 and rest else name


def _finish(canvas: Canvas, name: str, title: str, caption: str) -> Figure:
    import matplotlib

    svg = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        canvas.savefig(svg, format="svg", metadata={"Date": None})
    return Figure(name, title, caption, themed(svg.getvalue(), name, title), canvas)


def themed(svg: str, name: str, title: str) -> str:
    """The drawing without its XML head, colours as CSS variables, fonts those of the page, identifiers made unique."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for variable, colour in [*NEUTRAL.items(), *((f"--c{i}", colour) for i, colour in enumerate(SERIES))]:
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"(font: [^;\"]*?px )'[^;\"]*", r"\1var(--sans)", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(
        r'<svg (.*?)width="[^"]*"', rf'<svg role="img" aria-label="{label}" \1', svg, count=1, flags=re.DOTALL
    )
