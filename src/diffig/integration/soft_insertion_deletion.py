"""Soft insertion minus deletion, DiffIG's faithfulness: the score kept by a map's best pixels, less that without them.

Notation (Kim, Lee and Choi 2026): ratios `r`, `J(A) = mean_r [Conf_ins(r) - Conf_del(r)]`. `ins` keeps the `1 - r`
highest ranked features, `del` removes the `r` highest; the score of the result is divided by that of the image and
clipped to [0, 1]. Forward passes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from diffig.baselines import Blur
from diffig.credit.footprint import spread
from diffig.renamed import old_names
from diffig.scores import ScoreFunction

Unit = Literal["element", "pixel"]
Fill = Literal["kept_mean", "baseline", "blur"]
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
TIE = 1e-5  # qualities nearer than this differ by rounding, which depends on the batch


def soft_insertion_deletion(
    attributions: Tensor,
    images: Tensor,
    baselines: Tensor,
    targets: Tensor,
    score: ScoreFunction,
    *,
    unit: Unit = "element",
    fill: Fill = "kept_mean",
    ratios: Sequence[float] = RATIOS,
    whole: Tensor | None = None,
) -> Tensor:
    """Return `J` of each attribution `(B,)` in [-1, 1], higher is better; where attribution or score are NaN it is -1.

    Args:
        attributions, images, baselines: `(B, C, H, W)`.
        targets: `(B,)`.
        score: asked with `2 len(ratios) + 1` images for each attribution, in chunks; one less where `whole` is given.
        unit: rank every channel of a pixel on its own, or pixels by their sum of |A|.
        fill: what stands for removed features: the mean of the kept ones, the baseline's, or the blurred image's.
        ratios: shares removed.
        whole: `(B,)` the score of the images themselves, where it is known.
    """
    size = attributions.abs() if unit == "element" else attributions.abs().sum(1, keepdim=True)
    flat = size.flatten(1).nan_to_num(0)
    order = flat.argsort(dim=1, stable=True)
    places = torch.arange(flat.shape[1], device=flat.device, dtype=torch.int32)  # half the memory of whole numbers
    rank = torch.empty_like(order, dtype=torch.int32).scatter_(1, order, places.expand_as(order))
    rank = rank.view(size.shape)  # 0 is the least important
    whole = score.score(images, targets) if whole is None else whole
    if fill == "blur":
        baselines = Blur().blurred(images)
    total = torch.zeros_like(whole)
    for ratio in ratios:
        count = int(ratio * flat.shape[1])
        for sign, kept in ((1, rank >= count), (-1, rank < flat.shape[1] - count)):
            value = score.score(_masked(images, baselines, kept, fill), targets)
            total += sign * (value / whole.clamp(min=1e-8)).clamp(0, 1)
    broken = ~attributions.flatten(1).isfinite().all(1) | total.isnan()
    return torch.where(broken, -1.0, total / len(ratios))


def _masked(images: Tensor, baselines: Tensor, kept: Tensor, fill: Fill) -> Tensor:
    kept = kept.expand_as(images)
    if fill != "kept_mean":
        return torch.where(kept, images, baselines)
    count = kept.flatten(1).sum(1).clamp(min=1)
    mean = torch.where(kept, images, 0).flatten(1).sum(1) / count
    return torch.where(kept, images, mean[:, None, None, None])


def mean_soft_insertion_deletion(
    attributions: Tensor,
    images: Tensor,
    baselines: Tensor,
    targets: Tensor,
    score: ScoreFunction,
    *,
    units: Sequence[Unit] = ("element",),
    fill: Fill = "kept_mean",
    ratios: Sequence[float] = RATIOS,
    whole: Tensor | None = None,
) -> Tensor:
    """Return the mean over `units` of `soft_insertion_deletion`, `(B,)`; arguments as there."""
    whole = score.score(images, targets) if whole is None else whole
    given = attributions, images, baselines, targets, score
    parts = [soft_insertion_deletion(*given, unit=unit, fill=fill, ratios=ratios, whole=whole) for unit in units]
    return torch.stack(parts).mean(0)


def _first_best(quality: Tensor) -> Tensor:
    """The place `(B,)` of the best of each row of `(B, N)`, of equally good ones the first."""
    return (quality >= quality.amax(1, keepdim=True) - TIE).long().argmax(1)


def best_mixture(
    attributions: Tensor,
    images: Tensor,
    baselines: Tensor,
    targets: Tensor,
    score: ScoreFunction,
    *,
    units: Sequence[Unit] = ("element",),
    fill: Fill = "kept_mean",
    ratios: Sequence[float] = RATIOS,
) -> tuple[Tensor, Tensor]:
    """Return the mean over the best of each image's candidates `(B, C, H, W)` and its quality `(B,)`.

    Greedy selection (Caruana et al. 2004): begin with the best candidate, add the one whose company helps most, stop
    where none helps; of equally good ones the first. A mean of complete attributions is complete.

    Args:
        attributions: `(B, N, C, H, W)`.
        images, baselines: `(B, C, H, W)`.
        targets, score, fill, ratios: as in `soft_insertion_deletion`.
        units: the quality, `soft_insertion_deletion`, is averaged over these.
    """
    batch, count = attributions.shape[:2]
    whole = score.score(images, targets)

    def judge(mixtures: Tensor, rows: Tensor) -> Tensor:
        given = images[rows], baselines[rows], targets[rows], score
        return mean_soft_insertion_deletion(mixtures, *given, units=units, fill=fill, ratios=ratios, whole=whole[rows])

    joined = torch.zeros(batch, count, dtype=torch.bool, device=images.device)
    growing = torch.ones(batch, dtype=torch.bool, device=images.device)
    total, members = torch.zeros_like(images), images.new_zeros(batch)
    best = images.new_full((batch,), -torch.inf)
    for _ in range(count):
        rows, who = (growing[:, None] & ~joined).nonzero(as_tuple=True)  # only what may still win is judged
        if len(rows) == 0:
            break
        mixtures = (total[rows] + attributions[rows, who]) / (members[rows] + 1)[:, None, None, None]
        quality = images.new_full((batch, count), -torch.inf)
        quality[rows, who] = judge(mixtures, rows)
        first = _first_best(quality)
        value = quality.gather(1, first[:, None])[:, 0]
        growing = growing & (value > best + TIE)
        best = torch.where(growing, value, best)
        grown = growing.nonzero(as_tuple=True)[0]
        joined[grown, first[grown]] = True
        total[grown] += attributions[grown, first[grown]]
        members[grown] += 1
    return total / members[:, None, None, None], best


def best_footprint(
    attributions: Tensor,
    widths: Sequence[float],
    images: Tensor,
    baselines: Tensor,
    targets: Tensor,
    score: ScoreFunction,
    *,
    units: Sequence[Unit] = ("element",),
    fill: Fill = "kept_mean",
    ratios: Sequence[float] = RATIOS,
) -> tuple[Tensor, Tensor]:
    """Return each image's attribution `(B, C, H, W)` shared with the neighbourhood that suits it, and its width `(B,)`.

    Of several attributions and widths the pair of the best quality, of equally good ones the first; one alone is not
    judged. Sums are kept, so that completeness is. Spreading is linear: where the unit is the side, this is the
    footprint of every piece's credit (`diffig.credit.footprint.Footprint`), chosen afterwards.

    Args:
        attributions: `(B, C, H, W)`, or several of each image, `(B, N, C, H, W)`.
        widths: shares of the shorter side; 0 spreads nothing.
        images, baselines: `(B, C, H, W)`.
        targets, score, fill, ratios: as in `soft_insertion_deletion`.
        units: the quality, `soft_insertion_deletion`, is averaged over these.
    """
    several = attributions if attributions.ndim == 5 else attributions[:, None]
    side, shares = min(several.shape[-2:]), several.new_tensor(list(widths))
    each = shares.repeat_interleave(several.shape[1])  # all attributions of the first width come first
    count = len(each)
    if count == 1:
        return spread(several, (each * side)[None])[:, 0], each.expand(len(images))
    found, chosen = torch.empty_like(several[:, 0]), []
    whole = score.score(images, targets)
    # A few images at a time: all widths of the whole batch at once would be many times its memory.
    for rows in torch.arange(len(images), device=images.device).split(max(1, score.chunk_size // count)):
        spreads = spread(several[rows].repeat(1, len(shares), 1, 1, 1), (each * side)[None])
        given = images[rows], baselines[rows], targets[rows], whole[rows]
        image, start, target, unchanged = (tensor.repeat_interleave(count, 0) for tensor in given)
        quality = mean_soft_insertion_deletion(
            *(spreads.flatten(0, 1), image, start, target, score),
            units=units,
            fill=fill,
            ratios=ratios,
            whole=unchanged,
        )
        first = _first_best(quality.view(-1, count))
        found[rows] = spreads[torch.arange(len(rows), device=images.device), first]
        chosen.append(each[first])
    return found, torch.cat(chosen)


if not TYPE_CHECKING:
    __getattr__ = old_names(
        __name__, {"retention": soft_insertion_deletion, "mean_retention": mean_soft_insertion_deletion}
    )
