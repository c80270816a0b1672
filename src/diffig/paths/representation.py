"""The input of a classifier's last linear layer: its representation of an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffig.scores import ScoreFunction


class Representation:
    """Hooks that keep what enters a classifier's head; a context manager that takes them off again.

    Args:
        classifier: is looked into.
        layer: name of the module whose input is kept, as in `named_modules()`; `None` for the last `Linear` or 1 x 1
            convolution that is called.
    """

    def __init__(self, classifier: nn.Module, layer: str | None = None) -> None:
        modules = dict(classifier.named_modules())
        heads = {name: module for name, module in modules.items() if _may_be_head(module)}
        if layer is None and not heads:
            raise ValueError("the classifier has no Linear and no 1 x 1 convolution; name a module with layer")
        if layer is not None and layer not in modules:
            raise ValueError(f"layer={layer!r} is no module of the classifier; linear ones are {list(heads)}")
        self.modules = list(heads.values()) if layer is None else [modules[layer]]
        self._kept: Tensor | None = None
        self._handles: list[Any] = []

    def __enter__(self) -> Representation:
        self._handles = [module.register_forward_pre_hook(self._keep) for module in self.modules]
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._kept = [], None

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._kept = inputs[0]

    def take(self) -> Tensor:
        """Return what entered the head in the last forward pass, `(B, d)`."""
        kept, self._kept = self._kept, None
        if kept is None:
            raise ValueError("the classifier did not call the module of layer; name another one")
        return kept.flatten(1)


def _may_be_head(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))


def represent(score: ScoreFunction, images: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
    """Return the logits `(n, K)` and representations `(n, d)` of images `(n, C, H, W)`: `n` forward images."""
    logits, representations = [], []
    with score.opened(), torch.no_grad(), Representation(score.classifier, layer) as head:
        for chunk in images.split(score.chunk_size):
            logits.append(score.ask(chunk))
            representations.append(head.take())
    score.charge(len(images))
    return torch.cat(logits), torch.cat(representations)


def direction(score: ScoreFunction, images: Tensor, wanted: Tensor, layer: str | None = None) -> Tensor:
    """Return unit vectors `(n, C, H, W)` along which representations come nearer to `wanted` `(n, d)` fastest.

    They are minus the gradients of `|h(x) - wanted|^2`, 0 where the gradient is 0; one forward and one backward image
    for each.
    """
    gradients = []
    with score.opened(), Representation(score.classifier, layer) as head:
        for chunk, goal in zip(images.split(score.chunk_size), wanted.split(score.chunk_size), strict=True):
            leaf = chunk.detach().clone().requires_grad_()
            score.ask(leaf)
            distance = (head.take() - goal.clone()).square().sum()
            gradients.append(torch.autograd.grad(distance, leaf)[0])
    score.charge(len(images), len(images))
    gradient = torch.cat(gradients)
    size = gradient.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    return -gradient / torch.where(size > 0, size, 1)
