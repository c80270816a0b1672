"""Blur IG: integration through the image's scale space (Xu, Venugopalan and Sundararajan 2020)."""

from __future__ import annotations

from torch import nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.quadrature import Nodes
from diffig.paths.blur_ig import Padding, ScaleSpacePath, Spacing
from diffig.scores import ScoreFunction


class BlurIG(PathAttributor):
    """Gradients while the image comes into focus; complete to the score minus that of the fully blurred image.

    The path chooses its start itself: the baseline plays no part, and the gap is against the blurred image. The
    derivative along the path is the difference of neighbouring points, which telescopes; the authors take a numerical
    derivative by the width of the blur, with the same limit.

    Args:
        score, baseline, seed: as in `Attributor`.
        steps, rule, credit, nodes: of the integral, see `PathAttributor`.
        sigma_max, reference_side, padding, spacing, truncate: of the path, see `ScaleSpacePath`.
    """

    name = "blur_ig"
    asks_baseline = False

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
        sigma_max: float = 50.0,
        reference_side: int | None = 224,
        padding: Padding = "constant",
        spacing: Spacing = "linear",
        truncate: float = 4.0,
    ) -> None:
        path = ScaleSpacePath(steps, sigma_max, reference_side, padding, spacing, truncate)
        super().__init__(score, path, baseline, seed, steps=steps, rule=rule, credit=credit, nodes=nodes)
