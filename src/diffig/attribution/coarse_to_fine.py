"""Integration along the hand-made schedule: the image appears blurred and sharpens."""

from __future__ import annotations

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.quadrature import Nodes
from diffig.paths.basis import Basis
from diffig.paths.coarse_to_fine import CoarseToFinePath
from diffig.paths.schedule import Schedule
from diffig.scores import ScoreFunction


class CoarseToFine(PathAttributor):
    """What a schedule of bands is worth without a prior and without guidance.

    Args:
        score, baseline, seed: as in `Attributor`.
        basis, schedule: the coordinates and when each band moves.
        steps, rule, credit, nodes: of the integral, see `PathAttributor`; nodes go where the score changes.
    """

    name = "coarse_to_fine"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        basis: Basis | None = None,
        schedule: Schedule | None = None,
        steps: int = 128,
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "score",
    ) -> None:
        path = CoarseToFinePath(basis, schedule, n_segments=64)
        super().__init__(score, path, baseline, seed, steps=steps, rule=rule, credit=credit, nodes=nodes)
