"""ROAD: remove pixels in both orders and fill the holes from their borders, so that the holes' shape tells little."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffig.checks import check_choice
from diffig.metrics.base import Measured, Metric
from diffig.metrics.diffid import removals
from diffig.metrics.explained import Explained, check_classes
from diffig.metrics.linear_imputation import linear_imputation
from diffig.metrics.masking import Readout, Reduce, order_of, pixel_map, ranks_of, read
from diffig.randomness import Streams

FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


class Road(Metric):
    """ROAD (Rong, Leemann, Borisov, Kasneci and Kasneci, ICML 2022) in both orders, and the gap between them.

    Whole pixels are removed, the highest first (`morf`) or the lowest first (`lerf`), and replaced by noisy linear
    imputation: each missing pixel is the weighted mean of its eight neighbours, all of them solved together, plus
    noise. `road_gap` is the mean over fractions of accuracy under `lerf` minus that under `morf`; accuracy is whether
    the explained class is still the prediction. `road_gap_probability` is the same of its probability. In [-1, 1],
    higher is better; 0 for a random or constant map.

    Args:
        fractions: shares of the pixels removed, strictly between 0 and 1.
        noise: standard deviation, in pixels' units of [0, 1], drawn for each image and shared by all its copies.
        reduce: how channels make a pixel's rank; `abs_sum`, `|sum_c a|`, is the authors'.
        seed: of ties and noise.
    """

    names = ("road_gap", "road_gap_probability")
    direction = "higher"
    value_range = (-1.0, 1.0)
    family = "faithfulness by removal"
    sensitive_to = ("fractions", "noise", "reduce", "seed")
    curve_names = ("road_lerf", "road_morf", "road_lerf_probability", "road_morf_probability")

    def __init__(
        self,
        fractions: Sequence[float] = FRACTIONS,
        noise: float = 0.01,
        reduce: Reduce = "abs_sum",
        seed: int = 0,
    ) -> None:
        if not fractions or not all(0 < fraction < 1 for fraction in fractions):
            raise ValueError(
                f"fractions={list(fractions)} must lie strictly between 0 and 1; the authors' reach .1 to .9"
            )
        if noise < 0:
            raise ValueError(f"noise={noise} must be at least 0; the authors add .01")
        check_choice(reduce, Reduce, "reduce")
        self.noise, self.reduce, self.seed = float(noise), reduce, seed
        self.axis = tuple(float(fraction) for fraction in fractions)
        self.forwards = 2 * len(self.axis)

    def _measure(self, explained: Explained) -> Measured:
        parts = [self._read(explained, rows) for rows in explained.groups()]
        probability, hit = (torch.cat(part).to(explained.images) for part in zip(*parts, strict=True))
        count = len(self.axis)
        curves = [hit[:, :count], hit[:, count:], probability[:, :count], probability[:, count:]]
        gaps = [(lerf - morf).mean(1) for lerf, morf in (curves[:2], curves[2:])]
        return Measured(dict(zip(self.names, gaps, strict=True)), dict(zip(self.curve_names, curves, strict=True)))

    def _read(self, explained: Explained, rows: slice) -> Readout:
        """The classifier on the imputed copies, `(B, 2 n)`: least relevant first, then most."""
        images, targets, indices = explained.images[rows], explained.targets[rows], explained.indices[rows]
        order = order_of(pixel_map(explained.maps[rows], self.reduce).flatten(1), self.seed, indices)
        ranks = ranks_of(order).reshape(len(images), 1, *images.shape[2:])
        noise = Streams(self.seed, indices).normal(tuple(images.shape[1:]), purpose="road").to(images) * self.noise
        removed = torch.tensor(removals(order.shape[1], self.axis), device=images.device)
        low, high = removed.T[..., None, None, None]
        found: list[Readout] = []
        every = torch.arange(len(low) * len(images), device=images.device)
        for copies in every.split(explained.score.chunk_size):
            # Copies that lack the same share stand together: what is solved together takes the longest one's time.
            image, variant = copies % len(images), copies // len(images)
            missing = (ranks[image] >= low[variant]) & (ranks[image] < high[variant])
            filled = linear_imputation(images[image], missing) + noise[image] * missing
            logits = explained.score.logits(filled)
            check_classes(targets, logits.shape[1])
            found.append(read(logits, targets[image]))
        return Readout(*(torch.cat(column).reshape(-1, len(images)).T for column in zip(*found, strict=True)))
