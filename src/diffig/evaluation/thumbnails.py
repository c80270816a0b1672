"""A small picture of every image and of its attribution, so that a report can show more than the few of the gallery.

Parts lie in `<output>/rows/` as `thumbnails-<first image>-<last image>-<rank>.safetensors`, written before the rows of
their batch; finished runs have `thumbnails.safetensors`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffig.io import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

FILE = "thumbnails.safetensors"
SMALLEST, LARGEST = 8, 96
LEVELS = 127  # a map is -127 (against) to 127 (for)
UNKNOWN = -128  # and this where it is not finite


class Thumbnails(NamedTuple):
    """What is kept of `N` images, in ascending order of their indices.

    Attributes:
        indices: `(N,)`, the images' indices in their dataset.
        images: uint8 `(N, h, w, C)`, C is 1 or 3.
        maps: int8 `(N, h, w)`, the scale of `gallery.heat` times 127; -128 where the attribution is not finite.
    """

    indices: NDArray[np.int64]
    images: NDArray[np.uint8]
    maps: NDArray[np.int8]


def shrink(images: Tensor, attributions: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return uint8 `(B, h, w, C)` and int8 `(B, h, w)`, neither side longer than `side`; nothing is enlarged.

    Areas are averaged first and the map is scaled afterwards, so that a thumbnail uses the whole range of colours.

    Args:
        images: `(B, C, H, W)` in [0, 1]; of other than 3 channels the mean is shown.
        attributions: `(B, C, H, W)`.
        side: in pixels.
    """
    # A report reads thumbnails and makes none: it does without torch.
    import torch
    from torch.nn import functional

    from diffig.evaluation.gallery import heat

    height, width = images.shape[-2:]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    seen = images.float() if images.shape[1] == 3 else images.float().mean(1, keepdim=True)
    pixels = functional.adaptive_avg_pool2d(seen, size).clamp(0, 1)
    pooled = functional.adaptive_avg_pool2d(attributions.float().sum(1, keepdim=True), size)
    levels = torch.where(pooled[:, 0].isfinite(), (heat(pooled) * LEVELS).round(), UNKNOWN)
    return (pixels * 255).round().byte().permute(0, 2, 3, 1).contiguous(), levels.to(torch.int8)


class ThumbnailStore:
    """The thumbnails of one run, part by part.

    Args:
        output: the run's folder; parts lie beside those of its rows.
        side: of the thumbnails in pixels; 0 keeps none.

    Raises:
        ValueError: a side outside 8 to 96.
    """

    def __init__(self, output: str | Path, side: int | None) -> None:
        self.side = side or 0
        if self.side and not SMALLEST <= self.side <= LARGEST:
            raise ValueError(
                f"thumbnails={side} must lie in {SMALLEST} to {LARGEST}, in pixels; thumbnails=0 keeps none"
            )
        self.output, self.folder = Path(output), Path(output) / "rows"

    def write(self, indices: list[int], images: Tensor, attributions: Tensor, rank: int = 0) -> None:
        """Write the thumbnails of a batch, whole or not at all."""
        if not self.side:
            return
        pixels, maps = shrink(images, attributions, self.side)
        file = self.folder / f"thumbnails-{indices[0]}-{indices[-1]}-{rank}.safetensors"
        _save(Thumbnails(np.array(indices, np.int64), pixels.cpu().numpy(), maps.cpu().numpy()), file)

    def merge(self, wanted: set[int]) -> None:
        """Write all parts as one file, each wanted image once; where nothing is kept, no file of an earlier run stays.

        An image that a killed run has explained twice has two equal thumbnails; one that was explained without
        thumbnails has none.
        """
        target = self.output / FILE
        found = [read_thumbnails(file) for file in sorted(self.folder.glob("thumbnails-*.safetensors"))]
        parts = [part for part in found if part is not None] if self.side else []
        if not parts:
            target.unlink(missing_ok=True)
            return
        # A killed run may have left parts of another size; the size that most images have stays.
        sizes: Counter[tuple[int, ...]] = Counter()
        for part in parts:
            sizes[part.images.shape[1:]] += len(part.indices)
        fitting = [part for part in parts if part.images.shape[1:] == sizes.most_common(1)[0][0]]
        indices, places = np.unique(np.concatenate([part.indices for part in fitting]), return_index=True)
        kept = places[np.isin(indices, list(wanted))]
        joined = (np.concatenate(column)[kept] for column in zip(*fitting, strict=True))
        _save(Thumbnails(*joined), target)


def _save(thumbnails: Thumbnails, file: Path) -> None:
    """Write a file, whole or not at all, with the rights of other files."""
    from safetensors.numpy import save

    write_bytes(file, save({name: np.ascontiguousarray(column) for name, column in thumbnails._asdict().items()}))


def read_thumbnails(place: str | Path) -> Thumbnails | None:
    """Return the thumbnails of a run's folder or of a file; None where there are none that can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = Path(place) / FILE if Path(place).is_dir() else Path(place)
    try:
        return Thumbnails(**load_file(file))
    except (OSError, SafetensorError, TypeError):
        return None
