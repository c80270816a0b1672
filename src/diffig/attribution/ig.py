"""Integrated Gradients (Sundararajan, Taly and Yan 2017)."""

from __future__ import annotations

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.quadrature import Nodes
from diffig.paths.straight import StraightPath
from diffig.scores import ScoreFunction


class IntegratedGradients(PathAttributor):
    """Gradients along the straight line; `steps` gradients for each image, all in one batch.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps, rule, credit, nodes: of the integral, see `PathAttributor` (the paper draws a right sum).
    """

    name = "ig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
    ) -> None:
        super().__init__(score, StraightPath(), baseline, seed, steps=steps, rule=rule, credit=credit, nodes=nodes)
