"""Relevance propagated backwards through a network, function call by function call, made by a module or not.

Notation: `R_j` arrives at an output `y_j`. A layer with weights follows its rule; what scales and shifts its output by
constants is part of it. A sum of parts `y = sum_i w_i x_i` without parameters hands on `R_i = sum_j x_i w_ij R_j / y_j`
(LRP-0, which conserves); an activation, and constants where no layer stands before them, hand on `R` as it is. What
only moves or chooses values (slices, padding, concatenation, maxima) is its own gradient. There is no rule for anything
else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from diffig.attribution.backward_rules import is_signal, scale_and_shift
from diffig.attribution.lrp_layers import Layer, layer_of
from diffig.attribution.relevance_functions import Ruled, Shared, Unchanged
from diffig.attribution.relevance_names import (
    ACTIVATIONS,
    AVERAGES,
    DIFFERENCES,
    FACTORS,
    MOVES,
    POOLS,
    QUOTIENTS,
    SUMS,
    TURNED,
    WRITTEN,
)

STABILISER = 1e-9


class Made(NamedTuple):
    """The layer that made a signal, what it was given, its rule, and the signal's version as it left it."""

    layer: Layer
    inputs: Tensor
    rule: Any
    version: int


class Relevance(TorchFunctionMode):
    """While entered, every call of a network hands relevance on by the rules above.

    Args:
        rule: a new Zennit rule for a layer; told whether it is the first one that is met.
        method: the name that errors speak of.
        epsilon: stabilises an average pool's denominator.
        positive: only positive parts get relevance from a sum or a mean, so that none becomes negative (the `z_plus`
            rule; a residual branch may be negative where its sum is positive).

    Raises:
        ValueError: on a call without a known rule (a product of two signals as in attention and squeeze-and-excitation,
            a norm by an image's own statistics, a square), and on what hides its calls (scripts, custom functions).
    """

    def __init__(
        self, rule: Callable[[Layer, bool], Any], method: str, epsilon: float = STABILISER, positive: bool = False
    ) -> None:
        super().__init__()
        self.rule, self.method, self.epsilon, self.positive = rule, method, epsilon, positive
        self.met = False
        self.made = WeakTensorKeyDictionary()
        self.latest: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what `func` returns."""
        kwargs = dict(kwargs or {})
        args = args or ((kwargs.pop("input"),) if "input" in kwargs else ())
        given = [value for value in tensors_in((args, kwargs)) if is_signal(value)]
        for value in given:
            self.check(value)
        output = self._follow(func, args, kwargs) if given else func(*args, **kwargs)
        written = args[0] if getattr(func, "__name__", "") == "__setitem__" else None
        for value in tensors_in((output, written)):
            if is_signal(value):
                self.made.setdefault(value, None)
                self.latest = value
        return output

    def check(self, signal: Tensor) -> None:
        """Raise where a signal was made by something that hid how, and has new values."""
        if signal.is_leaf or signal in self.made:
            return
        custom, last = isinstance(signal.grad_fn, BackwardCFunction), self.latest
        if not custom or last is None or last.shape != signal.shape or not last.allclose(signal, 0, 0, equal_nan=True):
            raise ValueError(
                f"{self.method} cannot see how part of this classifier computes: scripts and custom autograd functions "
                "hide their calls. Give the network as plain modules and functions, or choose another method (ig)"
            )
        self.made[signal] = None

    def _follow(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(func, "__name__", "")
        signals = [is_signal(value) for value in args[:2]]
        if name in WRITTEN:
            first = args[0].clone() if all(signals) else args[0]  # what is shared out is what was there before
            value = self._follow(getattr(Tensor, WRITTEN[name]), (first, *args[1:]), kwargs)
            made, written = self._maker(value), args[0].copy_(value)
            self.made[written] = made and made._replace(version=written._version)
            return written
        layer = layer_of(func, args, kwargs)
        if layer is not None:
            return self._layer(*layer, self.rule(layer[0], not self.met), lambda: func(*args, **kwargs))
        if name in (*SUMS, *DIFFERENCES) and len(args) == 2 and all(signals):
            positive = self.positive and name in SUMS
            return Shared.apply(lambda one, other: func(one, other, **kwargs), positive, STABILISER, *args)
        if name in (*SUMS, *DIFFERENCES, *FACTORS) and len(args) == 2 and signals.count(True) == 1:
            return self._by_constant(func, args, kwargs, signals.index(True))
        if name in POOLS and signals[0]:
            epsilon = self.epsilon if name in AVERAGES else STABILISER
            return Shared.apply(lambda inputs: func(inputs, *args[1:], **kwargs), self.positive, epsilon, args[0])
        if name == "batch_norm":
            return self._batch_norm(func, args, kwargs)
        if name in TURNED and (merged := self._merged(args[0], -1.0, 0.0)) is not None:
            return self._layer(*merged, lambda: func(*args, **kwargs))
        if name.removesuffix("_") in ACTIVATIONS or name in ACTIVATIONS:
            if kwargs.get("inplace") or args[-1] is True or (name.endswith("_") and not name.endswith("__")):
                with torch.no_grad():  # the signal stays the same node of the graph: relevance passes as it is
                    return func(*args, **kwargs)
            return Unchanged.apply(lambda inputs: func(inputs, *args[1:], **kwargs), args[0])
        output = func(*args, **kwargs)
        if name not in MOVES and any(is_signal(value) for value in tensors_in(output)):
            self._refuse(name)
        return output

    def _layer(self, layer: Layer, inputs: Tensor, rule: Any, compute: Callable[[], Tensor]) -> Tensor:
        self.met = True
        output: Tensor = Ruled.apply(inputs, layer, rule, compute)
        self.made[output] = Made(layer, inputs, rule, output._version)
        return output

    def _maker(self, signal: Tensor) -> Made | None:
        """The layer that returned this signal as it still is."""
        made: Made | None = self.made.get(signal)
        return made if made is not None and made.version == signal._version else None

    def _by_constant(self, func: Any, args: Any, kwargs: Any, place: int) -> Tensor:
        """A sum, difference or product of a signal and a constant: part of the layer that made the signal, if one did.

        A product that makes the signal larger is a linear layer written by hand, whose rule nothing tells.
        """
        signal, constant, name = args[place], args[1 - place], func.__name__
        if place == 1 and name in QUOTIENTS:
            self._refuse(name)
        shape = constant.shape if isinstance(constant, Tensor) else ()
        if name in FACTORS and torch.broadcast_shapes(signal.shape, shape) != signal.shape:
            self._refuse(f"{name} that spreads values")
        scale, shift = _affine(name, constant, place)
        merged = None if kwargs else self._merged(signal, scale, shift)
        if merged is not None:
            return self._layer(*merged, lambda: func(*args))
        order = (lambda x: func(x, constant, **kwargs)) if place == 0 else (lambda x: func(constant, x, **kwargs))
        return Unchanged.apply(order, signal)

    def _merged(self, signal: Tensor, scale: Any, shift: Any) -> tuple[Layer, Tensor, Any] | None:
        """The layer that made a signal with what scales and shifts it, its input and its rule, if there is one."""
        made = self._maker(signal)
        layer = None if made is None else made.layer.merged(scale, shift, signal.ndim)
        return None if made is None or layer is None else (layer, made.inputs, made.rule)

    def _batch_norm(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        """A norm by constants: part of the layer it follows, and otherwise handed on as it is."""
        known, signal = scale_and_shift(func, args, kwargs), args[0]
        if known is None:
            self._refuse("batch_norm by the batch's own statistics")
        places = (-1, *(1,) * (signal.ndim - 2))
        merged = self._merged(signal, *(value.reshape(places) for value in known))
        if merged is not None:
            return self._layer(*merged, lambda: func(*args, **kwargs))
        return Unchanged.apply(lambda x: func(x, *args[1:], **kwargs), signal)

    def _refuse(self, name: str) -> NoReturn:
        raise ValueError(
            f"{self.method} has no rule for {name.strip('_')} of this classifier; it knows linear layers, batch norms, "
            "activations, sums, pools and what moves values, and neither products of two signals (attention, "
            "squeeze-and-excitation) nor other norms. Choose a plain or residual convolutional classifier, or method=ig"
        )


def _affine(name: str, constant: Any, place: int) -> tuple[Any, Any]:
    """What a signal is multiplied by, and what is added then, where a sum, difference or product has it at `place`."""
    if name in FACTORS:
        return (1 / constant if name in QUOTIENTS else constant), 0.0
    if name in SUMS:
        return 1.0, constant
    return (-1.0, constant) if (place == 1) != ("rsub" in name) else (1.0, -constant)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))
