"""SAMP's path: at every step the pixels that change the score most move first (Zhang et al. 2024).

Notation: `p` the current point, `e` the end, `g = grad F(p)`, projection of pixel `m` `q_m = sum_c g_cm (e - p)_cm`,
`L = |e - start|_1`. *Insertion* walks from reference to image and moves the `s` pixels of largest `q`; *deletion*
walks back and moves the smallest. Infinitesimal constraint: a move longer than `L / n` is shortened to it, and its
pixels may move again. Momentum: `v <- l g + (1 - l) v` takes the place of `g` (`l = 1` is no momentum).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import PointPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

Direction = Literal["insertion", "deletion"]
SLACK = 1e3  # sums of many numbers round; without it a last move could be cut into dust


class GreedyPixelPath(PathGenerator):
    """Greedy paths over whole pixels, a batch in lock-step; images that have arrived cost nothing more.

    Pixels are chosen by rank, and of equal ones the first, so that never more than `s` move at once: a tolerance on
    `q` would be as large as `q` itself where the score is a probability.

    Args:
        n_segments: at most so many steps, and gradients, for each image; unless `pixels_per_step` is given, which then
            decides together with `fragments`: at most `n`, and one for each `s` pixels.
        pixels_per_step: `s`; None: as few as `n_segments` allows for the pixels that have to move.
        fragments: `n`, 1 is no constraint; None: half of `n_segments`, so that no step is longer than twice the mean.
        momentum: `l` in (0, 1].
        direction: `insertion`, or `deletion`, which is walked from the image back to the baseline.
    """

    def __init__(
        self,
        n_segments: int = 64,
        pixels_per_step: int | None = None,
        fragments: int | None = None,
        momentum: float = 1.0,
        direction: Direction = "insertion",
    ) -> None:
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")
        default = max(1, n_segments // 2)
        self.fragments = check_at_least(default if fragments is None else fragments, 1, "fragments", "1: no constraint")
        if pixels_per_step is None and self.fragments > self.n_segments:
            raise ValueError(
                f"fragments={fragments} alone would take more than {n_segments} steps; "
                "give pixels_per_step as well, fewer fragments or more steps"
            )
        self.pixels_per_step = pixels_per_step
        if pixels_per_step is not None:
            check_at_least(pixels_per_step, 1, "pixels_per_step", "pixels that move at once")
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum={momentum} must lie in (0, 1]; 1 uses each gradient alone, as SAMP does")
        check_choice(direction, Direction, "direction")
        self.momentum, self.direction = float(momentum), direction

    def walk(
        self, images: Tensor, baselines: Tensor, targets: Tensor, score: ScoreFunction
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each step's old point, new point and the gradient that chose it, all `(B, C, H, W)`.

        Images that have arrived stay where they are, with a gradient of 0.
        """
        back = self.direction == "deletion"
        point, end = (images, baselines) if back else (baselines, images)
        way = (end - point).abs().flatten(1).sum(1)
        pending = (end != point).any(1).flatten(1)
        longest = way / self.fragments
        taken = 0
        velocity: Tensor | None = None
        while bool(pending.any()):
            rows = pending.any(1)
            gradient = torch.zeros_like(point)
            gradient[rows] = score.value_and_grad(point[rows], targets[rows])[1]
            if velocity is not None and self.momentum < 1:
                gradient = self.momentum * gradient + (1 - self.momentum) * velocity * rows[:, None, None, None]
            velocity = gradient
            gains = (gradient * (end - point)).sum(1).flatten(1)
            quota = self._quota(pending, (end - point).abs().flatten(1).sum(1) / longest, self.n_segments - taken)
            chosen = self._choose(-gains if back else gains, pending, quota)
            new, arrived = self._move(point, end, chosen, longest)
            yield point, new, gradient
            taken += 1
            point, pending = new, pending & ~(chosen & arrived[:, None])

    def _quota(self, pending: Tensor, left: Tensor, moves: int) -> Tensor:
        """How many pixels `(B,)` go next, where `left` `(B,)` longest moves' worth of way and `moves` moves are left.

        A shortened move uses up one longest move's worth, so fewer than `left` will be shortened; the others finish
        the pixels among them.
        """
        if self.pixels_per_step is not None:
            return torch.full_like(left, self.pixels_per_step, dtype=torch.long)
        shortened = ((left - SLACK * torch.finfo(left.dtype).eps).ceil() - 1).nan_to_num(0, 0, 0).clamp(0, moves - 1)
        return -(-pending.sum(1) // (moves - shortened.long()))

    def _choose(self, gains: Tensor, pending: Tensor, quota: Tensor) -> Tensor:
        """The `quota` `(B,)` pending pixels with the largest gains, a mask `(B, H W)`."""
        order = torch.where(pending, gains, -torch.inf).argsort(dim=1, descending=True, stable=True)
        return (order.argsort(dim=1) < quota[:, None]) & pending

    def _move(self, point: Tensor, end: Tensor, chosen: Tensor, longest: Tensor) -> tuple[Tensor, Tensor]:
        """The point after chosen pixels have moved, and whether `(B,)` they went all the way."""
        mask = chosen.reshape(len(point), 1, *point.shape[2:])
        length = torch.where(mask, (end - point).abs(), 0).flatten(1).sum(1)
        short = length > longest * (1 + SLACK * torch.finfo(point.dtype).eps)
        ratio = torch.where(short, longest / torch.where(short, length, 1), 1)[:, None, None, None]
        moved = torch.where(short[:, None, None, None], point + ratio * (end - point), end)
        return torch.where(mask, moved, point), ~short

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> PointPath:
        """Return the paths, `PointPath` of batch `B * n_paths` from baselines to images in either direction.

        Images that arrive early wait at the end of their walk; all candidates of an image are alike.
        """
        visited = [batch.images if self.direction == "deletion" else batch.baselines]
        visited += [new for _, new, _ in self.walk(*batch)]
        if len(visited) == 1:
            visited *= 2  # nothing had to move
        points = torch.stack(visited[::-1] if self.direction == "deletion" else visited, 1)
        return PointPath(candidates(points, n_paths))
