"""Gradients integrated along a path, streaming: memory follows the chunk and not the number of nodes.

Notation: breaks `0 = s_0 < ... < s_M = T` on a path `P`, `dP_k = P(s_{k+1}) - P(s_k)`, `g = grad F`.
`left`: sum g(P(s_k)) dP_k; `right`: g(P(s_{k+1})); `midpoint`: g((P(s_k) + P(s_{k+1})) / 2); `trapezoid`: the mean of
left and right; `idgi` (Yang, Wang and Bilgic 2023): sum g_k^2 (F_{k+1} - F_k) / |g_k|^2, which telescopes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from diffig.attribution.quadrature import Nodes, breaks
from diffig.checks import check_choice
from diffig.paths.path import Path
from diffig.scores import ScoreFunction

Rule = Literal["left", "right", "midpoint", "trapezoid", "idgi"]


class Integral(NamedTuple):
    """What came of a path.

    attribution: `(B, C, H, W)`.
    gap: `(B,)` sum of the attribution minus `F(x) - F(x')`; 0 where completeness holds exactly.
    waste: `(B,)` attribution mass spent, sum over nodes of `|g dP|`; at least `|F(x) - F(x')|` in the limit.
    """

    attribution: Tensor
    gap: Tensor
    waste: Tensor


def integrate(
    path: Path,
    score: ScoreFunction,
    targets: Tensor,
    rule: Rule = "midpoint",
    *,
    steps: int | None = None,
    nodes: Nodes = "uniform",
) -> Integral:
    """Return the attribution of each path, its completeness gap and its waste.

    Args:
        path: a batch of `B` paths.
        score: what is explained; its chunk size bounds the memory.
        targets: `(B,)` classes.
        rule: `left | right | midpoint | trapezoid | idgi`.
        steps: pieces `M` the path is cut into; the path's own `T` where none is given. Gradients for each image:
            `M`, and one more for `trapezoid`.
        nodes: `uniform` in the path's own time, `score` (where the score changes; forward passes only to find out)
            or `arc_length`.
    """
    check_choice(rule, Rule, "rule")
    if targets.shape != (len(path),):
        raise ValueError(f"targets has shape {tuple(targets.shape)}; this batch holds {len(path)} paths")
    cuts = breaks(path, score, targets, path.n_segments if steps is None else steps, nodes)
    first, last = path.endpoints
    # One call for both ends: what the attribution ought to sum to.
    start, end = score.score(torch.cat([first, last]), targets.repeat(2)).chunk(2)
    if rule == "idgi":
        attribution, waste = _idgi(path, score, targets, cuts, end)
    else:
        attribution, waste = _riemann(path, score, targets, cuts, rule)
    if path.intended is not None:
        start, end = score.score(torch.cat(path.intended), targets.repeat(2)).chunk(2)
    return Integral(attribution, attribution.flatten(1).sum(1) - (end - start), waste)


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


def _riemann(path: Path, score: ScoreFunction, targets: Tensor, cuts: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    attribution = torch.zeros_like(path.images)
    waste = attribution.new_zeros(len(path))
    carried: Tensor | None = None  # the trapezoid shares the gradient at the border of two chunks
    for start, stop in _pieces(path, cuts, score.chunk_size):
        points = path.at(cuts[:, start : stop + 1])
        steps = points.diff(dim=1)
        if rule == "trapezoid":
            fresh = _gradients(score, points if carried is None else points[:, 1:], targets)[1]
            gradients = fresh if carried is None else torch.cat([carried, fresh], 1)
            carried = gradients[:, -1:]
            gradients = (gradients[:, 1:] + gradients[:, :-1]) / 2
        else:
            at = {"left": points[:, :-1], "right": points[:, 1:]}.get(rule)
            at = (points[:, :-1] + points[:, 1:]) / 2 if at is None else at
            gradients = _gradients(score, at, targets)[1]
        products = gradients * steps
        attribution += products.sum(1)
        waste += products.abs().flatten(1).sum(1)
    return attribution, waste


def _idgi(path: Path, score: ScoreFunction, targets: Tensor, cuts: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    attribution = torch.zeros_like(path.images)
    waste = attribution.new_zeros(len(path))
    pending: tuple[Tensor, Tensor] | None = None  # the last node waits for the score of the next
    for start, stop in _pieces(path, cuts, score.chunk_size):
        values, gradients = _gradients(score, path.at(cuts[:, start:stop]), targets)
        # Measured by the largest: the squares alone underflow where the score is saturated.
        largest = gradients.abs().amax((2, 3, 4), keepdim=True)
        squares = (gradients / torch.where(largest == 0, 1, largest)).square()
        size = squares.sum((2, 3, 4), keepdim=True)
        shares = squares / torch.where(size == 0, 1, size)
        if pending is not None:
            values = torch.cat([pending[0], values], 1)
            shares = torch.cat([pending[1], shares], 1)
        change = values.diff(dim=1)
        products = shares[:, :-1] * change[..., None, None, None]
        attribution += products.sum(1)
        waste += products.abs().flatten(1).sum(1)
        pending = values[:, -1:], shares[:, -1:]
    assert pending is not None
    final = pending[1][:, 0] * (end - pending[0][:, 0])[:, None, None, None]
    return attribution + final, waste + final.abs().flatten(1).sum(1)
