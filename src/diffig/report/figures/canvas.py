"""Canvas and style of all figures, and what a finished figure is.

Every figure is as wide as a phone, in two neutral colours and one colour per method; inside HTML these colours become
CSS variables, so that one drawing serves light and dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

WIDTH = 4.9  # inches: about 350 points, the width of a phone

# CSS variable -> colour on white. Okabe & Ito (2008) without its yellow, then two of Tol's (2021) muted colours.
NEUTRAL = {"--ink": "#1c1f24", "--muted": "#636973", "--line": "#dfe1e4", "--paper": "#fefefe"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933")
MARKERS = "osD^vPX*"
INK, MUTED, LINE, PAPER = NEUTRAL.values()


class Figure(NamedTuple):
    """One drawing: `svg` for HTML (colours are CSS variables), `pdf()` for papers, `png()` for dashboards."""

    name: str
    title: str
    caption: str
    svg: str
    canvas: Canvas

    def png(self) -> bytes:
        """Return the drawing as a PNG file on white."""
        file = io.BytesIO()
        self.canvas.savefig(file, format="png", dpi=160, facecolor="white", metadata={"Software": None})
        return file.getvalue()

    def pdf(self) -> bytes:
        """Return the drawing as a PDF file, in the colours of a white page."""
        file = io.BytesIO()
        self.canvas.savefig(file, format="pdf", metadata={"CreationDate": None})
        return file.getvalue()


class Style(NamedTuple):
    """How a method is drawn; `number` is that of its CSS variable `--c<number>`."""

    colour: str
    marker: str
    number: int


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Return a style for each method, the same in every figure; from the ninth on the marker tells colours apart."""
    ordered = sorted(set(methods), key=lambda name: (not name.startswith("diffig"), name))
    return {
        name: Style(SERIES[i % len(SERIES)], MARKERS[(i + i // len(SERIES)) % len(MARKERS)], i % len(SERIES))
        for i, name in enumerate(ordered)
    }


@contextmanager
def drawing(height: float, rows: int = 1, columns: int = 1, sharey: bool = False) -> Iterator[tuple[Canvas, Any]]:
    """Yield a canvas in the page's style and its axes; `height` in inches."""
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


def finish(canvas: Canvas, name: str, title: str, caption: str) -> Figure:
    """Return the canvas as a figure of the page, with its drawing as SVG text."""
    import matplotlib

    svg = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        canvas.savefig(svg, format="svg", metadata={"Date": None})
    return Figure(name, title, caption, themed(svg.getvalue(), name, title), canvas)


def themed(svg: str, name: str, title: str) -> str:
    """Return the drawing for a page: no XML head, colours as CSS variables, the page's fonts, unique identifiers."""
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
