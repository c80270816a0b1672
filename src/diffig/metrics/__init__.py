"""Metrics of attributions: one file for each family, one value for each image, batched on any device."""

import warnings
from typing import TYPE_CHECKING

from diffig.metrics.base import Measured, Metric, MetricInfo
from diffig.metrics.completeness import Completeness
from diffig.metrics.diffid import DiffID, DiffIDBounds, diffid_floor_ceiling
from diffig.metrics.explained import Explain, Explained
from diffig.metrics.f_fidelity import FFidelity
from diffig.metrics.infidelity import Infidelity
from diffig.metrics.information_curves import InformationCurves
from diffig.metrics.insertion_deletion import InsertionDeletion
from diffig.metrics.localisation import Localisation
from diffig.metrics.randomization import EfficientRandomization, Randomization
from diffig.metrics.road import Road
from diffig.metrics.sensitivity import Sensitivity
from diffig.metrics.sparseness import Sparseness
from diffig.metrics.subsets import MuFidelity, SensitivityN
from diffig.metrics.suite import MetricSuite
from diffig.metrics.waste import Waste
from diffig.moved import UNTIL

if not TYPE_CHECKING:  # a checker would take any name for known

    def __getattr__(name: str) -> object:
        if name != "Facts":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        message = f"diffig.metrics.Facts is MetricInfo now; the old name goes with diffig {UNTIL}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return MetricInfo


__all__ = [
    "Completeness",
    "DiffID",
    "DiffIDBounds",
    "EfficientRandomization",
    "Explain",
    "Explained",
    "FFidelity",
    "Infidelity",
    "InformationCurves",
    "InsertionDeletion",
    "Localisation",
    "Measured",
    "Metric",
    "MetricInfo",
    "MetricSuite",
    "MuFidelity",
    "Randomization",
    "Road",
    "Sensitivity",
    "SensitivityN",
    "Sparseness",
    "Waste",
    "diffid_floor_ceiling",
]
