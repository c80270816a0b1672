"""Spectral IG (SIG, 2026): integration while the difference image appears, strong singular patterns first."""

from __future__ import annotations

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.quadrature import Nodes
from diffig.paths.spectral_ig import Gate, Pattern, SpectralPath
from diffig.scores import ScoreFunction


class SpectralIG(PathAttributor):
    """Gradients along a spectral path; `steps` gradients for each image and one decomposition for each channel.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps, rule, credit, nodes: of the integral, see `PathAttributor` (the authors': a left sum of 199).
        basis, overlap, gate, n_bands: of the path, see `SpectralPath`; an overlap of 1 is Integrated Gradients.
    """

    name = "spectral_ig"

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
        basis: Pattern = "svd",
        overlap: float = 0.4,
        gate: Gate = "linear",
        n_bands: int = 5,
    ) -> None:
        path = SpectralPath(basis, overlap, gate, n_bands, n_segments=steps)
        super().__init__(score, path, baseline, seed, steps=steps, rule=rule, credit=credit, nodes=nodes)
