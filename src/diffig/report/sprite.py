"""Many thumbnails in one picture, which a page shows piece by piece."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffig.evaluation.thumbnails import LEVELS, UNKNOWN

BLOCK = 8  # of JPEG: places are multiples of it, so that none bleeds into another
STEPS = 15  # shades of each colour: fewer bytes, and more than an eye tells apart on a thumbnail
BROKEN, ABSENT = 2 * STEPS + 1, 2 * STEPS + 2  # colours of what is not finite (grey) and of no thumbnail (nothing)


def image_sprite(images: list[NDArray[Any]]) -> str:
    """Return the data address of images `(h, w, C)`: grey ones as PNG, others as JPEG or PNG, whichever is smaller."""
    from PIL import Image

    if any(image.shape[2] == 3 for image in images):
        images = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in images]
    grid = _grid(np.stack(images))
    picture = Image.fromarray(grid.squeeze(-1) if grid.shape[2] == 1 else grid)
    found = [("png", _encoded(picture, format="PNG", optimize=True))]
    if picture.mode == "RGB":
        found.append(("jpeg", _encoded(picture, format="JPEG", quality=85, subsampling=0, optimize=True)))
    kind, data = min(found, key=lambda each: len(each[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def map_sprite(maps: list[NDArray[Any]]) -> str:
    """Return the data address of maps of `map_cell`: the gallery's colours, red for and blue against, as a PNG."""
    from matplotlib import colormaps
    from PIL import Image

    picture = Image.fromarray(_grid(np.stack(maps)[..., None]).squeeze(-1), mode="P")
    shades = colormaps["RdBu_r"](np.linspace(0, 1, 2 * STEPS + 1), bytes=True)[:, :3]
    picture.putpalette(shades.tobytes() + bytes([150, 150, 150, 0, 0, 0]))
    data = _encoded(picture, format="PNG", optimize=True, transparency=ABSENT)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def map_cell(shown: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the palette's numbers of a thumbnail's map `(h, w)`, transparent where there is none."""
    if shown is None:
        return np.full(shape, ABSENT, np.uint8)
    steps = np.rint(shown.astype(float) / LEVELS * STEPS) + STEPS
    return fitted(np.where(shown == UNKNOWN, BROKEN, steps).astype(np.uint8), shape)


def fitted(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a thumbnail `(h, w, ...)` in another size, of the nearest pixels; runs may have kept different ones."""
    if image.shape[:2] == tuple(shape):
        return image
    rows, columns = (np.arange(new) * old // new for new, old in zip(shape, image.shape, strict=False))
    fitted: NDArray[Any] = image[rows][:, columns]
    return fitted


def _grid(cells: NDArray[Any]) -> NDArray[Any]:
    """`(N, h, w, C)` side by side, in rows."""
    n, height, width, channels = cells.shape
    high, wide = pitch_of((height, width))
    columns = columns_of(n)
    rows = math.ceil(n / columns)
    padded = np.pad(cells, ((0, 0), (0, high - height), (0, wide - width), (0, 0)), mode="edge")
    padded = np.concatenate([padded, np.zeros((rows * columns - n, *padded.shape[1:]), padded.dtype)])
    grid = padded.reshape(rows, columns, high, wide, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * high, columns * wide, channels)


def columns_of(n: int) -> int:
    """Return how many of `n` thumbnails stand side by side."""
    return math.ceil(math.sqrt(n))


def pitch_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width from one thumbnail to the next."""
    return -(-shape[0] // BLOCK) * BLOCK, -(-shape[1] // BLOCK) * BLOCK


def _encoded(picture: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, **options)
    return out.getvalue()
