"""A picture of images beside their attributions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def heat(attributions: Tensor) -> Tensor:
    """Return signed maps `(B, H, W)` in [-1, 1]: channels summed, scaled by the 99th percentile of each image."""
    maps = attributions.float().sum(1)
    flat = maps.abs().flatten(1)
    rank = max(1, round(0.99 * flat.shape[1]))
    scale = flat.nan_to_num().kthvalue(rank, 1).values[:, None, None]
    return torch.where(scale > 0, maps / torch.where(scale > 0, scale, 1), 0).clamp(-1, 1)


def save_gallery(path: str | Path, images: Tensor, columns: dict[str, Tensor], names: Sequence[str]) -> None:
    """Write a PNG: one row for each image, the image first, then each column's attribution.

    Args:
        path: of the PNG.
        images: `(B, C, H, W)` in [0, 1].
        columns: attributions `(B, C, H, W)` by title.
        names: what stands beside each image.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows, width = len(images), 1 + len(columns)
    figure, axes = plt.subplots(rows, width, figsize=(1.7 * width + 0.8, 1.75 * rows + 0.5), squeeze=False)
    pixels = images.float().cpu().permute(0, 2, 3, 1)
    picture = None
    for row in range(rows):
        axes[row][0].imshow(pixels[row].squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        axes[row][0].set_ylabel(names[row], fontsize=8)
        for column, attributions in enumerate(columns.values(), start=1):
            shown = heat(attributions[row : row + 1])[0].cpu().numpy()
            picture = axes[row][column].imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        for side in axis.spines.values():
            side.set_visible(False)
    for axis, title in zip(axes[0], ["image", *columns], strict=True):
        axis.set_title(title, fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.94, 1))
    if picture is not None:
        bar = figure.colorbar(picture, cax=figure.add_axes((0.95, 0.3, 0.012, 0.4)), ticks=[-1, 0, 1])
        bar.ax.set_yticklabels(["against", "0", "for"], fontsize=7)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def save_explanation(path: str | Path, image: Tensor, attribution: Tensor, title: str) -> None:
    """Write a PNG of one image `(C, H, W)`, its signed map, its absolute map, and the absolute map laid over it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    signed = heat(attribution[None])[0].cpu().numpy()
    absolute = heat(attribution[None].abs())[0].cpu().numpy()
    pixels = image.float().cpu().permute(1, 2, 0).squeeze(-1).numpy()
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.1))
    axes[0].imshow(pixels, cmap="gray", vmin=0, vmax=1)
    bar = axes[1].imshow(signed, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[2].imshow(absolute, cmap="magma", vmin=0, vmax=1)
    grey = pixels.mean(-1) if pixels.ndim == 3 else pixels
    axes[3].imshow(0.35 * grey + 0.3, cmap="gray", vmin=0, vmax=1)
    axes[3].imshow(absolute, cmap="magma", vmin=0, vmax=1, alpha=0.25 + 0.7 * absolute)
    for axis, name in zip(axes, ("image", "for (red), against (blue)", "strength", "strength over image"), strict=True):
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    colours = figure.colorbar(bar, ax=axes[1], fraction=0.046, pad=0.03, ticks=[-1, 0, 1])
    colours.ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=140)
    plt.close(figure)
