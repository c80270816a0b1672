"""Parameter randomisation: an attribution should change when the classifier's weights are re-drawn."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from diffig.checks import check_choice
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.metrics.masking import pixel_map
from diffig.metrics.reinitialised import layers_of, reinitialised
from diffig.metrics.similarity import hog, spearman, ssim

Order = Literal["cascading", "independent"]
SIMILARITIES = MappingProxyType({"ssim": ssim, "spearman": spearman, "hog": hog})
DEPTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


class Randomization(Metric):
    """Model parameter randomisation (Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, NeurIPS 2018).

    At depth t, `cascading` makes the share t of the layers random, from the output down; `independent` makes the one
    layer random that lies there and leaves the others as they were. The method explains the same classes of the
    changed classifier, and the maps `sum_c |a|` are compared with those of the true one by `ssim`, `spearman` and
    `hog`. A value is the mean over depths, the curves show each; lower is better, as far as it goes: noisy maps get
    low values too. Depth 0 is not part of it. NaN where a changed classifier has no finite attribution.

    Whatever a method itself has learnt (a path model, learned guidance) stays as it is; only the classifier changes.

    Args:
        orders: `cascading`, `independent` or both; one attribution for each depth of each.
        depths: shares of the layers, in (0, 1]; at least one layer is always changed.
        seed: of the random parameters.
    """

    direction = "lower"
    value_range = (-1.0, 1.0)
    family = "sanity"
    sensitive_to = ("orders", "depths", "seed")

    def __init__(
        self, orders: Sequence[Order] = ("cascading", "independent"), depths: Sequence[float] = DEPTHS, seed: int = 0
    ) -> None:
        for order in orders:
            check_choice(order, Order, "orders")
        if not orders or not depths or not all(0 < depth <= 1 for depth in depths):
            raise ValueError(f"orders={list(orders)} must name at least one and depths={list(depths)} lie in (0, 1]")
        self.orders, self.seed = tuple(orders), seed
        self.axis = tuple(float(depth) for depth in depths)
        self.names = tuple(f"randomization_{order}_{kind}" for order in self.orders for kind in SIMILARITIES)
        self.curve_names = self.names
        self.attributions = len(self.orders) * len(self.axis)

    def _measure(self, explained: Explained) -> Measured:
        classifier = explained.score.classifier
        layers = layers_of(classifier, explained.images[:1])
        true = pixel_map(explained.maps, "sum_abs")
        curves: dict[str, Tensor] = {}
        shown: dict[str, Tensor] = {}
        for order in self.orders:
            found: dict[str, list[Tensor]] = {kind: [] for kind in SIMILARITIES}
            for depth in self.axis:
                changed = reinitialised(classifier, chosen(layers, depth, order), layers, self.seed)
                attributions = explained.again(explained.images, classifier=changed)
                shown[f"{order} {depth:g}"] = attributions.sum(1)
                sound = attributions.flatten(1).isfinite().all(1)
                changed_map = pixel_map(torch.where(sound[:, None, None, None], attributions, 0), "sum_abs")
                for kind, similarity in SIMILARITIES.items():
                    value = similarity(true, changed_map)
                    found[kind].append(torch.where(sound, value, torch.nan))
            curves |= {f"randomization_{order}_{kind}": torch.stack(columns, 1) for kind, columns in found.items()}
        return Measured({name: curve.mean(1) for name, curve in curves.items()}, curves, shown)


class EfficientRandomization(Metric):
    """Efficient parameter randomisation test (Hedstroem, Weber, Lapuschkin and Hoehne, 2024): `emprt`.

    The relative rise `(H_random - H_true) / H_true` of the histogram entropy of the map `sum_c a` from the true
    classifier to one with all parameters random; higher is better, because a map that carries what was learnt is
    simpler than one that has nothing to show. The histogram has equal bins between the map's own least and largest
    value. NaN where the true map is constant. One attribution for each image.

    Args:
        bins: of the histogram.
        seed: of the random parameters.
    """

    names = ("emprt",)
    direction = "higher"
    value_range = (-1.0, float("inf"))
    family = "sanity"
    sensitive_to = ("bins", "seed")
    attributions = 1

    def __init__(self, bins: int = 100, seed: int = 0) -> None:
        if bins < 2:
            raise ValueError(f"bins={bins} must be at least 2; the authors count in 100")
        self.bins, self.seed = bins, seed

    def _measure(self, explained: Explained) -> Measured:
        classifier: nn.Module = explained.score.classifier
        layers = layers_of(classifier, explained.images[:1])
        changed = reinitialised(classifier, layers, layers, self.seed)
        attributions = explained.again(explained.images, classifier=changed)
        true, random = (histogram_entropy(maps.sum(1), self.bins) for maps in (explained.maps, attributions))
        rise = torch.where(true > 0, (random - true) / torch.where(true > 0, true, 1), torch.nan)
        return Measured({"emprt": rise}, {})


def chosen(layers: Sequence[str], depth: float, order: Order) -> list[str]:
    """Return the layers, listed from input to output, that are random at a depth in (0, 1] counted from the output."""
    reached = max(1, round(depth * len(layers)))
    first = len(layers) - reached
    return list(layers[first:]) if order == "cascading" else [layers[first]]


def histogram_entropy(maps: Tensor, bins: int) -> Tensor:
    """Return the entropy `(B,)` in nats of each map's histogram; 0 for a constant map, NaN for a non-finite one."""
    flat = maps.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    place = ((flat - low) / torch.where(high > low, high - low, 1) * bins).nan_to_num().long().clamp(0, bins - 1)
    counts = torch.zeros(len(flat), bins, device=flat.device, dtype=flat.dtype)
    counts.scatter_add_(1, place, torch.ones_like(flat))
    entropy = torch.special.entr(counts / flat.shape[1]).sum(1)
    return torch.where(flat.isfinite().all(1), entropy, torch.nan)
