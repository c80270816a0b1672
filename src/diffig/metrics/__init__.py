"""Metrics of attributions: one file for each family, one value for each image, batched on any device."""

from diffig.metrics.base import Explained, Facts, Measured, Metric
from diffig.metrics.completeness import Completeness
from diffig.metrics.diffid import DiffID, diffid_floor_ceiling
from diffig.metrics.insertion_deletion import InsertionDeletion
from diffig.metrics.sparseness import Sparseness
from diffig.metrics.suite import MetricSuite
from diffig.metrics.waste import Waste

__all__ = [
    "Completeness",
    "DiffID",
    "Explained",
    "Facts",
    "InsertionDeletion",
    "Measured",
    "Metric",
    "MetricSuite",
    "Sparseness",
    "Waste",
    "diffid_floor_ceiling",
]
