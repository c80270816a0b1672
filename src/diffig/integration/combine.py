"""The integrals of an image's candidate paths joined into one."""

from __future__ import annotations

from collections.abc import Sequence

from diffig.integration.aggregate import Aggregation, aggregate
from diffig.integration.integrate import Integral
from diffig.integration.soft_insertion_deletion import Fill, Unit, best_mixture, mean_soft_insertion_deletion
from diffig.paths.generator import ExplainBatch


def combine(
    integral: Integral,
    how: Aggregation,
    judged: ExplainBatch,
    units: Sequence[Unit] = ("element", "pixel"),
    fill: Fill = "kept_mean",
) -> Integral:
    """Return one integral for each image from those of its candidates, image-major.

    The gap is that of the aggregate, so a median shows the completeness it has lost; the absolute mass is the mean
    over candidates.

    Args:
        integral: of `B * N` candidates.
        how: the aggregation; `best_of` and `best_mixture` judge candidates by soft insertion minus deletion
            (forward passes).
        judged: what they are judged on.
        units: features that are removed when judging.
        fill: what stands for them.
    """
    n_paths = len(integral.gap) // len(judged.images)
    attributions = integral.attribution.unflatten(0, (-1, n_paths))
    change = (integral.attribution.flatten(1).sum(1) - integral.gap).view(-1, n_paths)[:, 0]
    if n_paths > 1 and how == "best_mixture":
        chosen, _ = best_mixture(attributions, *judged, units=units, fill=fill)
    elif n_paths > 1 and how == "best_of":
        quality = mean_soft_insertion_deletion(integral.attribution, *judged.repeated(n_paths), units=units, fill=fill)
        chosen = aggregate(attributions, how, quality.view(-1, n_paths))
    else:
        chosen = aggregate(attributions, "mean" if how in ("best_of", "best_mixture") else how)
    gap = chosen.flatten(1).sum(1) - change
    return Integral(chosen, gap, integral.absolute_mass.view(-1, n_paths).mean(1))
