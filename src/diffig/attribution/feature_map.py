"""A feature map inside a classifier together with its gradient, for methods that look at a layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffig.attribution.layouts import Layout, as_map, layout_of
from diffig.scores import ScoreFunction, nan_where_undefined


class FeatureMaps:
    """Hooks that keep outputs of a forward pass; a context manager that takes them off again.

    Without a layer they keep the last output with places; in a network of tokens, where the last ones are read at one
    token alone, those of all norms.

    Args:
        score: its classifier is looked into.
        layer: a module's name as in `named_modules()` of the plain network, also where it is compiled; `None` for the
            last map of more than one place.
        layout: of the layer's output; `auto` for what its shape says.
        method: the name that errors speak of.

    Attributes:
        names: modules that returned something with places, in the order of their calls.
    """

    def __init__(self, score: ScoreFunction, layer: str | None, layout: Layout, method: str) -> None:
        self.score, self.layer, self.layout, self.method = score, layer and plain_name(layer), layout, method
        self.names: list[str] = []
        self.size = torch.Size((1, 1))
        self.batch = 0
        self._kept: dict[str, Tensor] = {}
        self._norms: set[str] = set()
        self._tokens = False
        self._handles: list[Any] = []

    def __enter__(self) -> FeatureMaps:
        for name, module in self.score.classifier.named_modules():
            if "norm" in type(module).__name__.lower():
                self._norms.add(plain_name(name))
            self._handles.append(module.register_forward_hook(self._hook(plain_name(name))))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._kept = [], {}

    def look_at(self, images: Tensor) -> None:
        """Keep what the next forward pass, of these images, gives."""
        self.batch, self.size, self._kept, self._tokens = len(images), images.shape[2:], {}, False

    def map(self, output: Tensor) -> Tensor | None:
        """Return an output or its gradient as `(B, K, h, w)`, None where it has no places."""
        layout = layout_of(output, self.size) if self.layout == "auto" else self.layout
        return None if layout is None else as_map(output, layout, self.size)

    def _hook(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor) or not output.requires_grad or len(output) != self.batch:
                return None
            if output.ndim not in (3, 4) or self.map(output) is None:
                return None
            if name not in self.names:
                self.names.append(name)
            self._tokens |= output.ndim == 3
            if self.layer is None or name == self.layer:
                self._kept.pop(name, None)
                self._kept[name] = output
            # An in-place ReLU that follows must not write into what is kept.
            return output.clone() if name == self.layer else None

        return keep

    def take(self) -> dict[str, Tensor]:
        """Return the outputs among which the layer is, in the order of their calls; raise where there is none."""
        kept, self._kept = self._kept, {}
        if self.layer is None:
            names = [name for name in kept if name in self._norms] if self._tokens else [*kept][-1:]
            kept = {name: kept[name] for name in names}
        if not kept:
            wanted = "feature map of more than one place" if self.layer is None else f"layer={self.layer!r}"
            wanted += "" if self.layout == "auto" else f" of layout={self.layout}"
            raise ValueError(
                f"{self.method} found no {wanted} in this classifier; modules that return one, first to last: "
                f"{', '.join(filter(None, self.names)) or 'none'}"
            )
        return kept


def plain_name(name: str) -> str:
    """Return a module's name without what `torch.compile` puts between."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def features_and_gradient(
    score: ScoreFunction, images: Tensor, targets: Tensor, layer: str | None, layout: Layout, method: str
) -> tuple[Tensor, Tensor]:
    """Return a layer's features `(B, K, h, w)` and the score's gradients with respect to them.

    The gradient is followed to the images, so that the bill of one backward image for each is what it costs.

    Raises:
        ValueError: no such layer (the message lists those there are), or one that the score does not depend on.
    """
    maps, gradients = [], []
    with score.opened(), FeatureMaps(score, layer, layout, method) as hooks:
        for chunk, labels in zip(images.split(score.chunk_size), targets.split(score.chunk_size), strict=True):
            leaf = chunk.detach().clone().requires_grad_()
            hooks.look_at(leaf)
            scores = score.read(score.ask(leaf), labels.clone())
            kept = hooks.take()
            slopes = torch.autograd.grad(scores.sum(), [*kept.values(), leaf], allow_unused=True)[:-1]
            score.charge(len(leaf), len(leaf))
            hooks.layer, features, gradient = _last_that_counts(hooks, kept, slopes)
            maps.append(features.detach().to(images.dtype))  # a layer under autocast has made them coarser
            gradients.append(nan_where_undefined(gradient.to(images.dtype), scores))
    return torch.cat(maps), torch.cat(gradients)


def _last_that_counts(
    hooks: FeatureMaps, kept: dict[str, Tensor], slopes: tuple[Tensor | None, ...]
) -> tuple[str, Tensor, Tensor]:
    """The last output whose places the score depends on: its name, map and gradient."""
    for (name, output), slope in reversed([*zip(kept.items(), slopes, strict=True)]):
        if slope is None:
            continue
        features, gradient = hooks.map(output), hooks.map(slope)
        if features is not None and gradient is not None and (gradient.any() or not slope.any()):
            return name, features, gradient
    last, slope = [*kept][-1], slopes[-1]
    said = f"does not depend on layer={last!r}"
    if slope is not None:
        said = f"depends on layer={last!r} at tokens of no place alone, as a class token is"
    raise ValueError(f"{hooks.method}: the score {said}; choose one of {', '.join(filter(None, hooks.names))}")
