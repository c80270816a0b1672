"""ROAR: take the most relevant pixels out of a whole dataset, to retrain a classifier on what is left."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffig.checks import check_choice, check_like
from diffig.data.image_sets import ArrayImages, ImageSet
from diffig.metrics.diffid import removals
from diffig.metrics.masking import Reduce, order_of, pixel_map, ranks_of
from diffig.metrics.replacement import Space, kept_mean
from diffig.scores import ScoreFunction

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Removal:
    """Removal of the share of whole pixels that attributions rank first, as ROAR retrains on.

    What is removed becomes one grey, the mean over all channels of what its image keeps. Source: Hooker, Erhan,
    Kindermans and Kim, NeurIPS 2019; they fill with the dataset's mean colour, the mean of the image's own kept pixels
    is that of the DiffID family.

    Args:
        share: of the pixels, in [0, 1); `int(share * H * W)` of them go.
        reduce: how channels make a pixel's rank.
        space: where the grey is a mean, see `kept_mean`.
        seed: of ties.
    """

    share: float
    reduce: Reduce = "sum_abs"
    space: Space = "pixel"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share={self.share} must be at least 0 and below 1; ROAR takes .1 to .9")
        check_choice(self.reduce, Reduce, "reduce")
        check_choice(self.space, Space, "space")

    def removed(self, attributions: Tensor, indices: Tensor) -> Tensor:
        """Return where pixels go, `(B, 1, H, W)` bool.

        An image whose attribution is not finite loses pixels in random order and is counted in a warning.

        Args:
            attributions: `(B, C, H, W)`.
            indices: `(B,)` the images' dataset indices, the key of the order among ties.
        """
        order, (_, count) = self._order(attributions, indices)
        return (ranks_of(order) < count).reshape(len(attributions), 1, *attributions.shape[2:])

    def __call__(self, images: Tensor, attributions: Tensor, indices: Tensor, score: ScoreFunction) -> Tensor:
        """Return the images `(B, C, H, W)` without their most relevant pixels.

        Args:
            images: in [0, 1].
            attributions: shaped like the images.
            indices: `(B,)`.
            score: its classifier's normalisation is read where `space` is `normalised`.
        """
        check_like(attributions, images, "attributions")
        order, interval = self._order(attributions, indices)
        gone = (ranks_of(order) < interval[1]).reshape(len(images), 1, *images.shape[2:])
        return torch.where(gone, kept_mean(images, order, [interval], score, self.space)[:, 0], images)

    def _order(self, attributions: Tensor, indices: Tensor) -> tuple[Tensor, tuple[int, int]]:
        values = pixel_map(attributions, self.reduce).flatten(1)
        bad = ~values.isfinite().all(1)
        if bool(bad.any()):
            warnings.warn(
                f"{int(bad.sum())} attributions are not finite; their pixels go in random order", stacklevel=3
            )
            values = values.masked_fill(bad[:, None], 0)
        return order_of(values, self.seed, indices), removals(values.shape[1], [self.share])[-1]


def without_relevant(
    images: ImageSet, attributions: Tensor, removal: Removal, score: ScoreFunction, chunk_size: int = 512
) -> ArrayImages:
    """Return the dataset, in memory, after `removal`; labels and indices stay.

    Args:
        images: N images.
        attributions: `(N, C, H, W)`, in the dataset's order.
        removal: what goes.
        score: see `Removal`.
        chunk_size: images that are ranked together.

    Raises:
        ValueError: another number of attributions than images.
    """
    parts = [
        removal(pixels, attributions[rows].to(pixels), indices, score).permute(0, 2, 3, 1).numpy()
        for rows, pixels, indices in _chunks(images, attributions, chunk_size)
    ]
    return ArrayImages(np.concatenate(parts), images.labels, images.indices)


def kept_masks(images: ImageSet, attributions: Tensor, removal: Removal, chunk_size: int = 512) -> ArrayImages:
    """Return a dataset of masks, 1 in all channels where a pixel is kept and 0 where it goes; labels and indices stay.

    What a classifier learns from these is what the holes' shape alone tells of the class: the leak for which Rong et
    al. (ICML 2022) made ROAD. Arguments as in `without_relevant`.
    """
    parts = [
        (~removal.removed(attributions[rows], indices)).permute(0, 2, 3, 1).float().expand(-1, -1, -1, pixels.shape[1])
        for rows, pixels, indices in _chunks(images, attributions, chunk_size)
    ]
    return ArrayImages(torch.cat(parts).numpy(), images.labels, images.indices)


def accuracy_area(values: ArrayLike, shares: Sequence[float] = SHARES) -> NDArray[np.float64]:
    """Return the area under accuracy over removed shares, divided by its width: a mean accuracy, lower is better.

    Args:
        values: `(..., S)`, accuracies or single hits at each share, by the trapezoid rule.
        shares: S of them, rising.

    Raises:
        ValueError: fewer than two shares, shares that do not rise, or another number of values.
    """
    curve, axis = np.asarray(values, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if len(axis) < 2 or not (np.diff(axis) > 0).all() or curve.shape[-1] != len(axis):
        raise ValueError(
            f"{curve.shape[-1]} values at shares={list(shares)}; give as many as shares, two or more that rise"
        )
    cells = (curve[..., 1:] + curve[..., :-1]) / 2 * np.diff(axis)
    area: NDArray[np.float64] = cells.sum(-1) / (axis[-1] - axis[0])
    return area


def _chunks(images: ImageSet, attributions: Tensor, size: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    if len(attributions) != len(images):
        raise ValueError(f"{len(attributions)} attributions for {len(images)} images; explain every image once")
    for start in range(0, len(images), size):
        rows = slice(start, min(start + size, len(images)))
        pixels = torch.stack([images.image(position) for position in range(rows.start, rows.stop)])
        yield rows, pixels, torch.from_numpy(images.indices[rows])
