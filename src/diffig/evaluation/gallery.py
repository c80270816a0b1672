"""A picture of images beside their attributions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from diffig.io import write_figure


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
    write_figure(path, figure, bbox_inches="tight")
    plt.close(figure)
