"""Geometry of paths from a baseline to an image."""

from diffig.paths.basis import Basis, ChannelBasis, LaplacianBasis, PixelBasis
from diffig.paths.coarse_to_fine import CoarseToFinePath
from diffig.paths.generator import PathGenerator
from diffig.paths.guided import GuidedPath
from diffig.paths.path import AlphaPath, Path, PointPath
from diffig.paths.schedule import Schedule
from diffig.paths.stick_breaking import StickBreakingPath
from diffig.paths.straight import StraightPath

__all__ = [
    "AlphaPath",
    "Basis",
    "ChannelBasis",
    "CoarseToFinePath",
    "GuidedPath",
    "LaplacianBasis",
    "Path",
    "PathGenerator",
    "PixelBasis",
    "PointPath",
    "Schedule",
    "StickBreakingPath",
    "StraightPath",
]
