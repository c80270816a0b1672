"""Geometry of paths from a baseline to an image."""

from diffig.paths.adversarial import AdversarialPath
from diffig.paths.basis import Basis, ChannelBasis, HaarBasis, LaplacianBasis, PixelBasis
from diffig.paths.coarse_to_fine import CoarseToFinePath
from diffig.paths.counterfactual import GradPath
from diffig.paths.denoising import DenoisingPath
from diffig.paths.fisher_rao import FisherRaoWalk
from diffig.paths.generator import PathGenerator
from diffig.paths.geodesic import GeodesicPath
from diffig.paths.greedy_pixels import GreedyPixelPath
from diffig.paths.guided import GuidedPath
from diffig.paths.latent_geodesic import LatentGeodesicPath
from diffig.paths.latent_greedy import LatentGreedyPath
from diffig.paths.latent_line import LatentLinePath
from diffig.paths.path import AlphaPath, Path, PointPath
from diffig.paths.scale_space import ScaleSpacePath
from diffig.paths.schedule import Schedule
from diffig.paths.spectral import SpectralPath
from diffig.paths.stick_breaking import StickBreakingPath
from diffig.paths.straight import StraightPath

__all__ = [
    "AdversarialPath",
    "AlphaPath",
    "Basis",
    "ChannelBasis",
    "CoarseToFinePath",
    "DenoisingPath",
    "FisherRaoWalk",
    "GeodesicPath",
    "GradPath",
    "GreedyPixelPath",
    "GuidedPath",
    "HaarBasis",
    "LaplacianBasis",
    "LatentGeodesicPath",
    "LatentGreedyPath",
    "LatentLinePath",
    "Path",
    "PathGenerator",
    "PixelBasis",
    "PointPath",
    "ScaleSpacePath",
    "Schedule",
    "SpectralPath",
    "StickBreakingPath",
    "StraightPath",
]
