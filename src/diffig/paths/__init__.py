"""Geometry of paths from a baseline to an image."""

from diffig.paths.agi import AdversarialPath
from diffig.paths.basis import Basis, ChannelBasis, HaarBasis, LaplacianBasis, PixelBasis
from diffig.paths.blur_ig import ScaleSpacePath
from diffig.paths.coarse_to_fine import CoarseToFinePath
from diffig.paths.ddpath import DenoisingPath
from diffig.paths.eig import LatentLinePath
from diffig.paths.fringe import FisherRaoWalk
from diffig.paths.generator import PathGenerator
from diffig.paths.geodesic_ig import GeodesicPath
from diffig.paths.gig import GuidedPath
from diffig.paths.ig2 import GradPath
from diffig.paths.ma_gig import LatentGreedyPath
from diffig.paths.mig import LatentGeodesicPath
from diffig.paths.path import AlphaPath, Path, PointPath
from diffig.paths.samp import GreedyPixelPath
from diffig.paths.schedule import Schedule
from diffig.paths.scheduled import Scheduled, ScheduledPath
from diffig.paths.spectral_ig import SpectralPath
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
    "Scheduled",
    "ScheduledPath",
    "SpectralPath",
    "StickBreakingPath",
    "StraightPath",
]
