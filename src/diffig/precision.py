"""Half precision is the classifier's alone: autocast is set aside until it is asked, and everything else is float32.

bfloat16 keeps 8 bits of a number: a path of 128 points, the sum of its pieces and the answer of a diffusion model would
be mostly rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)


class Wanted(NamedTuple):
    """What the classifier is asked with: under autocast to `autocast`, and with images of type `images`."""

    autocast: torch.dtype | None = None
    images: torch.dtype | None = None


NOTHING = Wanted()
_WANTED: ContextVar[Wanted] = ContextVar("wanted", default=NOTHING)


@contextlib.contextmanager
def set_aside(images: Tensor) -> Iterator[Tensor]:
    """Give `images` in float32 where they are half, and until the end of the block switch autocast off.

    The classifier is still asked under the autocast that was on, and with images of the type they came in.
    """
    kind, wanted = images.device.type, _WANTED.get()
    if torch.is_autocast_enabled(kind):
        wanted = wanted._replace(autocast=torch.get_autocast_dtype(kind))
    if images.dtype in HALVES:
        wanted = wanted._replace(images=images.dtype)
    token = _WANTED.set(wanted)
    try:
        with torch.autocast(kind, enabled=False):
            yield images.float() if images.dtype in HALVES else images
    finally:
        _WANTED.reset(token)


@contextlib.contextmanager
def for_the_classifier(images: Tensor) -> Iterator[Tensor]:
    """Give `images` as the classifier wants them, under the autocast that was set aside for it."""
    wanted = _WANTED.get()
    given = images if wanted.images is None else images.to(wanted.images)
    if wanted.autocast is None:
        yield given
    else:
        with torch.autocast(images.device.type, dtype=wanted.autocast):
            yield given


@contextlib.contextmanager
def full(images: Tensor, method: str) -> Iterator[None]:
    """Until the end of the block the classifier, too, is asked without autocast.

    Raises:
        TypeError: the images came in half precision, and with them the classifier's weights.
    """
    wanted = _WANTED.get()
    if wanted.images is not None:
        raise TypeError(
            f"method={method} needs a classifier in float32, and the images are {wanted.images}; convert both with "
            ".float()"
        )
    token = _WANTED.set(NOTHING)
    try:
        with torch.autocast(images.device.type, enabled=False):
            yield
    finally:
        _WANTED.reset(token)
