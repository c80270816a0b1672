"""Every attribution method, called like Captum's; a path method is a path generator, an integral and an aggregation."""

from diffig.attribution.agi import AdversarialGradientIntegration
from diffig.attribution.base import Attributor
from diffig.attribution.blur_ig import BlurIG
from diffig.attribution.coarse_to_fine import CoarseToFine
from diffig.attribution.controls import CentreGaussian, ConstantAttribution, InputMagnitude, Sobel
from diffig.attribution.ddpath import DDPath
from diffig.attribution.deep_taylor import DeepTaylor
from diffig.attribution.diffig_field import FieldDiffIG
from diffig.attribution.diffig_latent import LatentDiffIG
from diffig.attribution.eig import EnhancedIntegratedGradients
from diffig.attribution.expected_gradients import ExpectedGradients
from diffig.attribution.free_mcg import FreeMCG
from diffig.attribution.fringe import FRInGe
from diffig.attribution.fullgrad import FullGrad
from diffig.attribution.geodesic_ig import GeodesicIG
from diffig.attribution.gig import GuidedIntegratedGradients
from diffig.attribution.grad_cam import GradCAM
from diffig.attribution.gradient import Gradient
from diffig.attribution.gradient_x_input import GradientXInput
from diffig.attribution.guided_backprop import GuidedBackprop
from diffig.attribution.guided_grad_cam import GuidedGradCAM
from diffig.attribution.idg import IntegratedDecisionGradients
from diffig.attribution.idgi import IDGI
from diffig.attribution.ig import IntegratedGradients
from diffig.attribution.ig2 import IG2
from diffig.attribution.lpi import LocalPathIntegration
from diffig.attribution.lrp import LRP
from diffig.attribution.ma_gig import ManifoldGuidedIG
from diffig.attribution.mig import ManifoldIntegratedGradients
from diffig.attribution.path_attributor import PathAttributor
from diffig.attribution.path_weighted_ig import PathWeightedIG
from diffig.attribution.random import RandomAttribution
from diffig.attribution.rectgrad import RectGrad
from diffig.attribution.reveal_ig import RevealIG
from diffig.attribution.samp import SAMP, SAMPPlusPlus
from diffig.attribution.smoothgrad import SmoothGrad
from diffig.attribution.spectral_ig import SpectralIG
from diffig.attribution.spi import StickBreakingIntegration
from diffig.attribution.split_ig import SplitIG
from diffig.integration.aggregate import aggregate
from diffig.integration.integrate import Integral, integrate

__all__ = [
    "IDGI",
    "IG2",
    "LRP",
    "SAMP",
    "AdversarialGradientIntegration",
    "Attributor",
    "BlurIG",
    "CentreGaussian",
    "CoarseToFine",
    "ConstantAttribution",
    "DDPath",
    "DeepTaylor",
    "EnhancedIntegratedGradients",
    "ExpectedGradients",
    "FRInGe",
    "FieldDiffIG",
    "FreeMCG",
    "FullGrad",
    "GeodesicIG",
    "GradCAM",
    "Gradient",
    "GradientXInput",
    "GuidedBackprop",
    "GuidedGradCAM",
    "GuidedIntegratedGradients",
    "InputMagnitude",
    "Integral",
    "IntegratedDecisionGradients",
    "IntegratedGradients",
    "LatentDiffIG",
    "LocalPathIntegration",
    "ManifoldGuidedIG",
    "ManifoldIntegratedGradients",
    "PathAttributor",
    "PathWeightedIG",
    "RandomAttribution",
    "RectGrad",
    "RevealIG",
    "SAMPPlusPlus",
    "SmoothGrad",
    "Sobel",
    "SpectralIG",
    "SplitIG",
    "StickBreakingIntegration",
    "aggregate",
    "integrate",
]
