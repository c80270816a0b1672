"""A feature map inside a classifier together with its gradient, for methods that look at a layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffig.scores import ScoreFunction


class FeatureMaps:
    """Hooks that keep one feature map `(B, K, H, W)` of a forward pass; a context manager that takes them off again.

    Args:
        score: its classifier is looked into.
        layer: a module's name as in `named_modules()` of the plain network, also where it is compiled; `None` for the
            last map of more than one place.
        method: the name that errors speak of.

    Attributes:
        names: modules that returned a map, in the order of their calls.
    """

    def __init__(self, score: ScoreFunction, layer: str | None, method: str) -> None:
        self.score, self.layer, self.method = score, layer and plain_name(layer), method
        self.names: list[str] = []
        self._kept: Tensor | None = None
        self._handles: list[Any] = []

    def __enter__(self) -> FeatureMaps:
        for name, module in self.score.classifier.named_modules():
            self._handles.append(module.register_forward_hook(self._hook(plain_name(name))))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._kept = [], None

    def _hook(self, name: str) -> Any:
        def keep(module: Any, inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor) or output.ndim != 4 or not output.requires_grad:
                return None
            if output[0, 0].numel() < 2:
                return None
            if name not in self.names:
                self.names.append(name)
            if self.layer is None:
                self._kept = output
            elif name == self.layer:
                self._kept = output
                return output.clone()  # an in-place ReLU that follows must not write into what is kept
            return None

        return keep

    def take(self) -> Tensor:
        """Return the map `(B, K, h, w)` that the last forward pass left; raise where there was none."""
        kept, self._kept = self._kept, None
        if kept is None:
            wanted = "a feature map of more than one place" if self.layer is None else f"layer={self.layer!r}"
            raise ValueError(
                f"{self.method} found no {wanted} in this classifier; modules that return one, first to last: "
                f"{', '.join(name for name in self.names if name) or 'none'}"
            )
        return kept


def plain_name(name: str) -> str:
    """Return a module's name without what `torch.compile` puts between."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def features_and_gradient(
    score: ScoreFunction, images: Tensor, targets: Tensor, layer: str | None, method: str
) -> tuple[Tensor, Tensor]:
    """Return a layer's features `(B, K, h, w)` and the score's gradients with respect to them.

    The gradient is followed to the images, so that the bill of one backward image for each is what it costs.

    Raises:
        ValueError: no such layer (the message lists those there are), or one that the score does not depend on.
    """
    maps, gradients = [], []
    with score.opened(), FeatureMaps(score, layer, method) as hooks:
        for chunk, labels in zip(images.split(score.chunk_size), targets.split(score.chunk_size), strict=True):
            leaf = chunk.detach().clone().requires_grad_()
            scores = score.read(score.ask(leaf), labels.clone())
            features = hooks.take()
            gradient, _ = torch.autograd.grad(scores.sum(), (features, leaf), allow_unused=True)
            score.charge(len(leaf), len(leaf))
            if gradient is None:
                raise ValueError(f"{method}: the score does not depend on layer={layer!r}; choose one of {hooks.names}")
            maps.append(features.detach().to(images.dtype))  # a layer under autocast has made them coarser
            gradients.append(gradient.to(images.dtype))
    return torch.cat(maps), torch.cat(gradients)
