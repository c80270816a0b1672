"""Every method, one signature; path methods are a path, an integrator and an aggregator."""

from diffig.attribution.aggregate import aggregate
from diffig.attribution.base import Attributor, PathAttributor
from diffig.attribution.coarse_to_fine import CoarseToFine
from diffig.attribution.diffig_field import FieldDiffIG
from diffig.attribution.diffig_latent import LatentDiffIG
from diffig.attribution.gradient_x_input import GradientXInput
from diffig.attribution.guided_ig import GuidedIntegratedGradients
from diffig.attribution.integrate import Integral, integrate
from diffig.attribution.integrated_gradients import IntegratedGradients
from diffig.attribution.random import RandomAttribution
from diffig.attribution.spi import StickBreakingIntegration

__all__ = [
    "Attributor",
    "CoarseToFine",
    "FieldDiffIG",
    "GradientXInput",
    "GuidedIntegratedGradients",
    "Integral",
    "IntegratedGradients",
    "LatentDiffIG",
    "PathAttributor",
    "RandomAttribution",
    "StickBreakingIntegration",
    "aggregate",
    "integrate",
]
