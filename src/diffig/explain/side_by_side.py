"""Maps of several methods beside each other, on one scale, with what the classifier thinks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from diffig.evaluation.gallery import heat
from diffig.explain.film import pixels_of
from diffig.io import write_figure
from diffig.report.figures.canvas import MUTED, SERIES

COLUMNS = ("for (red), against (blue)", "strength", "strength over image")


def save_side_by_side(
    file: Path, image: Tensor, maps: dict[str, Tensor], ranking: list[tuple[str, float]], target: str, title: str
) -> None:
    """Write a PNG: the image and its likeliest classes, then a row for each method: signed, absolute, over the image.

    Each map is scaled by its own 99th percentile, so that methods in different units can be compared by eye.

    Args:
        file: of the PNG.
        image: `(C, H, W)` in [0, 1].
        maps: attributions `(C, H, W)` by the method's name.
        ranking: the likeliest classes and their probabilities, best first.
        target: name of the class explained; its bar is coloured.
        title: what stands above.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = len(maps)
    figure = plt.figure(figsize=(10.2, 2.45 * rows + 0.6), layout="constrained")
    grid = figure.add_gridspec(rows, 4)
    left = grid[:, 0].subgridspec(2, 1) if rows > 1 else grid[0, 0].subgridspec(2, 1, height_ratios=[1.7, 1])
    pixels = pixels_of(image)
    picture = figure.add_subplot(left[0])
    picture.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    picture.set_title("image", fontsize=9)
    picture.set_axis_off()
    _classes(figure.add_subplot(left[1]), ranking, target)
    grey = pixels.mean(-1) if pixels.ndim == 3 else pixels
    bar, last = None, []
    for row, (name, attribution) in enumerate(maps.items()):
        signed = heat(attribution[None])[0].cpu().numpy()
        absolute = heat(attribution[None].abs())[0].cpu().numpy()
        cells = [figure.add_subplot(grid[row, column]) for column in (1, 2, 3)]
        bar = cells[0].imshow(signed, cmap="RdBu_r", vmin=-1, vmax=1)
        cells[1].imshow(absolute, cmap="magma", vmin=0, vmax=1)
        cells[2].imshow(0.35 * grey + 0.3, cmap="gray", vmin=0, vmax=1)
        cells[2].imshow(absolute, cmap="magma", vmin=0, vmax=1, alpha=np.clip(0.25 + 0.7 * absolute, 0, 1))
        cells[0].set_ylabel(name, fontsize=9)
        last.append(cells[2])
        for cell, column in zip(cells, COLUMNS, strict=True):
            cell.set_xticks([])
            cell.set_yticks([])
            cell.spines[:].set_visible(False)
            if row == 0:
                cell.set_title(column, fontsize=9)
    if bar is not None:
        colours = figure.colorbar(bar, ax=last, location="right", shrink=0.6, aspect=25, ticks=[-1, 0, 1])
        colours.ax.set_yticklabels(["against", "0", "for"], fontsize=7)
    figure.suptitle(title, fontsize=10)
    write_figure(file, figure, dpi=140)
    plt.close(figure)


def _classes(axes: object, ranking: list[tuple[str, float]], target: str) -> None:
    names, values = [name for name, _ in ranking], [value for _, value in ranking]
    colours = [SERIES[1] if name == target else MUTED for name in names]
    axes.barh(range(len(names)), values, color=colours, height=0.8, alpha=0.4)  # type: ignore[attr-defined]
    for place, (name, value) in enumerate(ranking):
        text = f"{name[:26]}  {value:.3f}"
        axes.text(0.01, place, text, fontsize=7.5, va="center")  # type: ignore[attr-defined]
    axes.set_xlim(0, 1)  # type: ignore[attr-defined]
    axes.set_ylim(len(names) - 0.4, -0.6)  # type: ignore[attr-defined]
    axes.set_axis_off()  # type: ignore[attr-defined]
