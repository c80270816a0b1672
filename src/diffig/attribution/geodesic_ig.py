"""Geodesic IG (Salek and co-authors 2025): integration along a curve of least resistance through the classifier.

The paper searches such curves with a graph of neighbours, or by variational inference with up to 100 000 steps through
second derivatives, and its program holds the ends only softly. Here the same kind of energy is minimised by a few
Gauss-Newton steps with first derivatives and exact ends, within the budget of every other method.
"""

from __future__ import annotations

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.credit import Credit, Rule
from diffig.integration.quadrature import Nodes
from diffig.paths.geodesic_ig import GeodesicPath
from diffig.scores import ScoreFunction


class GeodesicIG(PathAttributor):
    """Half of the budget bends the straight line into a geodesic, the rest integrates along it.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: backward images for each image, both halves together.
        iterations, strength: of the path, see `GeodesicPath`; it has `steps / 2 / iterations` free points.
        rule, credit, nodes: of the integral, see `PathAttributor`.

    Raises:
        ValueError: `steps` are fewer than `2 * iterations`.
    """

    name = "geodesic_ig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        iterations: int = 4,
        strength: float = 10.0,
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
    ) -> None:
        check_at_least(iterations, 1, "iterations", "looks at all points of the path; 1 leaves the straight line")
        check_at_least(steps, 2 * iterations, "steps", "half of them must give each iteration a point to move")
        path = GeodesicPath(steps // 2 // iterations, iterations, strength)
        left = steps - path.backward_images
        super().__init__(score, path, baseline, seed, steps=left, rule=rule, credit=credit, nodes=nodes)
