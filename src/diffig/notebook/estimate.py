"""What an explanation will cost, before it is paid for."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.scores import ScoreFunction

TIMED = 4
"""Images of the timed pass, of which one alone would say little on a GPU."""


class Estimate(NamedTuple):
    """About what explaining some images costs.

    Attributes:
        images: how many there are.
        forward_images: that go through the model, for all of them together.
        backward_images: of these, the ones that also go backwards.
        seconds: here and now.
    """

    images: int
    forward_images: int
    backward_images: int
    seconds: float

    def __str__(self) -> str:
        plural = "s" if self.images > 1 else ""
        return (
            f"{self.images} image{plural}: {self.backward_images} backward and {self.forward_images} forward images, "
            f"about {self.seconds:.2g} s"
        )


def estimated(method: Attributor, score: ScoreFunction, images: Tensor, outputs: int) -> Estimate:
    """Return the cost of explaining images.

    The method explains the first image of a toy network, which tells how often it asks and how long it thinks; one pass
    of the real network tells how long an answer takes.

    Args:
        method: as it will be used; its score is replaced.
        score: of the real network.
        images: `(B, C, H, W)`.
        outputs: of the real network.
    """
    one, target = images[:1], torch.zeros(1, dtype=torch.int64, device=images.device)
    method = copy.copy(method)
    score.fit(images)
    method.score = score.like(toy(images.shape[1], outputs).to(images.device))
    own = _seconds(lambda: method.explain(one, target=target), images)
    some = one.expand(min(TIMED, score.chunk_size), -1, -1, -1).contiguous()
    targets = target.expand(len(some))
    score.logits(one)  # the first pass of a process is slow
    forward = _seconds(lambda: score.logits(some), images) / len(some)
    both = _seconds(lambda: score.value_and_grad(some, targets), images) / len(some)
    forwards, backwards = method.score.cost
    seconds = own + (forwards - backwards) * forward + backwards * both
    return Estimate(len(images), len(images) * forwards, len(images) * backwards, len(images) * seconds)


def toy(channels: int, outputs: int) -> nn.Module:
    """Return a network with a convolution and a head, as small as can be and the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [nn.AdaptiveAvgPool2d(16), nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*body, nn.Linear(4, outputs)).eval()


def _seconds(work: Callable[[], object], images: Tensor) -> float:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    start = time.perf_counter()
    work()
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - start
