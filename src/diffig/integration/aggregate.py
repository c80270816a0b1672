"""Aggregation: one attribution from those of many candidate paths.

Notation: candidates `A_p`, `p = 1 ... N`, of shape `(B, N, C, H, W)`; every aggregate has shape `(B, C, H, W)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_choice

Aggregation = Literal["mean", "median", "variance_weighted", "spi_p", "consensus", "best_of", "best_mixture"]
FLOOR = 1e-10  # of the largest, in place of nothing: what one candidate leaves out is ranked below what none does


def aggregate(attributions: Tensor, how: Aggregation = "mean", quality: Tensor | None = None) -> Tensor:
    """Return one attribution `(B, C, H, W)` from candidates `(B, N, C, H, W)`.

    Args:
        attributions: the candidates.
        how: `mean` keeps completeness and sign, as `best_of` does; `median` keeps the sign only; `variance_weighted`
            scales the mean by its agreement among candidates; `spi_p` is a probability map without sign; `consensus`
            is what all candidates agree on, with the sum of the mean.
            `best_mixture` needs the score and lives in `soft_insertion_deletion.py`.
        quality: `(B, N)`, higher is better; needed by `best_of`.
    """
    check_choice(how, Aggregation, "aggregation")
    if how == "best_of":
        if quality is None:
            raise ValueError("aggregation=best_of needs the quality of every candidate, shape (B, N)")
        best = torch.where(quality.isnan(), -torch.inf, quality).argmax(1)
        return attributions[torch.arange(len(attributions), device=best.device), best]
    if how == "best_mixture":
        raise ValueError(
            "aggregation=best_mixture asks the score; call diffig.integration.soft_insertion_deletion.best_mixture"
        )
    if attributions.shape[1] == 1 and how != "spi_p":
        return attributions[:, 0]
    return AGGREGATORS[how](attributions)


def mean(attributions: Tensor) -> Tensor:
    """Return the mean over candidates (SPI-E; Jeon, Jeong and Choi 2023)."""
    return attributions.mean(1)


def median(attributions: Tensor) -> Tensor:
    """Return the median over candidates; the mean of the middle two where their number is even."""
    return attributions.quantile(0.5, dim=1)


def variance_weighted(attributions: Tensor) -> Tensor:
    """Return the mean, each feature weighted by `mean^2 / (mean^2 + variance)`: 1 where all candidates agree.

    DiffIG names a variance-weighted mean without its formula; this is the shrinkage that minimises the expected
    squared error of a noisy mean.
    """
    centre, spread = attributions.mean(1), attributions.var(1)
    weight = centre.square() / (centre.square() + spread)
    return torch.where(spread > 0, weight, 1.0) * centre


def spi_p(attributions: Tensor, top: float = 0.05) -> Tensor:
    """Return SPI-P, the probability that a feature exceeds the threshold of the `top` share (Jeon et al. 2023).

    `1 - Phi((theta - mu_i) / s_i)` with the mean and the standard deviation over candidates and `theta` the
    `1 - top` quantile of the mean map. The paper's text prints a variance for `s` and drops a factor; this is the
    standard normal form it means. One candidate has no spread and gives 0 or 1.
    """
    centre = attributions.mean(1)
    spread = attributions.std(1) if attributions.shape[1] > 1 else torch.zeros_like(centre)
    flat = centre.flatten(1)
    rank = max(1, round((1 - top) * flat.shape[1]))
    threshold = flat.kthvalue(rank, 1).values[:, None, None, None]
    certain = (centre > threshold).to(centre)
    distance = (threshold - centre) / torch.where(spread > 0, spread, 1)
    probability = torch.erfc(distance / math.sqrt(2)) / 2  # ndtr rounds the lower tail to 0, and metrics rank it
    return torch.where(spread > 0, probability, torch.where(centre.isnan(), centre, certain))


def consensus(attributions: Tensor) -> Tensor:
    """Return what all candidates agree on: the geometric mean of the parts that have the sign of their total.

    `c prod_p max(d A_p, 0)^(1/N)` with `d` the sign of the candidates' total and `c` such that the sum, and with it
    completeness, is the mean's: logarithmic pooling (Genest and Zidek 1986), under which candidates are a product of
    experts. A feature that a candidate gives nothing, or the other sign, is left with `FLOOR` of the largest for that
    candidate; what argues against the total is dropped, as `diffig.credit.Agreeing` drops it from a piece. Where
    nothing agrees the mean is returned.
    """
    centre = attributions.mean(1)
    total = _sum(centre)
    parts = (attributions * total.sign()[:, None]).clamp(min=0)
    given = parts.sum(1)
    floor = FLOOR * parts.flatten(1).amax(1)[:, None, None, None, None]
    pooled = torch.where(given != 0, (parts + floor).log().mean(1).exp(), given)
    mass = _sum(pooled)
    return torch.where(mass == 0, centre, pooled * (total / torch.where(mass == 0, 1, mass)))


def _sum(maps: Tensor) -> Tensor:
    """The sum of each map of `(B, C, H, W)`, `(B, 1, 1, 1)`."""
    return maps.sum((1, 2, 3), keepdim=True)


AGGREGATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": mean,
    "median": median,
    "variance_weighted": variance_weighted,
    "spi_p": spi_p,
    "consensus": consensus,
}
