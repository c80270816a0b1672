"""How relevance comes back through what a network computes without modules: sums, means, pools and constants.

Notation: `R_j` arrives at an output `y_j`. A sum of parts `y = sum_i w_i x_i` without parameters hands on
`R_i = sum_j x_i w_ij R_j / y_j` (LRP-0, which conserves); shifting and scaling by constants, as normalisation does,
hands on `R` as it is. Everything else (slices, padding, concatenation, maxima) is its own gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from diffig.attribution.backward_rules import PRODUCTS, is_signal

SUMS = ("add", "__add__", "__radd__")
DIFFERENCES = ("sub", "__sub__", "__rsub__", "rsub")
FACTORS = ("mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide")
WRITTEN = {"add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div"}
WRITTEN |= {"__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div"}
POOLS = ("mean", "sum", "avg_pool2d", "adaptive_avg_pool2d")
SMOOTH = ("silu", "hardswish", "leaky_relu", "elu", "softplus", "hardtanh", "relu6")
UNDEFINED = ("scaled_dot_product_attention", "multi_head_attention_forward", "softmax", "layer_norm", "group_norm")
STABILISER = 1e-9


class Shared(torch.autograd.Function):
    """A sum of parts, whose relevance each part gets in proportion."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], positive: bool, *parts: Tensor) -> Tensor:
        """Return `function(*parts)`; with `positive` only what is positive in a part will count."""
        with torch.enable_grad():
            leaves = [(part.relu() if positive else part).detach().requires_grad_() for part in parts]
            total = function(*leaves)
        ctx.leaves, ctx.total = leaves, total
        return function(*parts) if positive else total.detach()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return `x_i sum_j w_ij R_j / y_j` for each part."""
        total = ctx.total.detach()
        stable = total + torch.where(total < 0, -STABILISER, STABILISER)
        shares = torch.autograd.grad(ctx.total, ctx.leaves, relevance / stable)
        return None, None, *(leaf.detach() * share for leaf, share in zip(ctx.leaves, shares, strict=True))


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


class Relevance(TorchFunctionMode):
    """While entered, what a network computes without modules hands relevance on by the rules above.

    Args:
        positive: only positive parts get relevance from a sum or a mean, so that none becomes negative (the `z_plus`
            rule; a residual branch may be negative where its sum is positive).

    Raises:
        ValueError: on a product of two signals (attention, squeeze-and-excitation) and on a layer norm, for which no
            rule is settled; on a layer that is used twice, whose hook would remember the second use only.
    """

    def __init__(self, positive: bool = False) -> None:
        super().__init__()
        self.positive = positive
        self._weights: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what `func` returns."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        signals = [is_signal(value) for value in args[:2]]
        if name in WRITTEN and any(signals):
            function = getattr(torch.Tensor, WRITTEN[name])
            return args[0].copy_(self.__torch_function__(function, types, (args[0].clone(), *args[1:]), kwargs))
        both = signals == [True, True]
        if name in UNDEFINED or (both and name in (*PRODUCTS, *FACTORS)):
            raise ValueError(
                f"lrp has no rule for {name.strip('_')} of this classifier (products of two signals: attention, "
                "squeeze-and-excitation; layer norms). Choose a plain or residual convolutional classifier"
            )
        if name in ("conv2d", "linear"):
            if id(args[1]) in self._weights:
                raise ValueError("lrp cannot tell two uses of one layer apart; this classifier shares weights")
            self._weights.add(id(args[1]))
        if both and name in SUMS + DIFFERENCES:
            positive = self.positive and name in SUMS
            return Shared.apply(lambda first, second: func(first, second, **kwargs), positive, *args[:2])
        if name in POOLS and signals[:1] == [True]:
            return Shared.apply(lambda inputs: func(inputs, *args[1:], **kwargs), self.positive, args[0])
        if name in SMOOTH and signals[:1] == [True] and not (kwargs.get("inplace") or args[-1] is True):
            return Unchanged.apply(lambda inputs: func(inputs, *args[1:], **kwargs), args[0])
        if name in SUMS + DIFFERENCES + FACTORS and len(args) == 2 and any(signals):
            place = signals.index(True)
            rest = args[1 - place]
            order = (lambda x: func(x, rest)) if place == 0 else (lambda x: func(rest, x))
            return Unchanged.apply(order, args[place])
        return func(*args, **kwargs)
