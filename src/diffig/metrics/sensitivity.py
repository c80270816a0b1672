"""Sensitivity: how much an attribution changes with a small change of its image, and with its seed alone.

Notation: `phi(x, s)` the attribution of image `x` with seed `s`, norms over all its elements.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.randomness import Streams


class Sensitivity(Metric):
    """Max-sensitivity (Yeh, Hsieh, Suggala, Inouye and Ravikumar, NeurIPS 2019) and the floor that seeds set.

    `sensitivity_max` is the largest `|phi(x + d, s) - phi(x, s)| / |phi(x, s)|` over random `d`, each pixel uniform
    in `[-radius, radius]`, clipped so that the image stays in [0, 1]. `sensitivity_floor` is `|phi(x, s + 1) - phi(x,
    s)| / |phi(x, s)|`: 0 for methods without randomness, and for the others what they differ by without any change of
    the image. Lower is better, at least 0; a constant map wins trivially, so read it beside faithfulness. NaN where
    the attribution is zero. Costs `n_draws + 1` attributions of each image.

    Args:
        radius: of the changes, in pixels' units of [0, 1].
        n_draws: changes that are tried; more find a larger maximum.
        seed: of the changes.
    """

    names = ("sensitivity_max", "sensitivity_floor")
    direction = "lower"
    value_range = (0.0, math.inf)
    family = "robustness"
    sensitive_to = ("radius", "n_draws", "seed")

    def __init__(self, radius: float = 0.02, n_draws: int = 10, seed: int = 0) -> None:
        if not 0 < radius <= 1:
            raise ValueError(f"radius={radius} must lie in (0, 1]; .02 is about 5 of 255 grey levels")
        self.radius, self.seed = float(radius), seed
        self.n_draws = check_at_least(n_draws, 1, "n_draws", "changed images that are explained")
        self.attributions = self.n_draws + 1

    def _measure(self, explained: Explained) -> Measured:
        images, streams = explained.images, Streams(self.seed, explained.indices)
        largest = explained.maps.abs().amax((1, 2, 3))
        # To a maximum of one, so that squares of small numbers do not underflow.
        scale = torch.where(largest > 0, largest, 1)[:, None, None, None]
        size = (explained.maps / scale).flatten(1).norm(dim=1)

        def change(attributions: Tensor) -> Tensor:
            moved = ((attributions - explained.maps) / scale).flatten(1).norm(dim=1)
            return torch.where(size > 0, moved / torch.where(size > 0, size, 1), torch.nan)

        largest = torch.zeros_like(size)
        for draw in range(self.n_draws):
            shape = tuple(images.shape[1:])
            noise = streams.uniform(shape, purpose=f"sensitivity {draw}").to(images) * 2 - 1
            # `maximum` hands on NaN: an attribution that breaks on a changed image is no stable one.
            largest = torch.maximum(largest, change(explained.again((images + self.radius * noise).clamp(0, 1))))
        floor = change(explained.again(images, seed_shift=1))
        return Measured({"sensitivity_max": largest, "sensitivity_floor": floor}, {})
