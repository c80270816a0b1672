"""Figures of images and their heat maps; what was clipped or hidden is said below them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from diffig.checks import check_choice
from diffig.notebook.images import read_images

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

Sign = Literal["signed", "absolute", "positive"]


class Shown(Figure):
    """A figure that a notebook shows, once, whatever backend it uses."""

    def _repr_png_(self) -> bytes:
        page = io.BytesIO()
        self.savefig(page, format="png")
        return page.getvalue()


def plot(
    image: Any,
    heatmap: Any,
    *,
    sign: Sign = "signed",
    overlay: float = 0.0,
    clip: float = 0.01,
    title: str | None = None,
) -> Figure:
    """Return a figure with the image and its heat map side by side.

    Args:
        image: one image of any kind that `attribute` takes; where that resizes it, `explain.picture(image)`.
        heatmap: its attributions, in the same layout.
        sign: `signed` shows what speaks for and against, `absolute` how much, `positive` only what speaks for.
        overlay: how much of the image shines through the map, 0 to 1.
        clip: share of the pixels, those with the largest values, that the scale of colours does not follow.
        title: of the map.
    """
    return compare(image, {title or "attribution": heatmap}, sign=sign, overlay=overlay, clip=clip)


def compare(
    image: Any,
    heatmaps: Mapping[str, Any],
    *,
    sign: Sign = "signed",
    overlay: float = 0.0,
    clip: float = 0.01,
    shared: bool = True,
) -> Figure:
    """Return a figure with the image and several heat maps of it.

    Args:
        image, sign, overlay, clip: as in `plot`.
        heatmaps: attributions by title.
        shared: one scale of colours for all; otherwise each map has its own, for methods in different units.

    Raises:
        ValueError: no map, one of another size than the image, or a number outside its range.
    """
    _check(heatmaps, sign, overlay, clip)
    pixels = read_images(image).batch
    if len(pixels) != 1:
        raise ValueError(f"image holds {len(pixels)} images; plot them one at a time")
    maps = {name: _map(name, given, pixels, sign) for name, given in heatmaps.items()}
    tops = {name: top_of([shown], clip) for name, shown in maps.items()}
    if shared:
        tops = dict.fromkeys(maps, top_of(list(maps.values()), clip))
    figure = Shown(figsize=(3 * (1 + len(maps)) + 0.6, 3.5), layout="constrained")
    axes = figure.subplots(1, 1 + len(maps), squeeze=False)[0]
    picture = pixels[0].permute(1, 2, 0).cpu().numpy()
    axes[0].imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("image", fontsize=9)
    drawn = []
    for axis, (name, shown) in zip(axes[1:], maps.items(), strict=True):
        drawn.append(_draw(axis, picture, shown, tops[name], sign, overlay))
        axis.set_title(name, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    for mappable, axis in zip(drawn[-1:], [axes[1:]], strict=True) if shared else zip(drawn, axes[1:], strict=True):
        figure.colorbar(mappable, ax=axis, shrink=0.7, format="%.2g").ax.tick_params(labelsize=7)
    beyond = [float((shown.abs() > tops[name]).float().mean()) for name, shown in maps.items()]
    words = [caption(sign, shared and len(maps) > 1, max(beyond), overlay)]
    blank = max(float((~shown.isfinite()).float().mean()) for shown in maps.values())
    if blank:
        words.append(f"{100 * blank:.2g} % of pixels are no number (NaN or infinite), and blank")
    figure.supxlabel("; ".join(words), fontsize=7)
    return figure


def top_of(maps: list[Tensor], clip: float) -> float:
    """Return the end of the scale of colours: all but a share `clip` of the values lie within it."""
    values = torch.cat([shown.flatten() for shown in maps]).abs().nan_to_num()
    rank = max(1, round((1 - clip) * len(values)))
    return float(values.kthvalue(rank).values) or float(values.max()) or 1.0


def caption(sign: Sign, shared: bool, beyond: float, overlay: float) -> str:
    """Return what a reader must know to read the colours."""
    words = {
        "signed": "red speaks for the class, blue against it",
        "absolute": "magnitude, the sign is not shown",
        "positive": "only what speaks for the class",
    }
    parts = ["channels summed", words[sign], *(["one scale of colours for all maps"] if shared else [])]
    if beyond:
        parts.append(f"the colours end before the largest {100 * beyond:.2g} % of pixels")
    return "; ".join([*parts, *(["over the image in grey"] if overlay else [])])


def _draw(axis: Axes, picture: np.ndarray, shown: Tensor, top: float, sign: Sign, overlay: float) -> Any:
    if overlay:
        axis.imshow(picture.mean(2), cmap="gray", vmin=0, vmax=1)
    colours, low = ("RdBu_r", -top) if sign == "signed" else ("inferno", 0.0)
    return axis.imshow(shown.numpy(), cmap=colours, vmin=low, vmax=top, alpha=1 - overlay)


def _map(name: str, given: Any, pixels: Tensor, sign: Sign) -> Tensor:
    """One map `(H, W)`: channels summed, then its sign taken away where that is asked for."""
    values = torch.as_tensor(given).detach().float().cpu()
    values = values[0] if values.ndim == 4 and len(values) == 1 else values
    if values.ndim == 3:
        values = values.sum(-1) if values.shape[-1] in (1, 3) and values.shape[0] not in (1, 3) else values.sum(0)
    if values.shape != pixels.shape[2:]:
        raise ValueError(
            f"map {name!r} has shape {tuple(torch.as_tensor(given).shape)}, the image {tuple(pixels.shape[2:])} pixels;"
            " give the image as it was explained, explain.picture(image), and the map of one image"
        )
    return {"signed": values, "absolute": values.abs(), "positive": values.clamp(min=0)}[sign]


def _check(heatmaps: Mapping[str, Any], sign: Sign, overlay: float, clip: float) -> None:
    check_choice(sign, Sign, "sign")
    if not heatmaps:
        raise ValueError("there is no map to show; give {name: attributions}")
    for name, value in (("overlay", overlay), ("clip", clip)):
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must be at least 0 and less than 1")
