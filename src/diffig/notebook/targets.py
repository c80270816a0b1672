"""Classes as users name them, as one index for each image."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def categories_of(given: Sequence[str] | None, told: Sequence[str], model: nn.Module) -> tuple[str, ...]:
    """Return the classes' names: those given, those of the weights, or those of the model's own configuration.

    Raises:
        TypeError: what is given is no list of names.
    """
    if given is not None and (isinstance(given, str) or not isinstance(given, Sequence)):
        raise TypeError(f"categories={given!r} must be a list of the classes' names, one for each output of the model")
    names = getattr(getattr(model, "config", None), "id2label", None)  # of Hugging Face
    if not given and not told and isinstance(names, Mapping) and set(names) == set(range(len(names))):
        return tuple(str(names[index]) for index in range(len(names)))
    return tuple(given or told)


def targets_of(target: Any, batch: int, names: Sequence[str], classes: int) -> Tensor:
    """Return one class `(batch,)` int64 for each image.

    Args:
        target: a class, or one for each image: numbers, a tensor, or names.
        batch: how many images there are.
        names: of the classes; empty where they are not known.
        classes: how many there are.

    Raises:
        TypeError, ValueError: an unknown name or number, or another number of targets than images.
    """
    if isinstance(target, Tensor) and target.ndim < 2:
        target = target.tolist()
    each = [target] if isinstance(target, str) or not hasattr(target, "__len__") else list(target)
    chosen = [_index(one, names) for one in each]
    if len(chosen) not in (1, batch):
        raise ValueError(f"{len(chosen)} targets for {batch} images; give one class, or one for each image")
    for one in chosen:
        if not 0 <= one < classes:
            raise ValueError(f"target={one} is no class; the model knows 0 to {classes - 1}")
    return torch.tensor(chosen * batch if len(chosen) == 1 else chosen)


def _index(target: Any, names: Sequence[str]) -> int:
    if isinstance(target, str):
        if target in names:
            return list(names).index(target)
        if not names:
            raise ValueError(f"target={target!r}, and the classes' names are not known; give categories=[...]")
        near = difflib.get_close_matches(target, names, 5, 0.5)
        raise ValueError(f"target={target!r} is no class name; {f'did you mean {near}?' if near else 'use a number'}")
    try:
        if isinstance(target, bool) or int(target) != target:
            raise TypeError
    except (TypeError, ValueError):
        wanted = "a class number, a class name, or one of these for each image"
        raise TypeError(f"target is a {type(target).__name__}; give {wanted}") from None
    return int(target)
