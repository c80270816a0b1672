"""What perturbation metrics share: features ranked by attribution, removed by rank, and the score of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from diffig.metrics.explained import check_classes
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

Reduce = Literal["sum_abs", "abs_sum", "signed", "max_abs"]
Interval = tuple[int, int]

# Multipliers of the splitmix64 finaliser (Steele, Lea and Flood 2014), as signed 64-bit numbers.
_STEP, _MIX_1, _MIX_2 = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def pixel_map(attributions: Tensor, reduce: Reduce) -> Tensor:
    """Return a map `(B, H, W)` of attributions `(B, C, H, W)`; the three absolute reductions rank differently."""
    if reduce == "sum_abs":
        return attributions.abs().sum(1)
    if reduce == "max_abs":
        return attributions.abs().amax(1)
    total = attributions.sum(1)
    return total.abs() if reduce == "abs_sum" else total


def _tie_keys(seed: int, indices: Tensor, length: int, device: torch.device) -> Tensor:
    """Random numbers `(B, length)` in [0, 2^32), int64: a function of seed, image index and position alone."""
    streams = Streams(seed, indices)
    starts = [int(streams.numpy(row, purpose="ties").integers(2**62)) for row in range(len(streams))]
    state = torch.tensor(starts, device=device)[:, None] + torch.arange(length, device=device) * _STEP
    # int64 arithmetic wraps, which is what the mixer wants; its right shifts are logical, hence the masks.
    state = (state ^ ((state >> 30) & (2**34 - 1))) * _MIX_1
    state = (state ^ ((state >> 27) & (2**37 - 1))) * _MIX_2
    return (state >> 32) & (2**32 - 1)


def order_of(values: Tensor, seed: int, indices: Tensor) -> Tensor:
    """Return positions `(B, P)` of values `(B, P)`, largest first, ties in random order keyed by `indices` `(B,)`.

    Values are compared at float32 resolution. A float's bits, read as an integer, order like the float; with a random
    number in the lower half of an int64 one sort ranks and breaks ties, on any device, whatever the batch.
    """
    bits = (values.float() + 0.0).view(torch.int32)  # adding 0 makes -0 and 0 one tie
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    keys = ordered * 2**32 + _tie_keys(seed, indices, values.shape[1], values.device)
    return keys.argsort(dim=1, descending=True)


def ranks_of(order: Tensor) -> Tensor:
    """Return the rank `(B, P)` int32 of each position, 0 for the first of `order` `(B, P)`."""
    places = torch.arange(order.shape[1], device=order.device, dtype=torch.int32)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, places.expand_as(order))


class Readout(NamedTuple):
    """What the classifier says of images: the target's softmax probability, and whether it is the prediction, bool.

    Both are `(N,)`; of V masked copies of each of B images, `(B, V)`.
    """

    probability: Tensor
    hit: Tensor


def read(logits: Tensor, targets: Tensor) -> Readout:
    """Return what logits `(N, K)` say of the targets `(N,)`."""
    return Readout(logits.softmax(1).gather(1, targets[:, None])[:, 0], logits.argmax(1) == targets)


def read_masked(
    score: ScoreFunction,
    images: Tensor,
    targets: Tensor,
    ranks: Tensor,
    removed: Sequence[Interval],
    fill: Tensor,
) -> Readout:
    """Return the target's softmax probability and whether it is the prediction, on masked copies of the images.

    Args:
        score: only its logits are read; copies are made `score.chunk_size` at a time, full chunks for any batch.
        images: `(B, C, H, W)`.
        targets: `(B,)`.
        ranks: `(B, 1 or C, H, W)` int.
        removed: V half-open intervals of ranks; copy v loses what ranks in `removed[v]`.
        fill: what stands there instead, expandable to `(B, V, C, H, W)` in its first two dimensions.
    """
    batch, count = len(images), len(removed)
    low, high = torch.tensor(removed, device=images.device, dtype=ranks.dtype).T[..., None, None, None]
    fill = fill.expand(batch, count, *fill.shape[2:])
    found: list[Readout] = []
    for copies in torch.split(torch.arange(batch * count, device=images.device), score.chunk_size):
        image, variant = copies // count, copies % count
        rank = ranks.index_select(0, image)
        gone = (rank >= low[variant]) & (rank < high[variant])
        # Interpolation with weights 0 and 1 is exact, and on a processor several times faster than torch.where.
        weight = gone.view(torch.uint8).to(images.dtype)
        logits = score.logits(images.index_select(0, image).lerp_(fill[image, variant].to(images), weight))
        if not found:  # once, because the check waits for the device
            check_classes(targets, logits.shape[1])
        found.append(read(logits, targets[image]))
    return Readout(*(torch.cat(column).reshape(batch, count) for column in zip(*found, strict=True)))
