"""The integral along a path, summed piece by piece: memory depends on the chunk and not on the number of pieces.

Notation: cuts `0 = s_0 < ... < s_M = T` on a path `P`, pieces `dP_k = P(s_{k+1}) - P(s_k)` with `dF_k` their change of
the score, and a credit that says what each feature gets of a piece, see `diffig.credit`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diffig.credit import Credit, as_credit
from diffig.integration.quadrature import Nodes, cut
from diffig.paths.path import Path
from diffig.renamed import old_arguments, tell
from diffig.scores import ScoreFunction


@old_arguments(waste="absolute_mass")
class Integral(NamedTuple):
    """What came of a path.

    attribution: `(B, C, H, W)`.
    gap: `(B,)` sum of the attribution minus `F(x) - F(x')`; 0 where completeness holds exactly.
    absolute_mass: `(B,)` the absolute values of what features get, summed over the pieces of the path; at least
        `|F(x) - F(x')|` in the limit.
    """

    attribution: Tensor
    gap: Tensor
    absolute_mass: Tensor

    @property
    def waste(self) -> Tensor:
        """The old name of `absolute_mass`."""
        tell("Integral.waste", "absolute_mass")
        return self.absolute_mass


def integrate(
    path: Path,
    score: ScoreFunction,
    targets: Tensor,
    credit: Credit | str = "midpoint",
    *,
    steps: int | None = None,
    nodes: Nodes = "uniform",
) -> Integral:
    """Return the attribution of each path, its completeness gap and its absolute mass.

    Args:
        path: a batch of `B` paths.
        score: what is explained; its chunk size bounds the memory.
        targets: `(B,)` classes.
        credit: how pieces are divided; `left | right | midpoint | trapezoid` are Riemann sums, other names those of
            `diffig.credit.CREDITS`.
        steps: pieces `M` the path is cut into; the path's own `T` where none is given. Gradients for each image:
            `M`, and one more for `trapezoid`.
        nodes: `uniform` in the path's own time, `score` (where the score changes; forward passes only to find out)
            or `arc_length`.
    """
    credit = as_credit(credit)
    if targets.shape != (len(path),):
        raise ValueError(f"targets has shape {tuple(targets.shape)}; this batch holds {len(path)} paths")
    ask = credit.needs_scores and credit.where != "left"  # left gradients bring their scores along
    cuts, scores = cut(path, score, targets, path.n_segments if steps is None else steps, nodes, ask)
    if scores is None:
        # One call for both ends: what the attribution ought to sum to.
        start, end = score.score(torch.cat(path.endpoints), targets.repeat(2)).chunk(2)
    else:
        start, end = scores[:, 0], scores[:, -1]
    attribution, mass = _add_up(path, score, targets, cuts, scores, end, credit)
    if path.intended is not None:
        start, end = score.score(torch.cat(path.intended), targets.repeat(2)).chunk(2)
    return Integral(attribution, attribution.flatten(1).sum(1) - (end - start), mass)


def _pieces(path: Path, cuts: Tensor, chunk_size: int) -> list[tuple[int, int]]:
    """Ranges of pieces, as many at a time as the chunk holds for all images (one where the batch alone fills it)."""
    width = max(1, chunk_size // len(path))
    total = cuts.shape[1] - 1
    return [(start, min(start + width, total)) for start in range(0, total, width)]


def _gradients(score: ScoreFunction, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Scores `(B, K)` and gradients `(B, K, C, H, W)` at points `(B, K, C, H, W)`."""
    count = points.shape[1]
    values, gradients = score.value_and_grad(points.flatten(0, 1), targets.repeat_interleave(count))
    return values.view(-1, count), gradients.view_as(points)


class _Held(NamedTuple):
    """A piece that waits for the score at its end: score at its start `(B, 1)`, gradient and step."""

    value: Tensor
    gradient: Tensor
    step: Tensor


def _add_up(
    path: Path,
    score: ScoreFunction,
    targets: Tensor,
    cuts: Tensor,
    scores: Tensor | None,
    end: Tensor,
    credit: Credit,
) -> tuple[Tensor, Tensor]:
    """The sum over pieces of what each feature gets `(B, C, H, W)`, and of its size `(B,)`."""
    attribution = torch.zeros_like(path.images)
    mass = attribution.new_zeros(len(path))

    def add(gradients: Tensor, steps: Tensor, change: Tensor | None) -> None:
        products = credit.divide(gradients, steps, change)
        attribution.add_(products.sum(1))
        mass.add_(products.abs().flatten(1).sum(1))

    edge: Tensor | None = None  # the trapezoid shares the gradient at the border of two chunks
    held: _Held | None = None
    for start, stop in _pieces(path, cuts, score.chunk_size):
        points = path.at(cuts[:, start : stop + 1])
        steps = points.diff(dim=1)
        if credit.where == "trapezoid":
            fresh = _gradients(score, points if edge is None else points[:, 1:], targets)[1]
            gradients = fresh if edge is None else torch.cat([edge, fresh], 1)
            edge = gradients[:, -1:]
            gradients = (gradients[:, 1:] + gradients[:, :-1]) / 2
        else:
            at = {"left": points[:, :-1], "right": points[:, 1:]}.get(credit.where)
            values, gradients = _gradients(score, (points[:, :-1] + points[:, 1:]) / 2 if at is None else at, targets)
        if not credit.needs_scores:
            add(gradients, steps, None)
        elif scores is not None:
            add(gradients, steps, scores[:, start : stop + 1].diff(dim=1))
        else:
            if held is not None:
                values, gradients, steps = (
                    torch.cat(pair, 1) for pair in zip(held, (values, gradients, steps), strict=True)
                )
            if values.shape[1] > 1:
                add(gradients[:, :-1], steps[:, :-1], values.diff(dim=1))
            held = _Held(values[:, -1:], gradients[:, -1:], steps[:, -1:])
    if held is not None:
        add(held.gradient, held.step, end[:, None] - held.value)
    return attribution, mass
