"""Sparseness: over how many elements or pixels an attribution is spread."""

from __future__ import annotations

import math
from types import MappingProxyType

import torch
from torch import Tensor

from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.metrics.masking import pixel_map


class Sparseness(Metric):
    """Entropy (Bhatt, Weller and Moura, IJCAI 2020) and Gini index (Chalasani et al., ICML 2020) of `|a|`.

    `entropy` and `gini` are over all d = C*H*W elements, `entropy_pixel` and `gini_pixel` over the d = H*W sums over
    channels of `|a|`. Entropy is in nats, from 0 (one element) to ln d (all alike), lower is simpler; Gini runs from 0
    (all alike) to 1 - 1/d. Neither changes with the attribution's scale. A map of zeros counts as all alike: ln d, 0.
    Low entropy is what the complexity guidance aims at, so a good value there is no independent evidence.
    """

    names = ("entropy", "gini", "entropy_pixel", "gini_pixel")
    direction = MappingProxyType(
        {"entropy": "lower", "gini": "higher", "entropy_pixel": "lower", "gini_pixel": "higher"}
    )
    value_range = MappingProxyType(
        {"entropy": (0.0, math.inf), "gini": (0.0, 1.0), "entropy_pixel": (0.0, math.inf), "gini_pixel": (0.0, 1.0)}
    )
    family = "complexity"

    def _measure(self, explained: Explained) -> Measured:
        columns: dict[str, list[Tensor]] = {name: [] for name in self.names}
        for rows in explained.groups():
            maps = explained.maps[rows]
            elements, pixels = maps.abs().flatten(1), pixel_map(maps, "sum_abs").flatten(1)
            for mass, suffix in ((elements, ""), (pixels, "_pixel")):
                columns[f"entropy{suffix}"].append(entropy(mass))
                columns[f"gini{suffix}"].append(gini(mass))
        return Measured({name: torch.cat(column) for name, column in columns.items()}, {})


def entropy(mass: Tensor) -> Tensor:
    """Return the entropy `(B,)`, in nats, of non-negative mass `(B, d)` scaled to sum to one; ln d for no mass."""
    share = mass / mass.amax(1, keepdim=True)  # first to a maximum of one, so that no sum under- or overflows
    share = share / share.sum(1, keepdim=True)
    return torch.where(mass.amax(1) > 0, torch.special.entr(share).sum(1), math.log(mass.shape[1]))


def gini(mass: Tensor) -> Tensor:
    """Return the Gini index `(B,)` of non-negative mass `(B, d)`: `sum_i (2i - d - 1) m_(i) / (d sum m)`, ascending.

    0 for no mass.
    """
    size = mass.shape[1]
    ascending = (mass / mass.amax(1, keepdim=True)).sort(1).values
    weight = (2 * torch.arange(1, size + 1, device=mass.device) - size - 1).to(mass) / size
    return torch.where(mass.amax(1) > 0, (ascending * weight).sum(1) / ascending.sum(1), 0)
