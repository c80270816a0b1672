"""Metrics of attributions: one file for each family, one value for each image, batched on any device."""

from typing import TYPE_CHECKING

from diffig.metrics.absolute_mass import AbsoluteMass
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
from diffig.renamed import old_names

if not TYPE_CHECKING:  # a checker would take any name for known
    __getattr__ = old_names(__name__, {"Facts": MetricInfo, "Waste": AbsoluteMass})

__all__ = [
    "AbsoluteMass",
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
    "diffid_floor_ceiling",
]
