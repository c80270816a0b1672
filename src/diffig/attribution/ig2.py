"""IG2 (Zhuo and Ge 2024): integration along a path to a counterfactual, made with images of other classes.

Notation: path `x_0 = x, ..., x_T` of a reference, see `diffig.paths.ig2`; its attribution is
`sum_k grad F((x_k + x_{k+1}) / 2) (x_k - x_{k+1})`, which sums to `F(x) - F(x_T)`; the mean over references is taken.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.banked import BankedAttributor
from diffig.attribution.walk import Walk
from diffig.baselines import Baseline, Dataset
from diffig.checks import check_at_least
from diffig.credit import Credit, as_credit
from diffig.integration.integrate import Integral
from diffig.paths.ig2 import GradPath
from diffig.paths.representation import represent
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

# The step of the released comparison, 0.02 in units of ImageNet's standard deviation, in pixels of [0, 1].
RELEASED_STEP = 0.02 * 0.226


class IG2(BankedAttributor):
    """Paths to counterfactuals; the baseline plays no part and the gap is that of the paths' own ends.

    References are drawn from the bank, keyed by the image, until enough are found that the classifier itself does not
    take for the target; each draw costs a forward image, whatever else is in the batch. Where the whole bank is taken
    for the target, the images whose lead of the target is smallest serve.

    Args:
        score, baseline, seed, references: as in `BankedAttributor`.
        n_references: paths for each image. Where the bank has fewer images of other classes, these serve in turn.
        steps: backward images for each path: half make it, half integrate.
        travel, layer: of the path, see `GradPath`.
        as_released: as in the comparisons of the DiffIG authors: references of any class, steps so short that a path
            hardly leaves the image (length 0.0045 in pixels, whatever the image's size), no clipping, and gradients at
            the start of each step in place of its middle.
        credit: how steps are divided among the features, an object of `diffig.credit` or its name; gradient times step
            where none is given.

    Raises:
        ValueError: an empty bank, or one of other images' size.
    """

    name = "ig2"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        references: Dataset | None = None,
        n_references: int = 3,
        steps: int = 128,
        travel: float = 0.52,
        layer: str | None = None,
        as_released: bool = False,
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed, references=references)
        self.credit = as_credit(credit or "midpoint")
        self.n_references = check_at_least(n_references, 1, "n_references", "paths for each image")
        self.steps = check_at_least(steps, 2, "steps", "one gradient makes a step of the path, one integrates it")
        self.travel, self.layer, self.as_released = travel, layer, as_released
        self.grad_path = GradPath(steps // 2, travel, layer)

    def choose(self, images: Tensor, targets: Tensor, streams: Streams) -> Tensor:
        """Return the representations of each image's references, `(B, n_references, d)`."""
        bank = self._bank(images)
        orders = [streams.numpy(row, purpose="ig2").permutation(len(bank)) for row in range(len(images))]
        found: list[list[Tensor]] = [[] for _ in orders]
        others: list[list[tuple[float, Tensor]]] = [[] for _ in orders]
        seen = [0] * len(orders)
        while True:
            asked = []
            for row, order in enumerate(orders):
                until = min(seen[row] + self.n_references - len(found[row]), len(order))
                asked += [(row, int(pick)) for pick in order[seen[row] : until]]
                seen[row] = until
            if not asked:
                break
            rows = torch.tensor([row for row, _ in asked], device=targets.device)
            drawn = bank[[pick for _, pick in asked]].to(images)
            logits, vectors = represent(self.score, drawn, self.layer)
            for row, lead, vector in zip(rows.tolist(), _lead(logits, targets[rows]), vectors, strict=True):
                if lead < 0 or self.as_released:
                    found[row].append(vector)
                else:
                    others[row].append((lead, vector))
        for chosen, rest in zip(found, others, strict=True):
            if not chosen:
                rest.sort(key=lambda pair: pair[0])
                chosen += [vector for _, vector in rest[: self.n_references]]
        places = range(self.n_references)
        return torch.stack([torch.stack([chosen[k % len(chosen)] for k in places]) for chosen in found])

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        path = self.grad_path
        if self.as_released:
            travel = RELEASED_STEP * path.n_segments / images[0].numel() ** 0.5
            path = GradPath(path.n_segments, travel, self.layer, clip=False)
        attribution, mass = torch.zeros_like(images), images.new_zeros(len(images))
        reached = torch.zeros_like(mass)
        for wanted in self.choose(images, targets, streams).unbind(1):
            end, walk = images, Walk(self.credit, self.score, images, targets)
            for old, new in path.walk(images, wanted, self.score):
                at = old if self.as_released else (old + new) / 2
                walk.add(old, new, self.score.value_and_grad(at, targets)[1])
                end = new
            attribution -= walk.attribution / self.n_references  # walked away from the image
            mass += walk.absolute_mass / self.n_references
            reached += self.score.score(end, targets) / self.n_references
        gap = attribution.flatten(1).sum(1) - (self.score.score(images, targets) - reached)
        return Integral(attribution, gap, mass)


def _lead(logits: Tensor, targets: Tensor) -> list[float]:
    """By how much each target's logit leads the largest other one; below 0 where another class is predicted."""
    index = targets[:, None]
    others = logits.scatter(1, index, -torch.inf).amax(1)
    lead: list[float] = (logits.gather(1, index)[:, 0] - others).tolist()
    return lead
