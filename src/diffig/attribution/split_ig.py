"""Left and right Integrated Gradients: the straight line cut where the score saturates (Miglani et al. 2020).

Notation: progress `p(a) = (F(x' + a (x - x')) - F(x')) / (F(x) - F(x'))`, threshold `phi`, `n` cells of width `1 / n`
with one gradient each. The split `a*` is an edge between cells: `first` crossing, the cells before it are those up to
the first whose node has `p > phi`; `last` crossing, the cells behind it are the longest run up to the image whose
nodes all have `p > phi`. A score that falls from baseline to image is cut in the same way, by its own progress.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.credit import Credit, Riemann, as_credit
from diffig.integration.integrate import Integral
from diffig.integration.quadrature import scores
from diffig.paths.straight import StraightPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

Part = Literal["left", "right", "full"]
Crossing = Literal["first", "last"]
SplitRule = Literal["left", "midpoint", "right"]
OFFSET = {"left": 0.0, "midpoint": 0.5, "right": 1.0}


class Split(NamedTuple):
    """Both parts of a batch of straight paths.

    left, right: the integrals from the baseline to the split and from there to the image; each gap is against the
        score at the split.
    position: `(B,)` `a*` in [0, 1]; 1 where no node lies beyond the threshold, and the right part is then zero.
    mass_share: `(B,)` share of the `absolute_mass` that falls into the right part; NaN where there is none at all.
    change_share: `(B,)` share of the score's change in the right part; NaN where the score does not change.
    """

    left: Integral
    right: Integral
    position: Tensor
    mass_share: Tensor
    change_share: Tensor


def split(
    score: ScoreFunction,
    images: Tensor,
    baselines: Tensor,
    targets: Tensor,
    *,
    steps: int = 128,
    phi: float = 0.9,
    crossing: Crossing = "first",
    rule: SplitRule = "midpoint",
    credit: Credit | None = None,
) -> Split:
    """Return both parts, where they meet, and what the saturated part holds; one pass of `steps` gradients.

    Args:
        score: what is explained.
        images, baselines: `(B, C, H, W)`.
        targets: `(B,)` classes.
        steps: `n`.
        phi: `phi` in (0, 1).
        crossing: `first`, seen from the baseline, or `last`, which a score that is not monotone does not mislead.
        rule: where a cell's node lies; the authors' is `right`.
        credit: how cells are divided among the features; gradient times step where none is given.
    """
    path = StraightPath().generate(images, baselines, targets, score)
    start, end = score.score(torch.cat([baselines, images]), targets.repeat(2)).chunk(2)
    change = end - start
    credit = credit or Riemann()
    edges = torch.arange(steps + 1, device=images.device).to(images) / steps
    along = scores(path, score, targets, edges.expand(len(images), -1)).diff(dim=1) if credit.needs_scores else None
    pieces = ((images - baselines) / steps)[:, None].expand(-1, steps, -1, -1, -1)
    # From the end that the rule looks from, cells are near until the first that breaks the run.
    cells = torch.arange(steps, device=images.device)
    cells = cells if crossing == "first" else cells.flip(0)
    near, far = torch.zeros_like(images), torch.zeros_like(images)
    mass_near, mass_far = images.new_zeros(len(images)), images.new_zeros(len(images))
    running = torch.ones(len(images), dtype=torch.bool, device=images.device)
    count = torch.zeros(len(images), dtype=torch.long, device=images.device)
    for group in cells.split(max(1, score.chunk_size // len(images))):
        # Divided whole: the last node is exactly the image.
        points = path.at(((group.to(images) + OFFSET[rule]) / steps).expand(len(images), -1))
        values, gradients = score.value_and_grad(points.flatten(0, 1), targets.repeat_interleave(len(group)))
        beyond = (values.view(len(images), -1) - start[:, None] - phi * change[:, None]) * change.sign()[:, None] > 0
        run = running[:, None] & (~beyond if crossing == "first" else beyond).long().cumprod(1).bool()
        running = run[:, -1]
        count += run.sum(1)
        part = None if along is None else along[:, group]
        products = credit.divide(gradients.view_as(points), pieces[:, group], part)
        inside = run[..., None, None, None]
        near += torch.where(inside, products, 0).sum(1)
        far += torch.where(inside, 0, products).sum(1)
        sizes = products.abs().flatten(2).sum(2)
        mass_near += torch.where(run, sizes, 0).sum(1)
        mass_far += torch.where(run, 0, sizes).sum(1)
    if crossing == "last":
        near, far, mass_near, mass_far, count = far, near, mass_far, mass_near, steps - count
    position = count.to(images) / steps
    middle = score.score(path.at(position[:, None])[:, 0], targets)
    left = Integral(near, near.flatten(1).sum(1) - (middle - start), mass_near)
    right = Integral(far, far.flatten(1).sum(1) - (end - middle), mass_far)
    change_share = torch.where(change == 0, torch.nan, (end - middle) / change)
    return Split(left, right, position, mass_far / (mass_near + mass_far), change_share)


class SplitIG(Attributor):
    """One part of Integrated Gradients, `steps` gradients for each image whichever part is asked for.

    The gap is the part's own: against `F(split) - F(x')` for the left part and `F(x) - F(split)` for the right. Where
    the threshold is crossed at no node, the left part is the whole and the right part zero.

    Args:
        score, baseline, seed: as in `Attributor`.
        part: `left` (Left IG), `right` (the saturated part), or `full`, which is Integrated Gradients.
        steps, phi, crossing, rule: as in `split`; .9 is what later papers take, the authors' notebook has .9 and .95.
        credit: how cells are divided among the features, an object of `diffig.credit` or its name; gradient times step
            where none is given.
    """

    name = "split_ig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        part: Part = "left",
        steps: int = 128,
        phi: float = 0.9,
        crossing: Crossing = "first",
        rule: SplitRule = "midpoint",
        credit: Credit | str | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        for name, value, kind in (("part", part, Part), ("crossing", crossing, Crossing), ("rule", rule, SplitRule)):
            if value not in get_args(kind):
                raise ValueError(f"{name}={value!r} is unknown to split IG; choose one of {list(get_args(kind))}")
        if not 0 < phi < 1:
            raise ValueError(f"phi={phi} must lie in (0, 1); 0.9 is usual")
        self.steps = check_at_least(steps, 1, "steps", "gradients along the straight line")
        self.part, self.phi, self.crossing, self._rule = part, float(phi), crossing, rule
        self.credit = as_credit(rule if credit is None else credit)
        self.name = f"{part}_ig"

    def split(self, images: Tensor, baselines: Tensor, targets: Tensor) -> Split:
        """Return both parts of images and baselines `(B, C, H, W)` for classes `(B,)`; see `split`."""
        options = {"phi": self.phi, "crossing": self.crossing, "rule": self._rule, "credit": self.credit}
        return split(self.score, images, baselines, targets, steps=self.steps, **options)  # type: ignore[arg-type]

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        parts = self.split(images, baselines, targets)
        if self.part != "full":
            return parts.left if self.part == "left" else parts.right
        return Integral(*(left + right for left, right in zip(parts.left, parts.right, strict=True)))
