"""IDGI, important direction gradient integration (Yang, Wang and Bilgic 2023), on any path."""

from __future__ import annotations

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.integration.aggregate import Aggregation
from diffig.integration.quadrature import Nodes
from diffig.paths.generator import PathGenerator
from diffig.paths.straight import StraightPath
from diffig.scores import ScoreFunction


class IDGI(PathAttributor):
    """Deals out each step's change of the score in proportion to squared gradients: complete for any number of steps.

    A feature that does not differ from the baseline may get a share, as `x - x'` plays no part.

    Args:
        score, baseline, seed: as in `Attributor`.
        path: the straight line by default; a path that is made with gradients (Guided IG's) costs them on top.
        steps, nodes: pieces and where they are cut; where the steps are the path's own segments nothing is cut short.
        n_paths, aggregation: of a random path's candidates.
    """

    name = "idgi"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        path: PathGenerator | None = None,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        nodes: Nodes = "uniform",
        n_paths: int = 1,
        aggregation: Aggregation = "mean",
    ) -> None:
        super().__init__(
            score,
            path or StraightPath(),
            baseline,
            seed,
            steps=steps,
            credit="idgi",
            nodes=nodes,
            n_paths=n_paths,
            aggregation=aggregation,
        )
