"""What every entry point asks of its input, with one clear message each."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from diffig.conversion import conversion, is_integer, kind_of, white_of
from diffig.integers import check_at_least as check_at_least, check_whole as check_whole

Objective = Literal["probability", "logit", "log_probability", "margin"]

CAPTUM = {
    "n_steps": "steps=...",
    "method": "rule=...",
    "internal_batch_size": "ScoreFunction(classifier, chunk_size=...)",
}
"""This library's words for arguments of Captum's `attribute`."""


class NonFiniteWarning(UserWarning):
    """A score or gradient was NaN or infinite; the images concerned are named and their attributions are NaN."""


def check_images(images: Tensor, name: str = "images") -> None:
    """Raise where `images` is not a floating tensor of shape `(B, C, H, W)` with `B >= 1`."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError(f"{name} must be a floating tensor in [0, 1], got {kind_of(images)}; {conversion(images)}")
    if images.layout != torch.strided:
        raise TypeError(f"{name} must hold every pixel, got a sparse tensor; convert with {name}.to_dense()")
    if images.ndim != 4:
        raise ValueError(f"{name} has shape {tuple(images.shape)}; it must be (B, C, H, W): add a batch with x[None]")
    if images.shape[0] == 0:
        raise ValueError(f"{name} holds no image (shape {tuple(images.shape)}); give at least one")
    if images.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(images.shape)}, images without a pixel; give at least one of each")


def check_pixel_range(images: Tensor, name: str = "images") -> None:
    """Raise where a finite pixel lies outside [0, 1]: paths live in pixels, not in normalised units."""
    finite = images[torch.isfinite(images)]
    if finite.numel() and (finite.min() < -1e-6 or finite.max() > 1 + 1e-6):
        low, high = float(finite.min()), float(finite.max())
        advice = (
            f"divide by {white_of(high)}"
            if low >= 0 and high > 16  # far beyond normalised units
            else "give raw pixels and put the normalisation inside the classifier "
            f"(diffig.classifiers.Classifier(net, mean, std)){noise_advice(low, high)}"
        )
        raise ValueError(f"{name} lies in [{low:.4g}, {high:.4g}]; pixels must lie in [0, 1]: {advice}")


def noise_advice(low: float, high: float) -> str:
    """Return what else to do where pixels lie outside [0, 1] by no more than noise would bring them, else nothing."""
    slightly = low > -0.5 and high < 1.5
    return "; where noise was added, explain with method.clamped()" if slightly else ""


def check_targets(targets: Tensor, batch: int) -> Tensor:
    """Return `targets` as int64; raise where it is not a tensor of shape `(B,)` of some integer type."""
    return _integers(targets, batch, "targets", "class index")


def check_indices(indices: Tensor, batch: int) -> Tensor:
    """Return `indices` as int64; raise where it is not a tensor of shape `(B,)` of some integer type."""
    return _integers(indices, batch, "indices", "dataset index")


def _integers(values: Tensor, batch: int, name: str, what: str) -> Tensor:
    if isinstance(values, Tensor) and values.shape == (batch,) and is_integer(values):
        return values.long()
    wanted = f"it must hold one {what} (int64) for each of {batch} images"
    if not isinstance(values, Tensor):
        raise ValueError(f"{name} is a {type(values).__name__}; {wanted}: convert with torch.as_tensor({name})")
    advice = f": convert with {name}.long()" if values.shape == (batch,) else ""
    if values.ndim == 2 and len(values) == batch:
        advice = f": take {name}[:, 0]" if values.shape[1] == 1 else f": for one-hot rows, {name}.argmax(1)"
    raise ValueError(f"{name} has shape {tuple(values.shape)} and type {values.dtype}; {wanted}{advice}")


def check_number(value: object, name: str) -> float:
    """Return one pixel value as a float; raise where `value` is something else, with what to give in its place."""
    if isinstance(value, numbers.Real) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return float(value)
    advice = "a named baseline belongs where the method is made, IntegratedGradients(classifier, baseline=...)"
    if isinstance(value, np.ndarray):
        advice = conversion(value, name)
    elif isinstance(value, Sequence) and value and all(isinstance(part, numbers.Real) for part in value):
        advice = f"for a colour, torch.tensor({name}).view(1, -1, 1, 1).expand_as(inputs[:1])"
    elif isinstance(value, Sequence) and value and isinstance(value[0], Tensor):
        advice = f"take {name}[0]"
    raise TypeError(
        f"{name} is {kind_of(value)}; it must be a tensor (B, C, H, W) or (1, C, H, W), or one pixel value: {advice}"
    )


def check_options(given: Iterable[str], takes: Collection[str], method: str, made: Collection[str] = ()) -> None:
    """Raise where `attribute` was given what `method` does not take, with our word for Captum's.

    Args:
        given: names that `attribute` was called with.
        takes: those that it knows.
        method: its name.
        made: names that it is made with.
    """
    for name in sorted(set(given) - set(takes)):
        if name in CAPTUM or name in made:
            right = CAPTUM.get(name, f"{name}=...")
            raise ValueError(f"{method} takes no {name} in attribute; give {right} where the method is made")
        raise ValueError(f"{method} takes no {name!r}; the diffig methods take region")


def check_like(other: Tensor, images: Tensor, name: str) -> None:
    """Raise where `other` has not the shape of `images`."""
    if other.shape != images.shape:
        raise ValueError(
            f"{name} has shape {tuple(other.shape)}, the images have {tuple(images.shape)}; give one {name} for each "
            f"image, or a baseline by name"
        )


def check_widths(widths: float | Sequence[float], name: str = "footprint") -> tuple[float, ...]:
    """Return widths as shares of an image's shorter side; raise where one is not in [0, 1).

    Args:
        widths: one or several; none shares nothing.
        name: of the argument.
    """
    several = isinstance(widths, Iterable) and not isinstance(widths, str | Mapping)
    given: list[float] = list(widths) if several else [widths]  # type: ignore[list-item, arg-type]
    for width in given:
        if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 <= width < 1:
            raise ValueError(
                f"{name}={width} must be a share of the image's side, at least 0 and less than 1; .03 is a pixel of 32"
            )
    return tuple(float(width) for width in given)


def check_choice(value: object, allowed: object, name: str, advice: str = "choose") -> None:
    """Raise where `value` is not among the values of the `Literal` type `allowed`."""
    if value not in get_args(allowed):
        raise ValueError(f"{name}={value!r} is unknown; {advice} one of {list(get_args(allowed))}")


def warn_non_finite(bad: Tensor, indices: Tensor, what: str, advice: str) -> None:
    """Warn once where any of `bad` `(B,)` is true, naming the images `indices[bad]`."""
    if bool(bad.any()):
        names = indices[bad.to(indices.device)].tolist()
        warnings.warn(
            f"{what} of image {names} is NaN or infinite; attribution set to NaN, the other images are unaffected. "
            f"{advice}",
            NonFiniteWarning,
            stacklevel=3,
        )
