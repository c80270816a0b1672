"""A classifier's layers as relevance propagation wants them: the first one with its bounds, batch norms merged."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from diffig.scores import ScoreFunction

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


class _Reached(Exception):
    """The forward pass has come to the first layer."""


def first_layer(score: ScoreFunction, images: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the first layer with weights, and the lowest and highest input `(1, ...)` that it can be given.

    A black and a white image are sent as far as that layer, so that the bounds are in its own, normalised units
    whatever the classifier does before. Two forward images, of which the classifier itself computes next to nothing.

    Raises:
        ValueError: a classifier without convolution and without linear layer.
    """
    found: list[tuple[nn.Module, Tensor]] = []

    def stop(module: nn.Module, inputs: Any) -> None:
        found.append((module, inputs[0].detach()))
        raise _Reached

    layers = [module for module in score.classifier.modules() if isinstance(module, LAYERS)]
    handles = [layer.register_forward_pre_hook(stop) for layer in layers]
    try:
        for value in (0, 1):
            score.charge(1)
            try:
                score.classifier(torch.full_like(images[:1], value))
            except _Reached:
                continue
            raise ValueError("lrp found no convolution and no linear layer in this classifier to start from")
    finally:
        for handle in handles:
            handle.remove()
    (layer, black), (_, white) = found
    return layer, torch.minimum(black, white), torch.maximum(black, white)


def merged_batch_norm(canonizers: Any) -> Any:
    """Return a canonizer that merges each batch norm into the layer before it, exactly, and only where they fit.

    Zennit's own leaves `1 / sqrt(1 + eps)` behind at every merged batch norm.
    """

    class MergedBatchNorm(canonizers.SequentialMergeBatchNorm):
        def apply(self, root_module: nn.Module) -> list[Any]:
            """Return one applied canonizer for each merged pair."""
            leaves = [module for module in root_module.modules() if not list(module.children())]
            instances = []
            for layer, norm in itertools.pairwise(leaves):
                if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or not isinstance(layer, LAYERS):
                    continue
                if norm.affine and norm.running_var is not None and len(norm.running_var) == len(layer.weight):
                    instance = self.copy()
                    instance.register((layer,), norm)
                    norm.running_var.data.sub_(norm.eps)
                    instances.append(instance)
            return instances

    return MergedBatchNorm()
