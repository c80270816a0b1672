"""ROAD: remove pixels in both orders and fill the holes from their borders, so that the holes' shape tells little."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from diffig.metrics.base import Explained, Measured, Metric, check_choice, check_classes
from diffig.metrics.diffid import removals
from diffig.metrics.masking import Reduce, order_of, pixel_map, ranks_of
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
    category = "faithfulness"
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
        hit, probability = (torch.cat(part) for part in zip(*parts, strict=True))
        count = len(self.axis)
        curves = [hit[:, :count], hit[:, count:], probability[:, :count], probability[:, count:]]
        gaps = [(lerf - morf).mean(1) for lerf, morf in (curves[:2], curves[2:])]
        return Measured(dict(zip(self.names, gaps, strict=True)), dict(zip(self.curve_names, curves, strict=True)))

    def _read(self, explained: Explained, rows: slice) -> tuple[Tensor, Tensor]:
        """Whether the target is predicted, and its probability, `(B, 2 n)`: least relevant first, then most."""
        images, targets, indices = explained.images[rows], explained.targets[rows], explained.indices[rows]
        order = order_of(pixel_map(explained.maps[rows], self.reduce).flatten(1), self.seed, indices)
        ranks = ranks_of(order).view(len(images), 1, *images.shape[2:])
        noise = Streams(self.seed, indices).normal(tuple(images.shape[1:]), purpose="road").to(images) * self.noise
        removed = torch.tensor(removals(order.shape[1], self.axis), device=images.device)
        low, high = removed.T[..., None, None, None]
        hits, probabilities = [], []
        for copies in torch.split(
            torch.arange(len(images) * len(low), device=images.device), explained.score.chunk_size
        ):
            image, variant = copies // len(low), copies % len(low)
            missing = (ranks[image] >= low[variant]) & (ranks[image] < high[variant])
            filled = linear_imputation(images[image], missing) + noise[image] * missing
            logits = explained.score.logits(filled)
            check_classes(targets, logits.shape[1])
            hits.append((logits.argmax(1) == targets[image]).to(images))
            probabilities.append(logits.softmax(1).gather(1, targets[image][:, None])[:, 0])
        return torch.cat(hits).view(len(images), -1), torch.cat(probabilities).view(len(images), -1)


def linear_imputation(images: Tensor, missing: Tensor, tolerance: float = 1e-9, most: int = 5000) -> Tensor:
    """Return the images `(B, C, H, W)` with missing pixels solved from the rest.

    Each missing pixel equals the weighted mean of its neighbours inside the image, 1/6 for those that share an edge and
    1/12 for those that share a corner. The equations of one plane are symmetric and positive definite as long as one
    pixel is known, so conjugate gradients with the diagonal as preconditioner solve all planes of all images together,
    in float64. A plane stops changing as soon as it has converged, so no result depends on its neighbours in
    the batch. Where nothing is known the plane becomes its own mean.

    Args:
        images: `(B, C, H, W)`.
        missing: `(B, 1, H, W)` bool.
        tolerance: of the residual's norm, relative to the right-hand side's.
        most: iterations.
    """
    batch, channels = images.shape[:2]
    known = (~missing).double().expand_as(images).flatten(0, 1)[:, None]
    planes = images.double().flatten(0, 1)[:, None]
    stencil = planes.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]])[None, None] / 12

    def spread(values: Tensor) -> Tensor:
        return functional.conv2d(values, stencil, padding=1)

    def dot(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum((1, 2, 3), keepdim=True)

    hole = 1 - known
    weight = spread(torch.ones_like(planes[:1]))
    count = known.sum((1, 2, 3), keepdim=True)
    mean = torch.where(count > 0, dot(planes, known) / count.clamp(min=1), planes.mean((1, 2, 3), keepdim=True))
    # Around the mean of what is known, so that a plane without any starts, and stays, at its solution.
    given = (planes - mean) * known
    right = hole * spread(given)
    solution, residual = torch.zeros_like(planes), right
    scaled = residual / weight
    direction, power = scaled, dot(residual, scaled)
    limit = dot(right, right) * tolerance**2
    for step in range(most):
        active = dot(residual, residual) > limit
        if step % 16 == 0 and not bool(active.any()):  # asking waits for the device
            break
        image_of = hole * (weight * direction - spread(direction))
        curvature = dot(direction, image_of)
        length = torch.where(active, power / torch.where(curvature > 0, curvature, 1), 0)
        solution = solution + length * direction
        residual = residual - length * image_of
        scaled = residual / weight
        fresh = dot(residual, scaled)
        direction = torch.where(active, scaled + fresh / torch.where(power > 0, power, 1) * direction, direction)
        power = torch.where(active, fresh, power)
    solved = (solution + mean).view(batch, channels, *images.shape[2:]).to(images)
    return torch.where(missing, solved, images)
