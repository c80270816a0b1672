"""FRInGe's walk from the image to the prediction of largest entropy, along a geodesic of predictions (2026).

Notation: probabilities `p(x)` of `K` classes, `u = 1 / K`. On the sphere of `sqrt(p)` the geodesic from `p(x)` to `u`
is an arc; it is cut at waypoints `q_1 ... q_n = u` whose neighbours are at most about `d` apart in KL divergence.
Towards each waypoint the image moves by natural gradient, `v = inv(A) grad KL(q | p)` with `A` Fisher's metric and a
prior, and `x <- x - t v`. The step `t` is the best one by the quadratic model, in which the prior has no part, as long
as the model's `KL(p_old | p_new)` stays below `d` and `|t v|` below a radius; it is halved until the true divergence
is below `d` too and `KL(q | p)` has fallen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.fisher_metric import Prior, natural_direction
from diffig.paths.shared_forward import logits_and_gradients
from diffig.paths.waypoints import Waypoints, divergence_of
from diffig.scores import ScoreFunction

HALVINGS = 6
REACHED = 0.1  # a waypoint counts as reached within this share of `d`


class FisherRaoNode(NamedTuple):
    """Where some of the walks stand.

    rows: `(m,)` which images they belong to.
    points: `(m, C, H, W)`.
    gradient: `(m, C, H, W)` of the explained score there.
    """

    rows: Tensor
    points: Tensor
    gradient: Tensor


class FisherRaoWalk:
    """Walks of a whole batch in lock-step, at most `max_steps` steps for each waypoint; each ends for itself.

    Args:
        divergence: `d`, between waypoints and of each step, in nats.
        max_steps: steps towards one waypoint; the next is then taken up from where the walk stands.
        radius: longest step, as the root mean square over all numbers of an image in [0, 1].
        damping, smoothing: of the prior, see `Prior`; 2 is the authors' 0.1 in units of ImageNet's standard deviation.
        cg_iterations, cg_tolerance: of the conjugate gradients.
        clip: keep points in [0, 1].
    """

    def __init__(
        self,
        divergence: float = 0.05,
        max_steps: int = 10,
        radius: float = 0.01,
        damping: float = 2.0,
        smoothing: float = 2.0,
        cg_iterations: int = 20,
        cg_tolerance: float = 1e-3,
        clip: bool = True,
    ) -> None:
        for name, value in (("divergence", divergence), ("radius", radius), ("damping", damping)):
            if not value > 0:
                raise ValueError(f"{name}={value} must be positive; the defaults are 0.05, 0.01 and 2")
        if not smoothing >= 0:
            raise ValueError(f"smoothing={smoothing} must be at least 0, no smoothing")
        self.divergence, self.radius, self.damping, self.smoothing = divergence, radius, damping, smoothing
        self.max_steps = check_at_least(max_steps, 1, "max_steps", "steps towards one waypoint")
        self.cg_iterations = check_at_least(cg_iterations, 1, "cg_iterations", "of the conjugate gradients")
        self.cg_tolerance, self.clip = cg_tolerance, clip

    def walk(self, images: Tensor, targets: Tensor, score: ScoreFunction) -> Iterator[FisherRaoNode]:
        """Yield the nodes of the walks: all images first, then those that have moved; the last ones are the ends.

        A node costs its image one forward and two backward images, each iteration of the conjugate gradients one and
        one, and each try of a step one forward image.
        """
        start = score.logits(images).softmax(1)
        arcs = Waypoints(start, self.divergence)
        prior = Prior(images, self.damping, self.smoothing)
        points, goal, tried = images.clone(), torch.ones_like(arcs.count), torch.zeros_like(arcs.count)
        rows, fresh = torch.arange(len(images), device=images.device), torch.ones_like(arcs.count, dtype=torch.bool)
        while len(rows):
            likely, pull, gradient = self._look(score, points[rows], targets[rows], arcs.at(rows, goal[rows]))
            if bool(fresh[rows].any()):
                yield FisherRaoNode(rows[fresh[rows]], points[rows[fresh[rows]]], gradient[fresh[rows]])
            going = goal[rows] <= arcs.count[rows]
            rows, likely, pull = rows[going], likely[going], pull[going]
            if len(rows) == 0:
                return
            new, after, moved = self._step(score, points[rows], likely, pull, arcs.at(rows, goal[rows]), prior)
            points[rows], fresh[rows] = new, moved
            tried[rows] += 1
            # A waypoint is left where it is reached, where steps are used up, or where no step helps.
            left = ~moved | (tried[rows] >= self.max_steps)
            while True:
                waiting = goal[rows] <= arcs.count[rows]
                near = divergence_of(arcs.at(rows, goal[rows]), after) <= REACHED * self.divergence
                passed = waiting & (left | near)
                if not bool(passed.any()):
                    break
                goal[rows[passed]] += 1
                tried[rows[passed]] = 0
                left = torch.zeros_like(left)
            # Whoever gave up the last waypoint without moving has its end already.
            rows = rows[(goal[rows] <= arcs.count[rows]) | fresh[rows]]

    def _look(
        self, score: ScoreFunction, points: Tensor, targets: Tensor, wanted: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, the gradient of `KL(wanted | p)` and that of the score."""

        def pull(logits: Tensor, part: slice) -> Tensor:
            return -(wanted[part].clone() * logits.log_softmax(1)).sum(1)

        def of_score(logits: Tensor, part: slice) -> Tensor:
            return score.read(logits, targets[part].clone())

        logits, (gradient, explained) = logits_and_gradients(score, points, [pull, of_score])
        return logits.softmax(1), gradient, explained

    def _step(
        self, score: ScoreFunction, points: Tensor, likely: Tensor, pull: Tensor, wanted: Tensor, prior: Prior
    ) -> tuple[Tensor, Tensor, Tensor]:
        """New points, their probabilities, and which have moved."""
        direction, curvature = natural_direction(score, points, pull, prior, self.cg_iterations, self.cg_tolerance)
        size = direction.flatten(1).norm(dim=1)
        longest = self.radius * points[0].numel() ** 0.5
        tiny = torch.finfo(points.dtype).tiny
        length = torch.minimum((2 * self.divergence / curvature.clamp_min(tiny)).sqrt(), longest / size.clamp_min(tiny))
        length = torch.minimum(length, (pull * direction).flatten(1).sum(1) / curvature.clamp_min(tiny))
        new, after = points.clone(), likely.clone()
        moved = torch.zeros_like(size, dtype=torch.bool)
        before = divergence_of(wanted, likely)
        for _ in range(HALVINGS):
            rows = (~moved).nonzero()[:, 0]
            if len(rows) == 0:
                break
            trial = points[rows] - length[rows, None, None, None] * direction[rows]
            trial = trial.clamp(0, 1) if self.clip else trial
            found = score.logits(trial).softmax(1)
            good = divergence_of(likely[rows], found) <= self.divergence
            good &= divergence_of(wanted[rows], found) < before[rows]
            taken = rows[good]
            new[taken], after[taken], moved[taken] = trial[good], found[good], True
            length[rows] /= 2
        return new, after, moved
