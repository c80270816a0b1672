"""DiffID: how much better a prediction survives losing its least important parts than its most important ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_choice
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.metrics.masking import Interval, Readout, order_of, pixel_map, ranks_of, read_masked
from diffig.metrics.replacement import Space, black, blur, dataset_mean, kept_mean
from diffig.renamed import old_arguments

Unit = Literal["element", "pixel"]
ReadoutName = Literal["hard", "soft", "soft_diff"]
Fill = Literal["kept_mean", "blur", "black", "mean"]
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@old_arguments(grain="rank_blur")
class DiffID(Metric):
    """Difference between insertion and deletion (Yang, Akhtar, Wen and Mian, AAAI 2023), in its variants.

    For each ratio r, `deletion` removes the share r that ranks highest and `insertion` the share r that ranks lowest;
    the value is the mean over ratios of the target's readout after insertion minus that after deletion. In [-1, 1],
    higher is better, a random or constant map scores 0. One ranking for each image and unit, ties broken at random by
    (seed, image index). All readouts come from the same forwards: 2 for each ratio and unit, plus 1 if any is soft.

    A name carries its variant: `diffid[_pixel][_signed][_rank_blur][_soft|_soft_diff][_FILL][_normalised]`; plain
    `diffid` is the one most tables print (element, absolute, hard, kept mean), with the mean taken in pixels.

    Removal favours smooth maps whatever they say of the classifier: neighbouring pixels go together, and the fill
    leaves fewer edges. `rank_blur` blurs every map alike before it is ranked, so that maps of unlike resolution
    compete at one.

    Args:
        units: `element` ranks every channel of every pixel by `|a|`; `pixel` ranks whole pixels by the sum over
            channels of `|a|`, as the metric's inventors did.
        readouts: `hard`, is the target still the prediction (bounded by accuracy: see `diffid_floor_ceiling`);
            `soft`, `p / p_clean` clipped to [0, 1] image by image; `soft_diff`, p itself.
        signed: rank by `a` (pixels: by its sum over channels) instead of its absolute value.
        rank_blur: standard deviation of a Gaussian over the values that are ranked, as a share of the shorter side; 0
            ranks the map as it is.
        fill: what replaces removed parts: `kept_mean` (mean of what is kept), `blur` (11, sigma 5, reflected),
            `black`, or `mean` (the classifier's own mean colour).
        space: where the kept mean is taken, `pixel` or `normalised`; see `replacement.kept_mean`.
        ratios: shares removed, strictly between 0 and 1.
        seed: of the ties.
    """

    direction = "higher"
    value_range = (-1.0, 1.0)
    family = "faithfulness by removal"
    sensitive_to = ("units", "readouts", "signed", "rank_blur", "fill", "space", "ratios", "seed")

    def __init__(
        self,
        units: Sequence[Unit] = ("element", "pixel"),
        readouts: Sequence[ReadoutName] = ("hard", "soft"),
        signed: bool = False,
        rank_blur: float = 0.0,
        fill: Fill = "kept_mean",
        space: Space = "pixel",
        ratios: Sequence[float] = RATIOS,
        seed: int = 0,
    ) -> None:
        for unit in units:
            check_choice(unit, Unit, "units")
        for readout in readouts:
            check_choice(readout, ReadoutName, "readouts")
        check_choice(fill, Fill, "fill")
        check_choice(space, Space, "space")
        if not units or not readouts:
            raise ValueError(f"units={list(units)} and readouts={list(readouts)} must each name at least one")
        if not ratios or not all(0 < ratio < 1 for ratio in ratios):
            raise ValueError(f"ratios={list(ratios)} must lie strictly between 0 and 1; .1 to .9 are usual")
        if not 0 <= rank_blur < 1:
            raise ValueError(
                f"rank_blur={rank_blur} must lie in [0, 1), a share of the shorter side; .06 is usual, 0 is none"
            )
        self.units, self.readouts, self.signed, self.rank_blur = tuple(units), tuple(readouts), signed, float(rank_blur)
        self.fill, self.space, self.seed = fill, space, seed
        self.axis = tuple(float(ratio) for ratio in ratios)
        self.names = tuple(self._name(unit, readout) for unit in units for readout in readouts)
        self.curve_names = tuple(f"{name}_{side}" for name in self.names for side in ("insertion", "deletion"))
        self.forwards = 2 * len(self.axis) * len(self.units) + any(name != "hard" for name in self.readouts)

    def _name(self, unit: Unit, readout: ReadoutName) -> str:
        parts = ["diffid", "pixel" if unit == "pixel" else "", "signed" if self.signed else ""]
        parts += ["rank_blur" if self.rank_blur else ""]
        parts += ["" if readout == "hard" else readout, "" if self.fill == "kept_mean" else self.fill]
        parts += ["normalised" if self.space == "normalised" and self.fill == "kept_mean" else ""]
        return "_".join(part for part in parts if part)

    def _measure(self, explained: Explained) -> Measured:
        curves: dict[str, Tensor] = {}
        for unit in self.units:
            groups = [self._read(explained, rows, unit) for rows in explained.groups()]
            probability, hit = (torch.cat(part) for part in zip(*groups, strict=True))
            for readout in self.readouts:
                both = self._response(readout, probability, hit, explained)
                name, count = self._name(unit, readout), len(self.axis)
                curves[f"{name}_insertion"], curves[f"{name}_deletion"] = both[:, :count], both[:, count:]
        values = {name: (curves[f"{name}_insertion"] - curves[f"{name}_deletion"]).mean(1) for name in self.names}
        return Measured(values, curves)

    def _response(self, readout: ReadoutName, probability: Tensor, hit: Tensor, explained: Explained) -> Tensor:
        if readout == "hard":
            return hit.to(probability)
        if readout == "soft_diff":
            return probability
        return (probability / (explained.clean_probability[:, None] + 1e-8)).clamp(0, 1)

    def _read(self, explained: Explained, rows: slice, unit: Unit) -> Readout:
        """The classifier on the insertion copies, then the deletion copies, of one group of images."""
        images, maps, score = explained.images[rows], explained.maps[rows], explained.score
        if unit == "pixel":
            values = pixel_map(maps, "signed" if self.signed else "sum_abs")[:, None]
        else:
            values = maps if self.signed else maps.abs()
        if self.rank_blur:
            values = coarsened(values, self.rank_blur)
        order = order_of(values.flatten(1), self.seed, explained.indices[rows])
        ranks = ranks_of(order).reshape(len(images), -1, *images.shape[2:])
        removed = removals(order.shape[1], self.axis)
        if self.fill == "kept_mean":
            fill = kept_mean(images, order, removed, score, self.space)
        elif self.fill == "blur":
            fill = blur(images)
        else:
            fill = black(images) if self.fill == "black" else dataset_mean(images, score)
        return read_masked(score, images, explained.targets[rows], ranks, removed, fill)


class DiffIDBounds(Metric):
    """What hard DiffID can reach with this classifier and these images, whatever the method; read it beside `diffid`.

    `diffid_ceiling` is `clean_accuracy - erased_share` of `diffid_floor_ceiling`, averaged over images about the best
    within reach. The floor needs no column: a constant or random map scores 0 on average. Two forwards.
    """

    names = ("diffid_ceiling",)
    direction = "none"
    value_range = (-1.0, 1.0)
    family = "faithfulness by removal"
    forwards = 2

    def _measure(self, explained: Explained) -> Measured:
        bounds = diffid_floor_ceiling(explained)
        return Measured({"diffid_ceiling": bounds["clean_accuracy"] - bounds["erased_share"]}, {})


def coarsened(maps: Tensor, share: float) -> Tensor:
    """Return maps `(B, C, H, W)` above their minimum, blurred by a Gaussian of `share` times the shorter side.

    Borders are reflected. From the minimum, because a constant map must stay constant to the last bit: its order is
    one of ties.
    """
    sigma = share * min(maps.shape[-2:])
    return blur(maps - maps.amin((1, 2, 3), keepdim=True), 2 * math.ceil(3 * sigma) + 1, sigma)[:, 0]


def removals(positions: int, ratios: Sequence[float]) -> list[Interval]:
    """Return the ranks removed by insertion (the last of them), then by deletion (the first), ratio by ratio."""
    counts = [int(ratio * positions) for ratio in ratios]
    return [(positions - count, positions) for count in counts] + [(0, count) for count in counts]


def diffid_floor_ceiling(explained: Explained) -> dict[str, Tensor]:
    """Return what bounds hard DiffID, `{"clean_accuracy": (B,), "erased_share": (B,)}`, each 0 or 1; average them.

    Insertion can hardly exceed the share of images whose target is the prediction, deletion can hardly fall below the
    share whose target is what the classifier says of an erased image (one filled with its own mean), so that
    `clean_accuracy - erased_share` is about the best mean DiffID within reach. Two forwards for each image.
    """
    images, targets = explained.images, explained.targets
    clean = explained.clean_logits.argmax(1) == targets
    flat = images.mean((1, 2, 3), keepdim=True).expand_as(images)
    erased = explained.score.logits(flat).argmax(1) == targets
    return {"clean_accuracy": clean.to(images), "erased_share": erased.to(images)}
