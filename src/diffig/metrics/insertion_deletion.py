"""Insertion and deletion: area under the target's probability while pixels come and go in the map's order."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.metrics.mas import aligned_curve, mass_shown
from diffig.metrics.masking import Reduce, order_of, pixel_map, ranks_of, read_masked
from diffig.metrics.replacement import black, blur, dataset_mean

DeletionFill = Literal["mean", "black"]


class InsertionDeletion(Metric):
    """Insertion and deletion areas (RISE: Petsiuk, Das and Saenko, BMVC 2018) and their difference.

    Pixels are ranked once. Insertion starts from the blurred image (Gaussian 11, sigma 5, borders reflected where the
    authors pad with zeros) and restores pixels, highest first; deletion starts from the image and replaces them. The
    curve is the softmax probability of the target (the authors score the class predicted on the clean image: explain
    that class to do the same). The area is the trapezoid over fractions 0 to 1, in [0, 1]; insertion is better
    higher, deletion lower. The difference is far more consistent from image to image than either half.

    Names carry the variant: `_signed` and the like for another reduction, `_black` for another deletion fill.

    Args:
        n_steps: equal steps from 0 to 1; 28 is what the authors used for their aggregate, 224 for single images.
        reduce: how channels make a pixel's rank: `abs_sum` is `|sum_c a|`, `signed` is what RISE itself ranks.
        deletion_fill: `mean`, the classifier's own mean colour (normalised zero, as the authors), or `black`.
        seed: of the ties.
        mas: also magnitude aligned scoring (Walker, Simon, Chen and Ewetz, IJCAI 2024) of the same curves, which asks
            that a map's mass follow the response and not its order alone: `mas_insertion` (higher is better),
            `mas_deletion` (lower) and `mas`, their difference; the most reliable of these scores from image to image.
            Mass is `|reduction|`; see `diffig.metrics.mas`.
    """

    family = "faithfulness by removal"
    sensitive_to = ("n_steps", "reduce", "deletion_fill", "seed")

    def __init__(
        self,
        n_steps: int = 28,
        reduce: Reduce = "abs_sum",
        deletion_fill: DeletionFill = "mean",
        seed: int = 0,
        mas: bool = False,
    ) -> None:
        self.n_steps = check_at_least(n_steps, 1, "n_steps", "the curves have n_steps + 1 points")
        check_choice(reduce, Reduce, "reduce")
        check_choice(deletion_fill, DeletionFill, "deletion_fill")
        self.reduce, self.deletion_fill, self.seed, self.mas = reduce, deletion_fill, seed, mas
        suffix = ("" if reduce == "abs_sum" else f"_{reduce}") + ("" if deletion_fill == "mean" else "_black")
        kinds = ["insertion", "deletion", "insertion_minus_deletion"]
        kinds += ["mas_insertion", "mas_deletion", "mas"] if mas else []
        self.names = tuple(f"{kind}{suffix}" for kind in kinds)
        self.curve_names = tuple(name for place, name in enumerate(self.names) if place % 3 < 2)
        self.direction = {name: "lower" if place % 3 == 1 else "higher" for place, name in enumerate(self.names)}
        self.value_range = {name: (0.0, 1.0) if place % 3 < 2 else (-1.0, 1.0) for place, name in enumerate(self.names)}
        self.axis = tuple(step / self.n_steps for step in range(self.n_steps + 1))
        self.forwards = 2 * self.n_steps + 1

    def _measure(self, explained: Explained) -> Measured:
        groups = [self._curves(explained, rows) for rows in explained.groups()]
        curves = [torch.cat(parts) for parts in zip(*groups, strict=True)]
        areas = [torch.trapezoid(curve, dx=1 / self.n_steps, dim=1) for curve in curves]
        values = [
            value
            for first, second in zip(areas[::2], areas[1::2], strict=True)
            for value in (first, second, first - second)
        ]
        named = dict(zip(self.names, values, strict=True))
        return Measured(named, dict(zip(self.curve_names, curves, strict=True)))

    def _curves(self, explained: Explained, rows: slice) -> list[Tensor]:
        """Insertion and deletion curve `(B, n_steps + 1)` of a group of images, then their aligned forms if wanted."""
        images, targets, score = explained.images[rows], explained.targets[rows], explained.score
        values = pixel_map(explained.maps[rows], self.reduce).flatten(1)
        order = order_of(values, self.seed, explained.indices[rows])
        ranks = ranks_of(order).reshape(len(images), 1, *images.shape[2:])
        pixels = values.shape[1]
        counts = [step * pixels // self.n_steps for step in range(self.n_steps + 1)]
        erased = black(images) if self.deletion_fill == "black" else dataset_mean(images, score)
        # Both curves meet the untouched image once: it is read at the end of insertion and shared.
        kept = read_masked(score, images, targets, ranks, [(count, pixels) for count in counts], blur(images))
        lost = read_masked(score, images, targets, ranks, [(0, count) for count in counts[1:]], erased)
        insertion, deletion = kept.probability, torch.cat([kept.probability[:, -1:], lost.probability], 1)
        if not self.mas:
            return [insertion, deletion]
        share = mass_shown(values, order, counts)
        aligned = aligned_curve(insertion, share, rising=True), aligned_curve(deletion, 1 - share, rising=False)
        return [insertion, deletion, *aligned]
