"""Localisation: how much of an attribution lies on the object that the image is known to hold.

Notation: `A = sum_c a`, the signed map; `A+` its positive part; `M` the object's pixels; pixels to be ignored are
left out of everything.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.metrics.masking import order_of

INSIDE, IGNORED = 1, 255
KINDS = ("pointing", "energy_pointing", "relevance_mass", "relevance_rank")


class Localisation(Metric):
    """Pointing game, energy-based pointing game, relevance mass and rank accuracy; of plausibility, not faithfulness.

    * `pointing` (Zhang, Bargal, Lin, Brandt, Shen and Sclaroff, IJCV 2018): 1 where the highest pixel lies on the
      object or within `tolerance` pixels of it.
    * `energy_pointing` (Wang et al., Score-CAM, CVPRW 2020): the share of `A+` inside the object's bounding box.
    * `relevance_mass` (Arras, Osman and Samek, Information Fusion 2022): the share of `A+` on the object itself.
    * `relevance_rank` (same): of as many highest pixels as the object has, the share that lie on it.

    All in [0, 1], higher is better, NaN for images without a mask. They reward large objects in the centre, so two
    reference maps come along: `mask_share`, the object's share of the image, is what a constant map gets from mass
    and rank, and `<name>_centre` is what a Gaussian bump in the middle gets. Of a map without any
    positive part the two shares of `A+` are those of a constant one. No forwards. A dataset without masks gets no
    values at all.

    Args:
        tolerance: of the pointing game, in pixels; the authors' is 15.
        seed: of ties.
    """

    names = (*KINDS, *(f"{kind}_centre" for kind in KINDS), "mask_share")
    direction = MappingProxyType({name: "higher" if name in KINDS else "none" for name in names})
    value_range = (0.0, 1.0)
    family = "localisation"
    sensitive_to = ("tolerance", "seed")

    def __init__(self, tolerance: float = 15.0, seed: int = 0) -> None:
        if tolerance < 0:
            raise ValueError(f"tolerance={tolerance} must be at least 0; the pointing game's authors allow 15 pixels")
        self.tolerance, self.seed = float(tolerance), seed

    def _measure(self, explained: Explained) -> Measured:
        if explained.masks is None:
            return Measured({}, {})
        parts = [self._of_group(explained, rows) for rows in explained.groups()]
        return Measured({name: torch.cat([part[name] for part in parts]) for name in self.names}, {})

    def _of_group(self, explained: Explained, rows: slice) -> dict[str, Tensor]:
        assert explained.masks is not None
        masks, maps = explained.masks[rows, 0], explained.maps[rows].sum(1)
        inside, counted = masks == INSIDE, masks != IGNORED
        bump = centre_gaussian(*maps.shape[1:]).to(maps).expand_as(maps)
        values = self._score(maps, inside, counted, explained.indices[rows])
        centre = self._score(bump, inside, counted, explained.indices[rows])
        values |= {f"{kind}_centre": value for kind, value in centre.items()}
        values["mask_share"] = inside.flatten(1).to(maps).sum(1) / counted.flatten(1).sum(1)
        known = inside.flatten(1).any(1)
        return {name: torch.where(known, value, torch.nan) for name, value in values.items()}

    def _score(self, maps: Tensor, inside: Tensor, counted: Tensor, indices: Tensor) -> dict[str, Tensor]:
        """The four kinds `(B,)` of maps `(B, H, W)`, given the object and the pixels that count."""
        positive = maps.clamp(min=0) * counted
        flat = positive.flatten(1)
        flat = torch.where(flat.amax(1, keepdim=True) > 0, flat, counted.flatten(1).to(flat))
        flat = flat / flat.amax(1, keepdim=True)
        total = flat.sum(1)
        ranked = maps.flatten(1).masked_fill(~counted.flatten(1), -torch.inf)
        order = order_of(ranked, self.seed, indices)
        highest = torch.arange(flat.shape[1], device=maps.device) < inside.flatten(1).sum(1, keepdim=True)
        on_object = inside.flatten(1).gather(1, order)
        return {
            "pointing": self._near(order[:, 0], inside).to(maps),
            "energy_pointing": (flat * _box(inside).flatten(1)).sum(1) / total,
            "relevance_mass": (flat * inside.flatten(1)).sum(1) / total,
            "relevance_rank": (on_object & highest).sum(1) / inside.flatten(1).to(maps).sum(1),
        }

    def _near(self, place: Tensor, inside: Tensor) -> Tensor:
        """Whether the object comes within the tolerance of pixel number `place` `(B,)`."""
        height, width = inside.shape[1:]
        rows, columns = (torch.arange(side, device=inside.device) for side in (height, width))
        down, across = (place // width)[:, None] - rows, (place % width)[:, None] - columns
        distance = down.square()[:, :, None] + across.square()[:, None]
        return (inside & (distance <= self.tolerance**2)).flatten(1).any(1)


def _box(inside: Tensor) -> Tensor:
    """The bounding box `(B, H, W)` of the pixels `inside` `(B, H, W)`: all between the first and the last of them."""

    def span(hit: Tensor) -> Tensor:
        return hit.cummax(1).values & hit.flip(1).cummax(1).values.flip(1)

    rows, columns = span(inside.any(2).byte()).bool(), span(inside.any(1).byte()).bool()
    return rows[:, :, None] & columns[:, None]


def centre_gaussian(height: int, width: int, share: float = 0.25) -> Tensor:
    """Return a bump `(H, W)`, 1 at the centre, whose standard deviation is `share` of each side."""
    sides = [(torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / (share * side) for side in (height, width)]
    rows, columns = ((-side.square() / 2).exp() for side in sides)
    return rows[:, None] * columns
