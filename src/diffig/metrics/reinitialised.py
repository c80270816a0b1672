"""Copies of a classifier with some of its layers initialised anew."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from torch import Tensor, nn

from diffig.scores import as_written


def layers_of(classifier: nn.Module, image: Tensor) -> list[str]:
    """Return the names of the modules that hold parameters of their own, in the order in which an image meets them.

    Args:
        classifier: left as it came.
        image: `(1, C, H, W)`, sent through a copy to see the order; modules that it does not meet come first.

    Raises:
        ValueError: it has no parameters.
    """
    spare = copy.deepcopy(classifier).eval()
    names = [name for name, module in spare.named_modules() if _own(module)]
    if not names:
        raise ValueError(
            f"{type(classifier).__name__} has no parameters, so nothing to randomise; leave out the metrics "
            "randomization and emprt"
        )
    met: list[str] = []
    for name in names:
        spare.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: met.append(name))
    with torch.no_grad(), as_written():  # a compiled module runs past its hooks
        spare(image.clone(memory_format=torch.contiguous_format))  # a forward may write into its input, or view it
    order = {name: place for place, name in reversed(list(enumerate(met)))}
    return sorted(names, key=lambda name: order.get(name, -1))


def reinitialised(classifier: nn.Module, layers: Collection[str], order: list[str], seed: int) -> nn.Module:
    """Return a copy of the classifier in which the named layers have random parameters.

    A layer that knows how (`reset_parameters`) starts as it would in a new network; parameters of any other are drawn
    from a normal distribution with their mean and standard deviation. Running statistics are reset with their layer. A
    layer's numbers depend on seed and place alone, not on the other layers, the device or torch's global randomness.

    Args:
        classifier: left as it came.
        layers: names out of `order`.
        order: all layers, as `layers_of` gives them.
        seed: of the parameters.
    """
    device = next((parameter.device for parameter in classifier.parameters()), torch.device("cpu"))
    spare = copy.deepcopy(classifier).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for place, name in enumerate(order):
            if name in layers:
                # torch.manual_seed would seed the accelerators too, and nothing here gives their state back.
                torch.default_generator.manual_seed((seed + 1) * 1_000_003 + place)
                _reset(spare.get_submodule(name))
    return spare.to(device).requires_grad_(False).eval()


def _own(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _reset(module: nn.Module) -> None:
    known = getattr(module, "reset_parameters", None)
    if callable(known):
        known()
        return
    for parameter in module.parameters(recurse=False):
        spread = float(parameter.std()) if parameter.numel() > 1 else 1.0
        parameter.normal_(float(parameter.mean()), spread)
