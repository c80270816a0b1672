"""Backward passes with another rule than the gradient's at every rectifier: guided back-propagation and its kin.

Notation: `z` goes into a rectifier, `a = f(z)` comes out, `R` is the signal that comes back to it. A rule says what is
left of `R`; `f'(z)` times that goes on. For a ReLU `f'(z)` is 1 where `z > 0`: the rules are then those of the papers.

Rectifiers are caught where PyTorch dispatches functions and not at modules: one module used many times, in-place and
functional ReLUs are then all alike. Caught are ReLU and ReLU6, `clamp(min=0)`, and the smooth ones of the package's own
small CNN and of mobile networks, SiLU and Hardswish (an extension: the papers know only ReLU).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from diffig.scores import ScoreFunction, as_written

Rule = Callable[[Tensor, Tensor], Tensor]
"""What is left of the signal `(B, ...)` at a rectifier whose positive output is `(B, ...)`."""

RECTIFIERS = ("relu", "relu_", "relu6", "silu", "silu_", "hardswish", "hardswish_")
CLAMPS = ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "hardtanh", "hardtanh_")
UNDEFINED = ("gelu", "scaled_dot_product_attention", "multi_head_attention_forward")
PRODUCTS = ("matmul", "__matmul__", "__rmatmul__", "bmm", "baddbmm")


class Rectified(torch.autograd.Function):
    """The rectifier on the way there and the rule on the way back."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Callable[[Tensor], Tensor], rule: Rule, in_place: bool) -> Tensor:
        """Return `function(inputs)`, written into `inputs` where the network does so."""
        with torch.enable_grad():
            leaf = inputs.detach().clone().requires_grad_()
            outputs = function(leaf)
            (slope,) = torch.autograd.grad(outputs.sum(), leaf)
        outputs = outputs.detach()
        ctx.save_for_backward(slope, outputs.relu())
        ctx.rule = rule
        if not in_place:
            return outputs
        inputs.copy_(outputs)
        ctx.mark_dirty(inputs)
        return inputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None, None]:
        """Return what the rule leaves of the signal, times the slope."""
        slope, outputs = ctx.saved_tensors
        return slope * ctx.rule(signal, outputs), None, None, None


class Rectifiers(TorchFunctionMode):
    """While entered, every rectifier that a network calls follows a rule on the way back.

    Args:
        rule: what is left of the signal.
        method: the name that errors speak of.

    Raises:
        ValueError: on a network with GELU or attention, for which these rules are not defined.

    Attributes:
        count: of the rectifiers that were met.
    """

    def __init__(self, rule: Rule, method: str) -> None:
        super().__init__()
        self.rule, self.method, self.count = rule, method, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what `func` returns."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in UNDEFINED or (name in PRODUCTS and all(is_signal(factor) for factor in args[:2])):
            raise ValueError(
                f"{self.method} is not defined for this classifier: it calls {name.strip('_')} as attention and GELU"
                " networks do, and the rule is one for ReLU. Choose a convolutional classifier, or method=ig"
            )
        if name in RECTIFIERS or (name in CLAMPS and cuts_at_zero(name, args, kwargs)):
            inputs = args[0] if args else kwargs.pop("input")
            in_place = kwargs.pop("inplace", False) or name.endswith("_")
            rest = args[1:]
            if rest and isinstance(rest[-1], bool):  # inplace, by position
                in_place, rest = in_place or rest[-1], rest[:-1]
            function = _out_of_place(name[:-1]) if name.endswith("_") else func
            self.count += 1
            return Rectified.apply(inputs, lambda leaf: function(leaf, *rest, **kwargs), self.rule, in_place)
        return func(*args, **kwargs)


def _out_of_place(name: str) -> Callable[..., Tensor]:
    return getattr(torch.Tensor, name, None) or getattr(torch.nn.functional, name)


def is_signal(value: Any) -> bool:
    """Return whether a value depends on the image: neither a constant nor a weight."""
    return isinstance(value, Tensor) and value.requires_grad and not isinstance(value, torch.nn.Parameter)


def check_plain(classifier: torch.nn.Module, method: str) -> None:
    """Raise where a module is a script, which hides from a method what it calls."""
    for name, module in classifier.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{method} cannot see what the scripted module {name or 'itself'!r} of this classifier computes; give "
                "the plain network it was made from, or choose another method (ig)"
            )


def cuts_at_zero(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether a clamp is a rectifier: `clamp(min=0)` or a Hardtanh from 0 (ReLU6), not a range of pixels."""
    hardtanh = name.startswith("hardtanh")
    low = args[1] if len(args) > 1 else kwargs.get("min_val" if hardtanh else "min", -1.0 if hardtanh else None)
    high = args[2] if len(args) > 2 else kwargs.get("max")
    return isinstance(low, int | float) and low == 0 and (hardtanh or high is None)


def scale_and_shift(function: Callable[..., Tensor], args: Any, kwargs: Any) -> tuple[Tensor, Tensor] | None:
    """Return what a batch norm multiplies by and adds, both `(K,)`; `None` for one by the batch's own statistics.

    Args:
        function: `torch.nn.functional.batch_norm`, or torch's own, which takes the same in another order.
        args: of the call.
        kwargs: of the call.
    """
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if function is torch.batch_norm:
        names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    given = {"eps": 1e-5, **dict(zip(names, args, strict=False)), **kwargs}
    mean, variance, weight, bias = (given.get(name) for name in ("running_mean", "running_var", "weight", "bias"))
    if given.get("training") or mean is None or variance is None:
        return None
    scale = (variance + given["eps"]).rsqrt() * (1 if weight is None else weight)
    return scale, (0 if bias is None else bias) - mean * scale


def back_signal(
    score: ScoreFunction, images: Tensor, targets: Tensor, rule: Rule, method: str
) -> tuple[Tensor, Tensor]:
    """Return scores `(B,)` and what comes back at the images `(B, C, H, W)` under a rule.

    Args:
        score: its objective's gradient enters at the logits: the probability's is positive for the target and negative
            for the others, the logit's is 1 and 0, and as the rules drop signs the two give different maps.
        images: `(B, C, H, W)`.
        targets: `(B,)`.
        rule: for every rectifier.
        method: the name that errors speak of.

    Raises:
        ValueError: a network without rectifiers (or one that hides them in a script), or with attention.
    """
    check_plain(score.classifier, method)
    mode = Rectifiers(rule, method)
    with as_written(), mode:
        found = score.value_and_grad(images, targets)
    if not mode.count:
        raise ValueError(
            f"{method} found no ReLU in this classifier (ReLU, ReLU6, SiLU, Hardswish or clamp(min=0)), so that there"
            " is nothing to change on the way back; scripted functions hide theirs: give the plain ones"
        )
    return found
