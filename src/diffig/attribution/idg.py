"""IDG, integrated decision gradients (Walker, Jha, Chen and Ewetz 2024): gradients weighted by the slope of the score.

Notation: straight line `x(a) = x' + a D`, `D = x - x'`; `N` scores on the even grid `a_k = k h`, `h = 1 / (N - 1)`, and
`M` gradients. `A = D int grad F(x(a)) (dF / da) da`, whose sum is `int (dF / da)^2 da`.
Sampling: slopes `s_k = (F_k - F_{k-1}) / h`, shifted and scaled to [0, 1] and normalised, times `M` and rounded down,
give each cell `[a_{k-1}, a_k]` its number of gradients; those left over go one each to cells without any, the largest
fractions first. Gradients lie evenly in their cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.integration.integrate import Integral
from diffig.paths.straight import StraightPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class IntegratedDecisionGradients(Attributor):
    """Integrated Gradients weighted by the slope of the score; in units of a squared score: gap, absolute mass are NaN.

    The slope at a gradient is that gradient along the line, `<grad F, D>`, which is exact and free where the authors
    divide differences of scores by differences of `a`. Cells without a gradient are the flattest and count as flat.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: `M`, gradients for each image.
        probes: `N`, scores for each image; as many as gradients where none is given, as in the paper.
        as_released: place gradients as the authors' program does, which starts each cell where the last cell *with
            gradients* ended: skipped cells pull all later gradients towards the baseline.
    """

    name = "idg"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        probes: int | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.steps = check_at_least(steps, 1, "steps", "gradients along the straight line")
        default = max(2, self.steps)
        self.probes = check_at_least(default if probes is None else probes, 2, "probes", "scores that give the slopes")
        self.as_released = as_released

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: the map does not add up to a change of the score."""
        return False

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        path = StraightPath().generate(images, baselines, targets, self.score)
        batch, difference = len(images), images - baselines
        width = max(1, self.score.chunk_size // batch)
        grid = torch.arange(self.probes, device=images.device).to(images) / (self.probes - 1)
        values = [
            self.score.score(path.at(a.expand(batch, -1)).flatten(0, 1), targets.repeat_interleave(len(a)))
            for a in grid.split(width)
        ]
        places, widths = sample(torch.cat([part.view(batch, -1) for part in values], 1), self.steps, self.as_released)
        attribution = torch.zeros_like(images)
        for a, share in zip(places.split(width, 1), widths.split(width, 1), strict=True):
            points = path.at(a)
            gradients = self.score.value_and_grad(points.flatten(0, 1), targets.repeat_interleave(a.shape[1]))[1]
            gradients = gradients.view_as(points)
            slopes = (gradients * difference[:, None]).flatten(2).sum(2)
            attribution += (gradients * (slopes * share)[..., None, None, None]).sum(1) * difference
        nothing = images.new_full((batch,), torch.nan)
        return Integral(attribution, nothing, nothing.clone())


def sample(values: Tensor, steps: int, as_released: bool = False) -> tuple[Tensor, Tensor]:
    """Return the places `a` in [0, 1] `(B, M)`, rising, and the widths `(B, M)` that gradients stand for.

    A score of constant slope gets the same number everywhere, as does one that is not finite.

    Args:
        values: `(B, N)` scores on an even grid from 0 to 1.
        steps: `M`.
        as_released: see `IntegratedDecisionGradients`.
    """
    cells = values.shape[1] - 1
    slopes = values.diff(dim=1)
    lifted = slopes - slopes.amin(1, keepdim=True)
    total = lifted.sum(1, keepdim=True)
    # Differences of rounding are no slopes: a straight score would be sampled by its noise. Each cell has its own.
    noise = 8 * cells * torch.finfo(values.dtype).eps
    real = total > noise * values.abs().amax(1, keepdim=True)
    quota = steps * torch.where(real & total.isfinite(), lifted / torch.where(total > 0, total, 1), 1 / cells)
    counts = quota.floor()
    spare = (steps - counts.sum(1, keepdim=True)).long()
    urgency = quota - counts + (counts == 0)
    rank = urgency.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    counts = (counts + (rank < spare)).long()
    ends = counts.cumsum(1)
    number = torch.arange(steps, device=values.device).expand(len(values), -1).contiguous()
    cell = torch.searchsorted(ends, number, right=True)
    held = counts.gather(1, cell)
    within = ((number - (ends - counts).gather(1, cell)).to(values) + 0.5) / held
    if as_released:
        cell = ((counts > 0).cumsum(1) - 1).gather(1, cell)
    return (cell + within) / cells, 1 / (cells * held.to(values))
