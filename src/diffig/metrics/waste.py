"""Waste: the attribution mass a path spends on the way."""

from __future__ import annotations

import math
from types import MappingProxyType

import torch

from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained


class Waste(Metric):
    """The mass `sum |gradient * step|` over all nodes and elements of the path, and what of it was not needed.

    No path can spend less than `|F(x) - F(x')|`; `waste_excess` is the waste above that bound, so it says how much of
    the path's travel cancelled itself. With a completeness gap it can fall below zero, by at most the gap. Both are in
    units of the score, and NaN for methods without a path. No forwards.
    """

    names = ("waste", "waste_excess")
    direction = "lower"
    value_range = MappingProxyType({"waste": (0.0, math.inf), "waste_excess": (-math.inf, math.inf)})
    family = "axioms and path"

    def _measure(self, explained: Explained) -> Measured:
        if explained.waste is None:
            nothing = explained.images.new_full((len(explained),), torch.nan)
            return Measured({"waste": nothing, "waste_excess": nothing.clone()}, {})
        waste = explained.waste.to(explained.images)
        return Measured({"waste": waste, "waste_excess": waste - explained.score_change.abs()}, {})
