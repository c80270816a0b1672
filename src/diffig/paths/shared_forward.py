"""Several gradients at one point from one forward pass of the classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diffig.scores import ScoreFunction

Reading = Callable[[Tensor, slice], Tensor]


def logits_and_gradients(
    score: ScoreFunction, points: Tensor, readings: Sequence[Reading]
) -> tuple[Tensor, list[Tensor]]:
    """Return the logits `(n, K)` at `points` `(n, C, H, W)`, and the gradient `(n, C, H, W)` of each reading.

    Charged are one forward image for each point, and one backward image for each point and reading.

    Args:
        score: its classifier is asked, `chunk_size` points at a time.
        points: anywhere.
        readings: functions of logits `(m, K)` and of the slice of points they belong to; each returns `(m,)` numbers.
    """
    chunks = []
    with score.borrowed(), torch.inference_mode(False), torch.enable_grad():
        for start in range(0, len(points), score.chunk_size):
            part = slice(start, start + score.chunk_size)
            leaf = points[part].detach().clone().requires_grad_()
            logits = score.ask(leaf)
            gradients = [
                torch.autograd.grad(read(logits, part).sum(), leaf, retain_graph=number + 1 < len(readings))[0]
                for number, read in enumerate(readings)
            ]
            chunks.append((logits.detach(), *gradients))
    score.charge(len(points), len(points) * len(readings))
    found, *gradients = (torch.cat(values) for values in zip(*chunks, strict=True))
    return found, gradients
