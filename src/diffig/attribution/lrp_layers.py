"""The linear layers that relevance propagation finds in a classifier: calls of functions, made by a module or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffig.attribution.backward_rules import is_signal
from diffig.scores import ScoreFunction

CONVOLUTIONS = tuple(f"conv{kind}{number}d" for kind in ("", "_transpose") for number in (1, 2, 3))
PRODUCTS = ("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "einsum")


class Layer(nn.Module):
    """A linear function of one signal with a weight and perhaps a bias, in the form that Zennit's rules ask for.

    Args:
        kind: `convolution` or `linear`, which rules tell apart.
        function: of the signal and the weight.
        weight: as the call was given it, after whatever the network computes it from.
        bias: what is added to the result, in a shape that broadcasts.
        outputs: the dimension of the weight that belongs to the channels of the result; `None` where there is none.
    """

    def __init__(
        self,
        kind: Literal["convolution", "linear"],
        function: Callable[[Tensor, Tensor], Tensor],
        weight: Tensor,
        bias: Tensor | None = None,
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.function, self.outputs = kind, function, outputs
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the function of `inputs` plus the bias."""
        output = self.function(inputs, self.weight)
        return output if self.bias is None else output + self.bias

    def merged(self, scale: Tensor | float, shift: Tensor | float, ndim: int) -> Layer | None:
        """Return the layer that also scales and shifts its output; `None` where no weight can hold the scale.

        Args:
            scale: one number, or one for each channel in a shape that broadcasts.
            shift: added afterwards, in a shape that broadcasts.
            ndim: of the output, whose second dimension holds its channels.
        """
        scale, shift = (torch.as_tensor(value).to(self.weight) for value in (scale, shift))
        weight, bias = self.weight * scale.flatten()[0], shift
        if scale.numel() > 1:
            if self.outputs is None or scale.ndim < ndim - 1 or scale.numel() != scale.shape[1 - ndim]:
                return None
            if scale.numel() != self.weight.shape[self.outputs]:
                return None
            places = [1] * self.weight.ndim
            places[self.outputs] = -1
            weight = self.weight * scale.reshape(places)
        if self.bias is not None:
            bias = self.bias * scale + shift
        return Layer(self.kind, self.function, weight, bias, self.outputs)


def layer_of(function: Callable[..., Tensor], args: Any, kwargs: Any) -> tuple[Layer, Tensor] | None:
    """Return the layer that a call is, and the signal it is given; `None` for a call that is no linear layer."""
    name = getattr(function, "__name__", "")
    if name in CONVOLUTIONS or name == "linear":
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        inputs, weight, bias = given.pop("input"), given.pop("weight"), given.pop("bias", None)
        if not is_signal(inputs) or is_signal(weight):
            return None
        bias = bias if bias is None or name == "linear" else bias.reshape(-1, *(1,) * (weight.ndim - 2))
        kind: Literal["convolution", "linear"] = "linear" if name == "linear" else "convolution"
        outputs = None if "transpose" in name else 0
        return Layer(kind, lambda x, w: function(x, w, None, *args[3:], **given), weight, bias, outputs), inputs
    if name == "addmm" and not kwargs and is_signal(args[1]) and not is_signal(args[0]) and not is_signal(args[2]):
        return Layer("linear", torch.matmul, args[2], args[0], 1), args[1]
    if name not in PRODUCTS or kwargs:
        return None
    first = args[:1] if name == "einsum" else ()
    factors = args[len(first) :]
    factors = factors[0] if isinstance(factors[0], list | tuple) else factors
    if len(factors) != 2 or is_signal(factors[0]) == is_signal(factors[1]):
        return None
    if is_signal(factors[0]):
        outputs = 1 if name in ("matmul", "__matmul__", "mm") and factors[1].ndim == 2 else None
        return Layer("linear", lambda x, w: function(*first, x, w), factors[1], None, outputs), factors[0]
    return Layer("linear", lambda x, w: function(*first, w, x), factors[0]), factors[1]


class _Reached(Exception):
    """The forward pass has come to the first layer."""

    def __init__(self, inputs: Tensor) -> None:
        self.inputs = inputs


class _UntilFirstLayer(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = layer_of(func, args, kwargs or {})
        if found is not None:
            raise _Reached(found[1].detach())
        return func(*args, **(kwargs or {}))


def input_bounds(score: ScoreFunction, images: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest input `(1, ...)` that the first layer with weights can be given.

    A black and a white image are sent as far as that layer, so that the bounds are in its own, normalised units
    whatever the classifier does before. Two forward images, of which the classifier itself computes next to nothing.

    Raises:
        ValueError: a classifier without convolution and without linear layer.
    """
    found = []
    for value in (0.0, 1.0):
        score.charge(1)
        try:
            with _UntilFirstLayer():
                score.ask(torch.full_like(images[:1], value, requires_grad=True))
        except _Reached as reached:
            found.append(reached.inputs)
            continue
        raise ValueError(
            f"{method} found no convolution and no linear layer in this classifier to start from; scripts hide theirs: "
            "give the network as plain modules and functions"
        )
    return torch.minimum(*found), torch.maximum(*found)
