"""Films: images on the left, curves that grow on the right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from diffig.io import whole, write_figure
from diffig.report.figures.canvas import INK, LINE, MUTED, SERIES

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Track(NamedTuple):
    """Images `(K, C, H, W)` in [0, 1] that come one after the other, and a number `(K,)` for each."""

    title: str
    images: Tensor
    values: Tensor


def pixels_of(image: Tensor) -> np.ndarray:
    """Return an image `(C, H, W)` as matplotlib shows it: `(H, W)` or `(H, W, 3)` in [0, 1]."""
    shown: np.ndarray = image.detach().float().cpu().clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy()
    return shown


def save_film(file: Path, tracks: list[Track], x: Tensor, axis: str, title: str, seconds: float = 4.0) -> None:
    """Write an animated GIF: one picture for each track, and all their curves with a mark that travels along.

    Args:
        file: of the GIF; it plays over and over.
        tracks: as many images in each as `x` has places.
        x: `(K,)` places on the common axis.
        axis: its label.
        title: what stands above.
        seconds: length of the film; the last frame stays for one second more.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    count, places = len(tracks), x.tolist()
    figure = Figure(figsize=(2.3 * count + 3.4, 2.6), dpi=90)  # of no backend, for a notebook has its own
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, count + 1, width_ratios=[1] * count + [1.5])
    pictures = []
    for place, track in enumerate(tracks):
        pictures.append(axes[place].imshow(pixels_of(track.images[0]), cmap="gray", vmin=0, vmax=1))
        axes[place].set_title(track.title, fontsize=8)
        axes[place].set_axis_off()
    marks = []
    for number, track in enumerate(tracks):
        colour = SERIES[number % len(SERIES)]
        axes[-1].plot(places, track.values.tolist(), color=colour, lw=1.5, label=track.title)
        marks.append(axes[-1].plot(places[:1], track.values.tolist()[:1], "o", color=colour, ms=7, mec="white")[0])
    _dress(axes[-1], axis)
    if count > 1:
        axes[-1].legend(fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    frames: list[Picture] = []
    for step, place in enumerate(places):
        for track, picture, mark in zip(tracks, pictures, marks, strict=True):
            picture.set_data(pixels_of(track.images[step]))
            mark.set_data([place], [float(track.values[step])])
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    frames = _in_few_colours(frames)
    lasting = [round(1000 * seconds / len(frames))] * (len(frames) - 1) + [1000]
    with whole(file) as partial:
        frames[0].save(partial, "GIF", save_all=True, append_images=frames[1:], duration=lasting, loop=0, optimize=True)


def _in_few_colours(frames: list[Picture], colours: int = 128) -> list[Picture]:
    """The frames in one palette, without grain, so that what stands still costs nothing."""
    from PIL import Image

    width, height = frames[0].size
    sheet = Image.new("RGB", (width, 3 * height))
    for row, frame in enumerate((frames[0], frames[len(frames) // 2], frames[-1])):
        sheet.paste(frame, (0, row * height))
    palette = sheet.quantize(colours)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def save_strip(file: Path, tracks: list[Track], x: Tensor, axis: str, title: str, shown: int = 8) -> None:
    """Write a PNG: `shown` images of each track in a row, and the curves below; what a film says on paper."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    steps = np.unique(np.linspace(0, len(x) - 1, min(shown, len(x))).round().astype(int))
    rows = len(tracks)
    figure = plt.figure(figsize=(1.35 * len(steps) + 0.6, 1.55 * rows + 2.1), layout="constrained")
    grid = figure.add_gridspec(rows + 1, len(steps), height_ratios=[1.4] * rows + [1.6])
    for row, track in enumerate(tracks):
        for column, step in enumerate(steps):
            cell = figure.add_subplot(grid[row, column])
            cell.imshow(pixels_of(track.images[step]), cmap="gray", vmin=0, vmax=1)
            cell.set_xticks([])
            cell.set_yticks([])
            cell.set_title(f"{float(x[step]):.2g}: {float(track.values[step]):.2f}", fontsize=7, color=MUTED)
            if column == 0:
                cell.set_ylabel(track.title, fontsize=8)
    curve = figure.add_subplot(grid[rows, :])
    for number, track in enumerate(tracks):
        colour = SERIES[number % len(SERIES)]
        curve.plot(x.tolist(), track.values.tolist(), color=colour, lw=1.5, label=track.title)
        curve.plot(x[steps].tolist(), track.values[steps].tolist(), "o", color=colour, ms=4)
    _dress(curve, axis)
    if rows > 1:
        curve.legend(fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=9)
    write_figure(file, figure)
    plt.close(figure)


def _dress(axes: object, axis: str) -> None:
    axes.set_xlabel(axis, fontsize=8, color=MUTED)  # type: ignore[attr-defined]
    axes.tick_params(labelsize=7, colors=INK)  # type: ignore[attr-defined]
    axes.grid(True, color=LINE, lw=0.6)  # type: ignore[attr-defined]
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)  # type: ignore[attr-defined]
