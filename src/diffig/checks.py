"""What every entry point asks of its input, with one clear message each."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import torch
from torch import Tensor

Objective = Literal["probability", "logit", "log_probability", "margin"]


class NonFiniteWarning(UserWarning):
    """A score or gradient was NaN or infinite; the images concerned are named and their attributions are NaN."""


def check_images(images: Tensor, name: str = "images") -> None:
    """Return nothing; raise where `images` is not a floating tensor of shape `(B, C, H, W)` with `B >= 1`."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = getattr(images, "dtype", type(images).__name__)
        raise TypeError(f"{name} must be a floating tensor in [0, 1], got {kind}; convert with x.float() / 255")
    if images.ndim != 4:
        raise ValueError(f"{name} has shape {tuple(images.shape)}; it must be (B, C, H, W): add a batch with x[None]")
    if images.shape[0] == 0:
        raise ValueError(f"{name} holds no image (shape {tuple(images.shape)}); give at least one")


def check_pixel_range(images: Tensor, name: str = "images") -> None:
    """Return nothing; raise where a finite pixel lies outside [0, 1]: paths live in pixels, not in normalised units."""
    finite = images[torch.isfinite(images)]
    if finite.numel() and (finite.min() < -1e-6 or finite.max() > 1 + 1e-6):
        raise ValueError(
            f"{name} lies in [{finite.min():.4g}, {finite.max():.4g}]; pixels must lie in [0, 1]: give raw pixels and "
            "put the normalisation inside the classifier (diffig.classifiers.Classifier(net, mean, std))"
        )


def check_targets(targets: Tensor, batch: int) -> None:
    """Return nothing; raise where `targets` is not an integer tensor of shape `(B,)`."""
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.shape != (batch,):
        shape = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"targets has shape {shape}; it must hold one class index (int64) for each of {batch} images")


def check_indices(indices: Tensor, batch: int) -> None:
    """Return nothing; raise where `indices` is not an integer tensor of shape `(B,)`."""
    if not isinstance(indices, Tensor) or indices.is_floating_point() or indices.shape != (batch,):
        shape = tuple(indices.shape) if isinstance(indices, Tensor) else type(indices).__name__
        raise ValueError(
            f"indices has shape {shape}; it must hold one dataset index (int64) for each of {batch} images"
        )


def check_like(other: Tensor, images: Tensor, name: str) -> None:
    """Return nothing; raise where `other` has not the shape of `images`."""
    if other.shape != images.shape:
        raise ValueError(
            f"{name} has shape {tuple(other.shape)}, the images have {tuple(images.shape)}; give one {name} for each "
            f"image, or a baseline by name"
        )


def check_at_least(value: int, least: int, name: str, meaning: str) -> int:
    """Return `value` as an int; raise where it is below `least`."""
    if int(value) != value or value < least:
        raise ValueError(f"{name}={value} must be a whole number of at least {least}: {meaning}")
    return int(value)


def check_choice(value: object, allowed: object, name: str, advice: str = "choose") -> None:
    """Return nothing; raise where `value` is not among the values of the `Literal` type `allowed`."""
    if value not in get_args(allowed):
        raise ValueError(f"{name}={value!r} is unknown; {advice} one of {list(get_args(allowed))}")


def warn_non_finite(bad: Tensor, indices: Tensor, what: str) -> None:
    """Return nothing; warn once where any of `bad` `(B,)` is true, naming the images `indices[bad]`."""
    if bool(bad.any()):
        names = indices[bad.to(indices.device)].tolist()
        warnings.warn(
            f"{what} of image {names} is NaN or infinite; attribution set to NaN, the other images are unaffected. "
            "Look at the classifier on these images (NaN pixels, overflow, log of 0).",
            NonFiniteWarning,
            stacklevel=3,
        )
