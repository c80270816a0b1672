"""Where the spatial axes of a layer's output are: behind its channels, before them, or flattened into tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

Layout = Literal["auto", "channels_first", "channels_last", "tokens"]
Size = Sequence[int]
"""`(H, W)`."""
MOST_PREFIXES = 16
"""Tokens of no place, as a class token and registers are; what leaves more over is no grid."""


def layout_of(output: Tensor, size: Size) -> Layout | None:
    """Return the layout of a layer's output, None where it has no places in the image's proportions.

    Args:
        output: `(B, K, h, w)`, `(B, h, w, K)` or `(B, N, K)`.
        size: `(H, W)` of the images.
    """
    if output.ndim == 3:
        return "tokens" if output.shape[2] > 1 and grid_of(output.shape[1], size) else None
    if output.ndim != 4:
        return None
    _, first, second, last = output.shape
    if _alike((second, last), size) or not _alike((first, second), size):
        return "channels_first" if second * last > 1 else None
    return "channels_last" if first * second > 1 else None


def as_map(output: Tensor, layout: Layout, size: Size) -> Tensor | None:
    """Return a layer's output as `(B, K, h, w)`, None where it does not have this layout.

    Args:
        output: as in `layout_of`, or its gradient.
        layout: not `auto`.
        size: `(H, W)` of the images.
    """
    if layout == "tokens":
        grid = grid_of(output.shape[1], size) if output.ndim == 3 else None
        return output[:, -grid[0] * grid[1] :].mT.unflatten(2, grid) if grid else None
    if output.ndim != 4:
        return None
    return output if layout == "channels_first" else output.permute(0, 3, 1, 2)


def grid_of(tokens: int, size: Size) -> tuple[int, int] | None:
    """Return `(h, w)` of the largest grid in the images' proportions that a few other tokens leave, or None."""
    height, width = size
    grids = [(rows, round(rows * width / height)) for rows in range(1, tokens + 1)]
    fits = [(h, w) for h, w in grids if 1 < h * w <= tokens <= h * w + MOST_PREFIXES]
    return fits[-1] if fits else None


def _alike(sides: tuple[int, int], size: Size) -> bool:
    """Whether sides have the images' proportions, as far as rounding and unpadded convolutions leave them."""
    ratio = sides[0] * size[1] / (sides[1] * size[0])
    return ratio == 1 if size[0] == size[1] else 0.7 < ratio < 1.4
