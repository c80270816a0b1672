"""Captum's way to call: what its `NoiseTunnel` and its metrics ask of an explainer beside `attribute`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

from torch import Tensor

Call = TypeVar("Call", bound=Callable[..., Any])


class CaptumCall:
    """An explainer that Captum's wrappers and metrics take for one of its own."""

    is_clamped = False

    def clamped(self) -> Self:
        """Return the same explainer, to which a pixel outside [0, 1] is the nearest one inside.

        For callers that add noise to images, as Captum's `NoiseTunnel` and Quantus' `MaxSensitivity` do. Elsewhere such
        pixels are refused, because they mostly come of an image that was normalised already.
        """
        other = copy.copy(self)
        other.is_clamped = True
        return other

    def has_convergence_delta(self) -> bool:
        """Return True: every method reports its completeness gap."""
        return True


def takes_tuples(attribute: Call) -> Call:
    """Return the method `attribute` as one that also takes a batch alone in a tuple, and then returns a tuple.

    So do Captum's metrics give it. What stands behind the wrapper is what `NoiseTunnel` calls.
    """

    @functools.wraps(attribute)
    def call(self: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        if not (isinstance(inputs, tuple) and len(inputs) == 1 and is_batch(inputs[0])):
            return attribute(self, inputs, *args, **options)
        if "baselines" in options:
            options["baselines"] = alone(options["baselines"])
        found = attribute(self, inputs[0], *map(alone, args[:1]), *args[1:], **options)
        return ((found[0],), *found[1:]) if isinstance(found, tuple) else (found,)

    return cast(Call, call)


def is_batch(value: object) -> bool:
    """Return whether a value is a tensor of several images."""
    return isinstance(value, Tensor) and value.ndim == 4


def alone(value: Any) -> Any:
    """Return what is alone in a tuple, and anything else as it is."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
