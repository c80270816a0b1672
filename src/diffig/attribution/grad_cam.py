"""Grad-CAM (Selvaraju et al. 2017): a layer's channels, weighted by their mean gradients."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from diffig.attribution.base import Attributor
from diffig.attribution.feature_map import features_and_gradient
from diffig.attribution.layouts import Layout
from diffig.baselines import Baseline
from diffig.checks import check_choice
from diffig.integration.integrate import Integral
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

Interpolation = Literal["bilinear", "nearest"]


class GradCAM(Attributor):
    """A heat map of at least 0 in every channel alike: where a layer's features speak for the target.

    Args:
        score, baseline, seed: as in `Attributor`; there is no path and no baseline.
        layer: a module's name, as in `classifier.named_modules()` (`net.layer4`); `None` for the last one that returns
            a map of more than one place; in a network of tokens, for the last norm whose places the score depends on
            (`net.blocks.11.norm1` of a vision transformer, as is usual).
        layout: of the layer's output: `channels_first` (B, K, h, w), `channels_last` (B, h, w, K), `tokens` (B, N, K),
            a class token and others of no place first; `auto` for what its shape says.
        interpolation: `bilinear` or `nearest`, from the layer's size to the image's.
    """

    name = "grad_cam"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        layer: str | None = None,
        layout: Layout = "auto",
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__(score, baseline, seed)
        check_choice(interpolation, Interpolation, "interpolation")
        check_choice(layout, Layout, "layout")
        self.layer, self.layout, self.interpolation = layer, layout, interpolation

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: a heat map."""
        return False

    def heat(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return `relu(sum_k mean(dF/dA_k) A_k)` at the images' size, `(B, 1, H, W)` (equations 1 and 2)."""
        features, gradients = features_and_gradient(self.score, images, targets, self.layer, self.layout, self.name)
        heat = (gradients.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()
        return interpolate(heat, images.shape[2:], mode=self.interpolation)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        unknown = images.new_full((len(images),), torch.nan)
        return Integral(self.heat(images, targets).expand_as(images).clone(), unknown, unknown.clone())
