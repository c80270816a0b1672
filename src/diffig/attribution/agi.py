"""AGI, adversarial gradient integration (Pan, Li and Zhu 2021): no baseline, but paths to other classes.

Notation: classes `j = 1 ... K` other than the target, path `p_0 = x, p_1, ...` of class `j` that ends at `x_j`;
`A = sum_j sum_k grad F(p_k) (p_k - p_{k+1})`, so that `sum A` is `sum_j F(x) - F(x_j)` up to quadrature.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.walk import Walk
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.credit import Credit, as_credit
from diffig.integration.integrate import Integral
from diffig.paths.agi import AdversarialPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class AdversarialGradientIntegration(Attributor):
    """The sum, not the mean, over paths to `K` other classes; the gap is that of their own ends.

    Args:
        score, baseline, seed: as in `Attributor`; the baseline plays no part.
        n_classes: `K`, the classes the image resembles most; all others where there are fewer. The paper takes 20.
        step_size, max_steps: of the paths, see `AdversarialPath`. At most `K * max_steps` points for each image, each
            one forward and two backward images.
        as_released: the authors' program: steps are measured from the image, so that no path is followed and the sum
            of attributions means nothing; classes are evenly spaced numbers (the target gives way to its neighbour).
        credit: how steps are divided among the features, an object of `diffig.credit` or its name; gradient times step
            where none is given.

    Raises:
        ValueError: a credit that divides changes of the score, and no path that they belong to (`as_released`).
    """

    name = "agi"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        n_classes: int = 20,
        step_size: float = 0.05,
        max_steps: int = 20,
        as_released: bool = False,
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.credit = as_credit(credit or "left")
        if as_released and self.credit.needs_scores:
            raise ValueError(
                f"credit={self.credit} divides what the score does along a path, and as_released=true follows none; "
                "leave one of them out, or take credit=riemann"
            )
        self.n_classes = check_at_least(n_classes, 1, "n_classes", "classes that paths head for")
        self.as_released = as_released
        self.path = AdversarialPath(step_size, max_steps, as_released)

    def others(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the classes that paths head for, `(B, K)`, most likely first; never the target."""
        logits = self.score.logits(images)
        known = logits.shape[1]
        if known < 2:
            raise ValueError(f"{self.name} needs another class to head for; the classifier knows {known}")
        if not self.as_released:
            return logits.scatter(1, targets[:, None], -torch.inf).topk(min(self.n_classes, known - 1)).indices
        count = min(self.n_classes, known)
        grid = (torch.arange(count, device=images.device) * (known // count)).expand(len(images), -1)
        neighbour = torch.where(targets < known - 1, targets + 1, targets - 1)
        return torch.where(grid == targets[:, None], neighbour[:, None], grid)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        others = self.others(images, targets)
        attribution, mass = torch.zeros_like(images), images.new_zeros(len(images))
        change = torch.zeros_like(mass)
        start = self.score.score(images, targets)
        for heads in others.split(max(1, self.score.chunk_size // len(images)), 1):
            count = heads.shape[1]
            points, classes = images.repeat_interleave(count, 0), targets.repeat_interleave(count)
            ends, walk = points.clone(), Walk(self.credit, self.score, points, classes)
            for step in self.path.walk(points, classes, heads.flatten(), self.score):
                walk.add(step.start, step.end, step.gradient, step.rows)
                ends[step.rows] = step.end
            attribution -= walk.attribution.unflatten(0, (-1, count)).sum(1)  # walked away from the image
            mass += walk.absolute_mass.view(-1, count).sum(1)
            reached = self.score.score(ends, classes).view(-1, count)
            change += (start[:, None] - reached).sum(1)
        return Integral(attribution, attribution.flatten(1).sum(1) - change, mass)
