"""A classifier's layers as relevance propagation wants them: the first one with its bounds, batch norms merged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffig.scores import ScoreFunction

BatchNorm = nn.modules.batchnorm._BatchNorm
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
                score.ask(torch.full_like(images[:1], value))
            except _Reached:
                continue
            raise ValueError("lrp found no convolution and no linear layer in this classifier to start from")
    finally:
        for handle in handles:
            handle.remove()
    (layer, black), (_, white) = found
    return layer, torch.minimum(black, white), torch.maximum(black, white)


def mergeable(score: ScoreFunction, images: Tensor) -> list[tuple[nn.Module, BatchNorm]]:
    """Return the layers with the batch norms that are given their output, and nothing else, as it is.

    Which follows which is seen in one forward image: in networks whose blocks begin with a batch norm the layer listed
    before it is not what it is given. Without batch norms there is nothing to see, and none is charged.
    """
    found: dict[BatchNorm, list[nn.Module | None]] = {}
    outputs: list[tuple[nn.Module, Tensor, int]] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append((module, output, output._version))

    def look(module: BatchNorm, inputs: Any) -> None:
        given = inputs[0]
        before = [layer for layer, output, version in outputs if output is given and version == given._version]
        found.setdefault(module, []).append(before[0] if before else None)

    modules = list(score.classifier.modules())
    norms = [module for module in modules if isinstance(module, BatchNorm)]
    if not norms:
        return []
    handles = [layer.register_forward_hook(keep) for layer in modules if isinstance(layer, LAYERS)]
    handles += [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        with torch.no_grad():
            score.charge(1)
            score.ask(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    called = [layer for layer, _, _ in outputs]
    pairs = [(before[0], norm) for norm, before in found.items() if len(before) == 1 and before[0] is not None]
    return [(layer, norm) for layer, norm in pairs if called.count(layer) == 1 and _fits(layer, norm)]


def _fits(layer: nn.Module, norm: BatchNorm) -> bool:
    return bool(norm.affine and norm.running_var is not None and len(norm.running_var) == len(layer.weight))  # type: ignore[arg-type]


def merged_batch_norm(canonizers: Any, pairs: list[tuple[nn.Module, BatchNorm]]) -> Any:
    """Return a canonizer that merges the batch norm of each pair into the layer before it, exactly.

    Zennit's own leaves `1 / sqrt(1 + eps)` behind at every merged batch norm, and merges by the order of definition.
    """

    class MergedBatchNorm(canonizers.SequentialMergeBatchNorm):
        def apply(self, root_module: nn.Module) -> list[Any]:
            """Return one applied canonizer for each merged pair."""
            instances = []
            for layer, norm in pairs:
                instance = self.copy()
                instance.register((layer,), norm)
                instance.batch_norm.running_var.data.sub_(norm.eps)
                instances.append(instance)
            return instances

    return MergedBatchNorm()
