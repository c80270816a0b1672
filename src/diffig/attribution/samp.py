"""SAMP and SAMP++: integration along greedy pixel paths, to the image and away from it (Zhang et al. 2024)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.walk import Walk
from diffig.baselines import Baseline
from diffig.checks import check_at_least, check_choice
from diffig.credit import Credit, as_credit
from diffig.integration.integrate import Integral
from diffig.paths.samp import GreedyPixelPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

Directions = Literal["both", "insertion", "deletion"]


class SAMP(Attributor):
    """The mean of an insertion and a deletion path, the latter with its sign turned: each sums to `F(x) - F(x')`.

    Complete in the limit of many steps; with momentum only about, as another vector stands where the gradient should.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: gradients for each image at most, over both directions.
        pixels_per_step, fragments: of the paths, see `GreedyPixelPath`. Where the first is given it decides together
            with the second how many gradients there are, and `steps` only what `fragments` is by default.
        momentum: weight of the newest gradient, in (0, 1]; None takes 1 (no momentum) for SAMP and 0.5 for SAMP++.
        directions: `both`, or one of `insertion` and `deletion` with all the steps.
        insertion_from: where insertion starts in place of the baseline; the authors take the blurred image there and
            black for deletion. The gap is then against the mean score of both starts.
        credit: how steps are divided among the features, an object of `diffig.credit` or its name; the gradient is the
            one that chose the step, its running mean with momentum. Gradient times step where none is given.
    """

    name = "samp"
    default_momentum = 1.0

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        pixels_per_step: int | None = None,
        fragments: int | None = None,
        momentum: float | None = None,
        directions: Directions = "both",
        insertion_from: Baseline | None = None,
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.credit = as_credit(credit or "left")
        momentum = self.default_momentum if momentum is None else momentum
        check_choice(directions, Directions, "directions")
        self.steps = check_at_least(steps, 2 if directions == "both" else 1, "steps", "gradients over all directions")
        each = self.steps // 2 if directions == "both" else self.steps
        self.paths = [
            GreedyPixelPath(each, pixels_per_step, fragments, momentum, direction)
            for direction in ("insertion", "deletion")
            if directions in ("both", direction)
        ]
        self.insertion_from = insertion_from

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        parts = []
        for path in self.paths:
            starts = [baselines]
            if path.direction == "insertion" and self.insertion_from is not None:
                starts = self.insertion_from.references(images, streams)
            along = [self._along(path, images, start, targets) for start in starts]
            parts.append([torch.stack(values).mean(0) for values in zip(*along, strict=True)])
        return Integral(*(torch.stack(values).mean(0) for values in zip(*parts, strict=True)))

    def _along(self, path: GreedyPixelPath, images: Tensor, baselines: Tensor, targets: Tensor) -> Integral:
        """The integral of one path, from `baselines` to `images` in whichever direction it is walked."""
        walk = Walk(self.credit, self.score, images if path.direction == "deletion" else baselines, targets)
        for old, new, gradient in path.walk(images, baselines, targets, self.score):
            walk.add(old, new, gradient)
        attribution = -walk.attribution if path.direction == "deletion" else walk.attribution
        start, end = self.score.score(torch.cat([baselines, images]), targets.repeat(2)).chunk(2)
        return Integral(attribution, attribution.flatten(1).sum(1) - (end - start), walk.absolute_mass)


class SAMPPlusPlus(SAMP):
    """SAMP with momentum: the running mean of gradients chooses the pixels, and is integrated."""

    name = "samp_pp"
    default_momentum = 0.5
