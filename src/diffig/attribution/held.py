"""Attributions made elsewhere, handed out as if a method had made them: what `attributions=` evaluates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.conversion import kind_of
from diffig.integration.integrate import Integral
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class At(Baseline):
    """Given images as baselines, found by the key of each image."""

    name = "given"

    def __init__(self, images: Tensor, keys: Tensor) -> None:
        self.images, self.places = images, _places(keys)

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return the one that was given for each image."""
        return [self.images[[self.places[int(key)] for key in streams.indices]].to(images)]


class Held(Attributor):
    """A method that only hands out what it holds, and says how far that is from adding up; absolute masses are unknown.

    Args:
        score: what was explained.
        attributions: `(B, C, H, W)`.
        keys: `(B,)` of the images.
        baseline: where their paths began.
        name: in results.
    """

    fails = "given map or score", "Look at where the map was made, and at the classifier."

    def __init__(
        self, score: ScoreFunction | nn.Module, attributions: Tensor, keys: Tensor, baseline: Baseline, name: str
    ) -> None:
        super().__init__(score, baseline)
        self.name, self.attributions, self.places = name, attributions, _places(keys)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        held = self.attributions[[self.places[int(key)] for key in streams.indices]].to(images)
        change = self.score.score(images, targets) - self.score.score(baselines, targets)
        return Integral(held, held.flatten(1).sum(1) - change, torch.full_like(change, torch.nan))


def like_images(given: Any, images: Tensor, name: str) -> Tensor:
    """Return attributions as `(B, C, H, W)`; a map without channels is shared among them.

    Raises:
        TypeError, ValueError: they are no numbers, or do not fit the images.
    """
    try:
        maps = torch.as_tensor(given).detach().float()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"attributions {name!r} are {kind_of(given)}; give a tensor or array, or an explainer"
        ) from None
    if len(images) == 1 and maps.ndim < 4 and len(maps) != 1:  # one image without its batch dimension
        maps = maps[None]
    if maps.shape == (len(images), *images.shape[2:]):
        maps = maps[:, None]
    if maps.ndim == 4 and maps.shape != images.shape and maps.permute(0, 3, 1, 2).shape == images.shape:
        maps = maps.permute(0, 3, 1, 2)
    if maps.shape == (len(images), 1, *images.shape[2:]):
        maps = maps.expand_as(images) / images.shape[1]
    if maps.shape != images.shape:
        raise ValueError(
            f"attributions {name!r} have shape {tuple(torch.as_tensor(given).shape)}, the images {tuple(images.shape)};"
            " give one map for each image, (B, C, H, W) or (B, H, W)"
        )
    return maps.contiguous()


def _places(keys: Tensor) -> dict[int, int]:
    return {int(key): place for place, key in enumerate(keys)}
