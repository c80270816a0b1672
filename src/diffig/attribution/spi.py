"""SPI: integration along stick-breaking paths (Jeon, Jeong and Choi 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.aggregate import Aggregation
from diffig.paths.stick_breaking import StickBreakingPath
from diffig.scores import ScoreFunction


class StickBreakingIntegration(PathAttributor):
    """The mean over random monotone paths, or SPI-P with `aggregation=spi_p`.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps: gradients for each path, and the path's segments.
        n_paths: random paths for each image; the paper does not say how many it used.
        concentration: `a`, or a range; 10 is the paper's best.
        cell_size: side of the squares that share one process; 1 is the paper's.
        rule, credit: of the integral, see `PathAttributor`; its pieces are the path's segments.
        aggregation: of the candidates.
    """

    name = "spi"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        steps: int = 128,
        n_paths: int = 1,
        concentration: float | Sequence[float] = 10.0,
        cell_size: int = 1,
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        aggregation: Aggregation = "mean",
    ) -> None:
        path = StickBreakingPath(steps, concentration, cell_size)
        options = {"rule": rule, "credit": credit, "n_paths": n_paths, "aggregation": aggregation}
        super().__init__(score, path, baseline, seed, steps=steps, **options)  # type: ignore[arg-type]
