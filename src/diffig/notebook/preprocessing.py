"""What a model wants done to pixels in [0, 1], read off whatever its library says it with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from diffig.notebook.framing import AS_IT_IS, Framing, framing_of

if TYPE_CHECKING:
    Numbers = Sequence[float]

LIBRARIES = ("torchvision.models", "transformers.", "timm.")


class Preprocessing(NamedTuple):
    """How pixels become what a model sees.

    Attributes:
        inside: of images `(B, C, H, W)` in [0, 1], differentiable; it becomes part of the classifier.
        mean, std: for each channel, or one for all; 0 and 1 where nothing is normalised.
        framing: how files and Pillow's images are resized and cropped first.
        categories: the classes' names, where they are told.
    """

    inside: nn.Module
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    framing: Framing = AS_IT_IS
    categories: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not any(self.mean) and {*self.std} == {1.0}:
            return "pixels as they are"
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"mean ({mean}), std ({std})"


class Normalise(nn.Module):
    """Subtracts a mean and divides by a standard deviation, for each channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Numbers, std: Numbers) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([float(value) for value in mean]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([float(value) for value in std]).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images."""
        return (images - self.mean.to(images)) / self.std.to(images)


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        """Return what the function makes of the images."""
        return self.function(images)


def preprocessing_of(given: Any, model: nn.Module, channels: int = 3) -> Preprocessing:
    """Return the preprocessing that `given` tells, or else the model itself (timm's `pretrained_cfg`, a `Classifier`).

    Args:
        given: a weights enum of torchvision, a transform, an image processor of Hugging Face, timm's configuration, any
            function of a batch in [0, 1], or None.
        model: what is explained.
        channels: of its images.

    Raises:
        TypeError: `given` tells nothing.
    """
    if given is None:
        given = getattr(model, "pretrained_cfg", None)
    if given is None:
        mean, std = (getattr(model, name, None) for name in ("mean", "std"))
        if isinstance(mean, Tensor) and isinstance(std, Tensor):  # a Classifier, which normalises by itself
            return Preprocessing(nn.Identity(), tuple(mean.flatten().tolist()), tuple(std.flatten().tolist()))
        if type(model).__module__.startswith(LIBRARIES):
            warnings.warn(
                f"{type(model).__name__} gets pixels in [0, 1] as they are, and networks of its library want them "
                "normalised; give preprocess= the weights, the transform or the image processor it was loaded with "
                "(torch.nn.Identity() where nothing is to be done)",
                stacklevel=3,
            )
        return Preprocessing(nn.Identity())
    categories = tuple(_of(_of(given, "meta") or {}, "categories") or ())
    if callable(getattr(given, "transforms", None)):
        given = given.transforms()  # of a weights enum
    for part in reversed(getattr(given, "transforms", None) or [given]):
        mean, std = _of(part, "mean", "image_mean"), _of(part, "std", "image_std")
        if mean is not None and std is not None:
            if _of(part, "do_normalize") is False:
                return Preprocessing(nn.Identity(), framing=framing_of(given), categories=categories)
            mean, std = tuple(map(float, mean)), tuple(map(float, std))
            return Preprocessing(Normalise(mean, std), mean, std, framing_of(given), categories)
    if not callable(given):
        raise TypeError(
            f"preprocess is a {type(given).__name__} without mean and std; give torchvision's weights, a transform, an "
            "image processor, or a function of images (B, C, H, W) in [0, 1]"
        )
    inside = given if isinstance(given, nn.Module) else Applied(given)
    return Preprocessing(inside, *_as_affine(inside, channels))


def _as_affine(function: nn.Module, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of a function that normalises, seen on black and white."""
    with torch.no_grad():
        black, white = (function(torch.full((1, channels, 32, 32), value)).mean((0, 2, 3)) for value in (0.0, 1.0))
    std = 1 / (white - black)
    if len(std) != channels or not bool((std.isfinite() & (std > 0)).all()):
        return (0.0,), (1.0,)
    return tuple((-black * std).tolist()), tuple(std.tolist())


def _of(thing: Any, *names: str) -> Any:
    """The first of these attributes or keys that is there, else None."""
    found = (thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None) for name in names)
    return next((value for value in found if value is not None), None)
