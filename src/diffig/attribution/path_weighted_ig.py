"""Path-weighted Integrated Gradients: gradients on the line weighted by a Beta density (2025, arXiv 2509.17491).

Notation: `A = (x - x') int_0^1 w(a) grad F(x' + a (x - x')) da`. Density form: `w` is the density of `Beta(p, q)`, of
mean 1, so that `p = q = 1` is Integrated Gradients. Sampled form (2026, arXiv 2604.14338): the baseline itself is
random on the line, `x' + b (x - x')` with `b ~ Beta(p, q)`; averaged over `b`, without noise: `w(a) = P(b <= a)`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.credit import Credit, as_credit
from diffig.integration.integrate import Integral
from diffig.integration.quadrature import scores
from diffig.paths.straight import StraightPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class PathWeightedIG(Attributor):
    """Integrated Gradients with weights along the line, midpoint rule; weights are exact means over their cells.

    The gap of the density form is against `F(x) - F(x')` and 0 only for even weights; that of the sampled form is
    against `F(x) - E F(x' + b (x - x'))`, whose expectation is read off the same nodes, and vanishes with more steps.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: gradients for each image.
        p, q: of the Beta distribution on the line; 1 and 1 are even, a large `p` looks near the image, a large `q`
            near the baseline.
        sampled: the sampled form.
        credit: how cells are divided among the features before they are weighted, an object of `diffig.credit` or its
            name; the gradient is that of the cell's middle. Gradient times step where none is given.
    """

    name = "path_weighted_ig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        p: float = 1.0,
        q: float = 1.0,
        sampled: bool = False,
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.credit = as_credit(credit or "midpoint")
        if not (p > 0 and q > 0):
            raise ValueError(f"p={p} and q={q} must both be positive; 1 and 1 weigh the whole line alike")
        self.steps = check_at_least(steps, 1, "steps", "gradients along the straight line")
        self.p, self.q, self.sampled = float(p), float(q), sampled

    def weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what each of the cells weighs, its mean of `w`, and how much probability it holds, both `(steps,)`."""
        from scipy.special import betainc  # heavy

        edges = np.linspace(0, 1, self.steps + 1)
        below = betainc(self.p, self.q, edges)
        held = np.diff(below)
        if not self.sampled:
            return held * self.steps, held
        # int_0^t P(b <= a) da = t P(b <= t) - E[b; b <= t].
        moment = self.p / (self.p + self.q) * betainc(self.p + 1, self.q, edges)
        return np.diff(edges * below - moment) * self.steps, held

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        path = StraightPath().generate(images, baselines, targets, self.score)
        start, end = self.score.score(torch.cat([baselines, images]), targets.repeat(2)).chunk(2)
        weights, held = (torch.from_numpy(part).to(images) for part in self.weights())
        difference = ((images - baselines) / self.steps)[:, None].expand(-1, self.steps, -1, -1, -1)
        cuts = torch.linspace(0, 1, self.steps + 1, device=images.device, dtype=images.dtype).expand(len(images), -1)
        change = scores(path, self.score, targets, cuts).diff(dim=1) if self.credit.needs_scores else None
        attribution = torch.zeros_like(images)
        mass, mean_start = images.new_zeros(len(images)), images.new_zeros(len(images))
        for cells in torch.arange(self.steps, device=images.device).split(max(1, self.score.chunk_size // len(images))):
            points = path.at(((cells.to(images) + 0.5) / self.steps).expand(len(images), -1))
            values, gradients = self.score.value_and_grad(points.flatten(0, 1), targets.repeat_interleave(len(cells)))
            part = None if change is None else change[:, cells]
            products = self.credit.divide(gradients.view_as(points), difference[:, cells], part)
            products = products * weights[cells, None, None, None]
            attribution += products.sum(1)
            mass += products.abs().flatten(1).sum(1)
            mean_start += values.view(len(images), -1) @ held[cells]
        wanted = end - (mean_start if self.sampled else start)
        return Integral(attribution, attribution.flatten(1).sum(1) - wanted, mass)
