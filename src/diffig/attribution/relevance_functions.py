"""The rules of relevance for one call, as autograd functions whose backward pass is the rule and no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Ruled(torch.autograd.Function):
    """A layer with weights, whose relevance goes by one of Zennit's rules."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: Any, rule: Any, compute: Callable[[], Tensor]) -> Tensor:
        """Return `compute()`, which is `layer(inputs)` as the network itself computes it."""
        ctx.save_for_backward(inputs)
        ctx.layer, ctx.rule = layer, rule
        return compute()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return what the rule makes of the relevance."""
        (inputs,) = ctx.saved_tensors
        precise = inputs.detach().to(ctx.layer.weight.dtype)  # a network may enter autocast by itself
        ctx.rule.stored_tensors["input"] = (precise,)
        (lower,) = ctx.rule.backward(ctx.layer, (precise,), (relevance.to(precise.dtype),))
        ctx.rule.stored_tensors.clear()
        return lower.to(inputs.dtype), None, None, None


class Shared(torch.autograd.Function):
    """A sum of parts, whose relevance each part gets in proportion."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], positive: bool, stabiliser: float, *parts: Tensor) -> Tensor:
        """Return `function(*parts)`; with `positive` only what is positive in a part will count."""
        with torch.enable_grad():
            leaves = [(part.relu() if positive else part).detach().requires_grad_() for part in parts]
            total = function(*leaves)
        ctx.leaves, ctx.total, ctx.stabiliser = leaves, total, stabiliser
        return function(*parts) if positive else total.detach().clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return `x_i sum_j w_ij R_j / y_j` for each part."""
        total = ctx.total.detach()
        stable = total + torch.where(total < 0, -ctx.stabiliser, ctx.stabiliser)
        shares = torch.autograd.grad(ctx.total, ctx.leaves, relevance / stable)
        return None, None, None, *(leaf.detach() * share for leaf, share in zip(ctx.leaves, shares, strict=True))


class Unchanged(torch.autograd.Function):
    """A function of one image-dependent tensor, element by element, that hands relevance on as it is."""

    @staticmethod
    def forward(ctx: Any, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Return `function(inputs)`."""
        ctx.shape = inputs.shape
        return function(inputs)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[None, Tensor]:
        """Return the relevance, summed where the constant had spread the input."""
        return None, relevance.sum_to_size(ctx.shape)
