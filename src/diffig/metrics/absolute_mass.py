"""How much attribution a path hands out on the way, whatever its sign, and how much of it cancels."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.renamed import old_names


class AbsoluteMass(Metric):
    """The mass `sum |gradient * step|` over all nodes and elements of the path, and what of it was not needed.

    No path can spend less than `|F(x) - F(x')|`; `cancelled_mass` is the mass above that bound, so it says how much of
    the path's travel cancelled itself. With a completeness gap it can fall below zero, by at most the gap. Both are in
    units of the score, and NaN for methods without a path. No forwards.
    """

    names = ("absolute_mass", "cancelled_mass")
    direction = "lower"
    value_range = MappingProxyType({"absolute_mass": (0.0, math.inf), "cancelled_mass": (-math.inf, math.inf)})
    family = "axioms and path"

    def _measure(self, explained: Explained) -> Measured:
        if explained.absolute_mass is None:
            nothing = explained.images.new_full((len(explained),), torch.nan)
            return Measured({"absolute_mass": nothing, "cancelled_mass": nothing.clone()}, {})
        mass = explained.absolute_mass.to(explained.images)
        return Measured({"absolute_mass": mass, "cancelled_mass": mass - explained.score_change.abs()}, {})


if not TYPE_CHECKING:
    __getattr__ = old_names(__name__, {"Waste": AbsoluteMass})
