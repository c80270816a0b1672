"""The paths of AGI: from the image by signed steps to another class (Pan, Li and Zhu 2021).

Notation: image `x`, another class `j`, step `e`; `p_0 = x`, `p_{k+1} = clip(p_k + e sign(grad f_j(p_k)), 0, 1)` with
`f_j` the probability of `j`, until `j` is the prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.shared_forward import logits_and_gradients
from diffig.scores import ScoreFunction


class AdversarialStep(NamedTuple):
    """One step of the paths that still walk.

    rows: `(m,)` which paths they are.
    start, end: `(m, C, H, W)` where the step begins and ends.
    gradient: `(m, C, H, W)` of the explained score, at the path's point.
    """

    rows: Tensor
    start: Tensor
    end: Tensor
    gradient: Tensor


class AdversarialPath:
    """Paths that end at adversarial images, in lock-step; each stops for itself.

    Args:
        step_size: `e`, in pixels of [0, 1].
        max_steps: steps of a path that does not reach its class.
        as_released: measure every step from the image, `p_{k+1} = clip(x + e sign(grad f_j(p_k)))`, as the authors'
            program does: points then never leave the cube of side `2 e` around `x`.
    """

    def __init__(self, step_size: float = 0.05, max_steps: int = 20, as_released: bool = False) -> None:
        if not 0 < step_size <= 1:
            raise ValueError(f"step_size={step_size} must lie in (0, 1], in pixels; the paper's is 0.05")
        self.step_size, self.as_released = float(step_size), as_released
        self.max_steps = check_at_least(max_steps, 1, "max_steps", "steps of a path that does not reach its class")

    def walk(self, images: Tensor, targets: Tensor, others: Tensor, score: ScoreFunction) -> Iterator[AdversarialStep]:
        """Yield each step of the paths that still walk; a path whose class is predicted at once takes none.

        A step costs its path one forward and two backward images; so does the look that finds the class reached.

        Args:
            images: `(n, C, H, W)`, one for each path.
            targets, others: `(n,)` the class explained and the class each path heads for.
            score: its gradient for `targets` comes with each step.
        """
        rows = torch.arange(len(images), device=images.device)
        points = images
        for _ in range(self.max_steps):
            heads, explained = others[rows], targets[rows]

            def towards(logits: Tensor, part: slice, heads: Tensor = heads) -> Tensor:
                # The logarithm has the same sign of gradient and does not underflow.
                return logits.log_softmax(1).gather(1, heads[part, None].clone())[:, 0]

            def of_score(logits: Tensor, part: slice, explained: Tensor = explained) -> Tensor:
                return score.read(logits, explained[part].clone())

            logits, (push, gradient) = logits_and_gradients(score, points, [towards, of_score])
            walking = logits.argmax(1) != heads
            if not bool(walking.any()):
                return
            rows, points, push, gradient = (tensor[walking] for tensor in (rows, points, push, gradient))
            start = images[rows] if self.as_released else points
            points = (start + self.step_size * push.sign()).clamp(0, 1)
            yield AdversarialStep(rows, start, points, gradient)
