"""Quadrature nodes: how a path is cut into pieces, with one gradient each.

A path is straight between two of its points, so pieces should be small where the score bends, whatever the path's own
clock says. Gradients are expensive and forward passes cheap: `nodes=score` first looks where the score changes, and
puts the gradients there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice
from diffig.paths.path import Path
from diffig.scores import ScoreFunction

Nodes = Literal["uniform", "score", "arc_length"]


class Cuts(NamedTuple):
    """positions: `(B, M + 1)`, rising from 0 to T. scores: `(B, M + 1)` there, None where nobody asked."""

    positions: Tensor
    scores: Tensor | None


def cut(
    path: Path, score: ScoreFunction, targets: Tensor, steps: int, nodes: Nodes = "uniform", ask: bool = False
) -> Cuts:
    """Return where each path is cut and, where `ask` says so, the scores there.

    With `nodes=score` and scores asked for, the cuts are chosen among the places that were looked at to choose them,
    `2 steps + 1` of an even grid: no forward image is spent twice.

    Args:
        path, score, targets, steps, nodes: as in `breaks`.
        ask: whether scores at the cuts are needed, `steps + 1` forward images for each path.
    """
    if not ask:
        return Cuts(breaks(path, score, targets, steps, nodes), None)
    if nodes != "score":
        positions = breaks(path, score, targets, steps, nodes)
        return Cuts(positions, scores(path, score, targets, positions))
    check_at_least(steps, 1, "steps", "the integral needs at least one piece")
    cells = 2 * steps
    probes = torch.linspace(0, path.n_segments, cells + 1, device=path.images.device, dtype=path.images.dtype)
    seen = scores(path, score, targets, probes.expand(len(path), -1))
    chosen = _rising(_places(seen.diff(dim=1).abs(), steps) * cells, cells)
    return Cuts(probes[chosen], seen.gather(1, chosen))


def breaks(path: Path, score: ScoreFunction, targets: Tensor, steps: int, nodes: Nodes = "uniform") -> Tensor:
    """Return rising positions `(B, steps + 1)` from exactly 0 to exactly T that cut each path into pieces.

    Args:
        path: a batch of paths with `T` segments.
        score, targets: what is explained; `score` nodes cost about `steps` forward images for each path.
        steps: the number of pieces, hence of gradients.
        nodes: `uniform` in the path's own time; `score` in proportion to the change of the score; `arc_length` in
            proportion to the L1 length.
    """
    check_at_least(steps, 1, "steps", "the integral needs at least one piece")
    check_choice(nodes, Nodes, "nodes")
    if nodes == "uniform":
        even = torch.linspace(0, path.n_segments, steps + 1, device=path.images.device, dtype=path.images.dtype)
        return even.expand(len(path), -1)
    # As many probes as pieces; whole segments where `place` deals them out segment by segment.
    cells = steps if steps < 2 * path.n_segments else path.n_segments * -(-steps // path.n_segments)
    probes = torch.linspace(0, path.n_segments, cells + 1, device=path.images.device, dtype=path.images.dtype)
    mass = _score_change(path, score, targets, probes) if nodes == "score" else _length(path, score, probes)
    return place(mass, steps, path.n_segments)


def place(mass: Tensor, steps: int, n_segments: int, floor: float = 0.1) -> Tensor:
    """Return breaks `(B, steps + 1)` in [0, T] so that pieces hold equal shares of `mass`.

    Args:
        mass: `(B, T * r)` non-negative, on cells of equal width, `r` for each segment.
        steps: the number of pieces.
        n_segments: `T`. With `steps >= 2 T` every segment keeps at least one piece and no piece crosses a knot of the
            path; with fewer that would leave too little to place, and knots are ignored.
        floor: share of the mass spread evenly, so that a flat stretch is not skipped blindly.
    """
    mass = _blended(mass, floor)
    if steps < 2 * n_segments:
        return _quantiles(mass, torch.linspace(0, 1, steps + 1, device=mass.device, dtype=mass.dtype), n_segments)
    in_segment = mass.unflatten(1, (n_segments, -1))
    share = in_segment.sum(2)
    quota = share * (steps - n_segments)
    counts = quota.floor()
    # Largest remainders get the pieces that rounding down has left over.
    spare = (steps - n_segments - counts.sum(1, keepdim=True)).long()
    rank = (quota - counts).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    counts = (1 + counts + (rank < spare)).long()
    ends = counts.cumsum(1)
    piece = torch.arange(steps, device=mass.device).expand(len(mass), -1).contiguous()
    segment = torch.searchsorted(ends, piece, right=True)
    within = piece - (ends - counts).gather(1, segment)
    level = within.to(mass) / counts.gather(1, segment)  # whole numbers alone would divide in float32
    cumulative = torch.cat([torch.zeros_like(share)[..., None], (in_segment / share[..., None]).cumsum(2)], 2)
    rows = torch.arange(len(mass), device=mass.device)[:, None]
    position = segment + _inverse(cumulative[rows, segment], level[..., None])[..., 0]
    return torch.cat([position, torch.full_like(position[:, :1], n_segments)], 1)


def _places(mass: Tensor, steps: int, floor: float = 0.1) -> Tensor:
    """Quantiles `(B, steps + 1)` in [0, 1] of `mass` `(B, R)` on even cells, a share `floor` of it spread evenly."""
    return _quantiles(_blended(mass, floor), torch.linspace(0, 1, steps + 1).to(mass), 1)


def _blended(mass: Tensor, floor: float) -> Tensor:
    mass = torch.where(mass.isfinite(), mass, 0)
    total = mass.sum(1, keepdim=True)
    mass = torch.where(total > 0, mass / torch.where(total > 0, total, 1), 1 / mass.shape[1])
    return (1 - floor) * mass + floor / mass.shape[1]


def _rising(places: Tensor, last: int) -> Tensor:
    """The whole numbers nearest to rising `places` `(B, n + 1)` that rise by at least 1 from 0 to `last`."""
    step = torch.arange(places.shape[1], device=places.device)
    room = (places.round().long() - step).clamp(min=0).cummax(1).values
    return room.clamp(max=last - (places.shape[1] - 1)) + step


def _quantiles(mass: Tensor, levels: Tensor, n_segments: int) -> Tensor:
    cumulative = torch.cat([torch.zeros_like(mass[:, :1]), mass.cumsum(1)], 1)
    position = _inverse(cumulative, levels.expand(len(mass), -1).contiguous()) * n_segments
    position[:, 0], position[:, -1] = 0, n_segments
    return position


def _inverse(cumulative: Tensor, levels: Tensor) -> Tensor:
    """Positions in [0, 1] where a piecewise linear distribution `(..., R + 1)` reaches `levels` `(..., n)`."""
    cells = cumulative.shape[-1] - 1
    upper = torch.searchsorted(cumulative.contiguous(), levels, right=True).clamp(1, cells)
    low, high = cumulative.gather(-1, upper - 1), cumulative.gather(-1, upper)
    return ((upper - 1) + ((levels - low) / (high - low)).clamp(0, 1)) / cells


def _score_change(path: Path, score: ScoreFunction, targets: Tensor, probes: Tensor) -> Tensor:
    """|change of the score| `(B, cells)` over each cell."""
    return scores(path, score, targets, probes.expand(len(path), -1)).diff(dim=1).abs()


def scores(path: Path, score: ScoreFunction, targets: Tensor, positions: Tensor) -> Tensor:
    """Return the scores `(B, n)` at positions `(B, n)` of a batch of paths, as many at a time as the chunk holds."""
    width = max(1, score.chunk_size // len(path))
    values = []
    for chunk in positions.split(width, 1):
        points = path.at(chunk).flatten(0, 1)
        values.append(score.score(points, targets.repeat_interleave(chunk.shape[1])).view(len(path), -1))
    return torch.cat(values, 1)


def _length(path: Path, score: ScoreFunction, probes: Tensor) -> Tensor:
    """L1 length `(B, cells)` of each cell."""
    width = max(1, score.chunk_size // len(path))
    lengths = []
    for start in range(0, len(probes) - 1, width):
        points = path.at(probes[start : start + width + 1].expand(len(path), -1))
        lengths.append(points.diff(dim=1).abs().flatten(2).sum(2))
    return torch.cat(lengths, 1)
