"""Methods that are a path, an integrator and an aggregator."""

from __future__ import annotations

from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least, check_choice
from diffig.credit import Credit, Rule, as_credit
from diffig.integration.aggregate import Aggregation
from diffig.integration.combine import combine
from diffig.integration.integrate import Integral, integrate
from diffig.integration.quadrature import Nodes
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import Path
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class PathAttributor(Attributor):
    """A path, an integrator and an aggregator.

    Args:
        score, baseline, seed: as in `Attributor`.
        path: makes the paths.
        steps: gradients for each path.
        rule: where the gradients of a Riemann sum are taken, or `idgi`.
        credit: how pieces are divided among the features, an object of `diffig.credit` or its name; the Riemann sum of
            `rule` where none is given.
        nodes: where the path is cut, see `integrate`.
        n_paths: random candidates for each image, made and integrated together.
        aggregation: of the candidates, see `aggregate`.
    """

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        path: PathGenerator,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
        n_paths: int = 1,
        aggregation: Aggregation = "mean",
    ) -> None:
        super().__init__(score, baseline, seed)
        self.path, self.nodes, self.aggregation = path, nodes, aggregation
        check_choice(rule, Rule, "rule")
        self.credit = as_credit(rule if credit is None else credit)
        self.steps = check_at_least(steps, 1, "steps", "gradients for each path")
        self.n_paths = check_at_least(n_paths, 1, "n_paths", "candidate paths for each image")
        if not path.is_random:
            self.n_paths = 1  # all candidates would be alike

    def _path(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Path:
        return self.path.generate(images, baselines, targets, self.score, n_paths=self.n_paths, streams=streams)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        path = self._path(images, baselines, targets, streams)
        repeated = candidates(targets, self.n_paths)
        integral = integrate(path, self.score, repeated, self.credit, steps=self.steps, nodes=self.nodes)
        return combine(integral, self.aggregation, ExplainBatch(images, baselines, targets, self.score))
