"""Where a path starts: reference inputs by name, in pixels.

`black` means pixel value 0 here; "zero in normalised space" is called `mean`. What metrics put in place of removed
pixels is another thing and lives in `diffig.metrics`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_like, check_number, check_pixel_range
from diffig.randomness import Streams

__all__ = ["Average", "Baseline", "Blur", "Constant", "Dataset", "Gaussian", "Mean", "Uniform"]


class Baseline(ABC):
    """Reference images for images; several references mean that attributions are averaged over them."""

    name = "baseline"

    @abstractmethod
    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return the references, a list of tensors `(B, C, H, W)` in [0, 1] like `images`."""


class Constant(Baseline):
    """One pixel value everywhere: 0 is black, 1 is white."""

    def __init__(self, value: float = 0.0, name: str | None = None) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"baseline value {value} lies outside [0, 1]; 0 is black, 1 is white")
        self.value = float(value)
        self.name = name or {0.0: "black", 1.0: "white"}.get(self.value, f"constant{value:g}")

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return one constant image for each image."""
        return [torch.full_like(images, self.value)]


class Mean(Baseline):
    """A fixed colour, by default the mean of ImageNet: what a classifier sees as zero after normalisation."""

    name = "mean"

    def __init__(self, mean: Sequence[float] = (0.485, 0.456, 0.406)) -> None:
        self.mean = tuple(float(value) for value in mean)

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return one image of the mean colour for each image; grey images get the mean of the colour."""
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype)
        if images.shape[1] == 1:
            mean = mean.mean()[None]
        if len(mean) != images.shape[1]:
            raise ValueError(f"baseline mean has {len(mean)} channels, the images {images.shape[1]}; set baseline.mean")
        return [mean.view(1, -1, 1, 1).expand_as(images).contiguous()]


class Blur(Baseline):
    """The image itself, blurred by a Gaussian with reflecting borders; `sigma` in pixels."""

    name = "blur"

    def __init__(self, kernel_size: int = 11, sigma: float = 5.0) -> None:
        if kernel_size % 2 == 0 or kernel_size < 1:
            raise ValueError(f"baseline kernel_size={kernel_size} must be odd and positive")
        if not 0 < sigma < math.inf:
            raise ValueError(f"baseline sigma={sigma} must be a number of pixels above 0")
        self.kernel_size, self.sigma = int(kernel_size), float(sigma)

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return the blurred images; on images smaller than the kernel the kernel shrinks to fit."""
        return [self.blurred(images)]

    def blurred(self, images: Tensor) -> Tensor:
        """Return the blurred images `(B, C, H, W)`."""
        from torchvision.transforms.v2 import functional as vision  # heavy, and only this baseline needs it

        size = min(self.kernel_size, 2 * min(images.shape[-2:]) - 1)
        blurred: Tensor = vision.gaussian_blur(images, [size, size], [self.sigma, self.sigma]).clamp(0, 1)
        return blurred


class Uniform(Baseline):
    """Uniform noise over the pixel range, averaged over `draws` (Sturmfels, Lundberg and Lee 2020)."""

    name = "uniform"

    def __init__(self, draws: int = 1) -> None:
        self.draws = check_at_least(draws, 1, "baseline.draws", "attributions are averaged over the draws")

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return `draws` noise images for each image, keyed by the image's index."""
        noise = [streams.uniform(tuple(images.shape[1:]), purpose=f"uniform{draw}") for draw in range(self.draws)]
        return [draw.to(images) for draw in noise]


class Gaussian(Baseline):
    """The image plus Gaussian noise of standard deviation `sigma`, clipped (Sturmfels, Lundberg and Lee 2020)."""

    name = "gaussian"

    def __init__(self, sigma: float = 0.5, draws: int = 1) -> None:
        self.sigma = float(sigma)
        self.draws = check_at_least(draws, 1, "baseline.draws", "attributions are averaged over the draws")

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return `draws` noisy copies of each image, keyed by the image's index."""
        noise = [streams.normal(tuple(images.shape[1:]), purpose=f"gaussian{draw}") for draw in range(self.draws)]
        return [(images + self.sigma * draw.to(images)).clamp(0, 1) for draw in noise]


class Dataset(Baseline):
    """Images drawn from a bank of training images, as in Expected Gradients (Erion et al. 2021).

    Args:
        bank: `(N, C, H, W)` images in [0, 1]; the evaluation fills it from the training split, never from the test.
        draws: references for each image.
    """

    name = "dataset"

    def __init__(self, bank: Tensor | None = None, draws: int = 4) -> None:
        self.bank = bank
        self.draws = check_at_least(draws, 1, "baseline.draws", "attributions are averaged over the draws")

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return `draws` images of the bank for each image, keyed by the image's index."""
        bank = self.checked_bank(images)
        picks = [
            streams.numpy(position, purpose="dataset").integers(len(bank), size=self.draws)
            for position in range(len(images))
        ]
        return [bank[[int(pick[draw]) for pick in picks]].to(images) for draw in range(self.draws)]

    def checked_bank(
        self, images: Tensor, user: str = "baseline=dataset", advice: str = "Dataset(bank=train_images)"
    ) -> Tensor:
        """Return the bank `(N, C, H, W)`.

        Args:
            images: `(B, C, H, W)` whose references are asked for.
            user, advice: of the message: who needs a bank, and what to give.

        Raises:
            ValueError: it is empty, or holds images of another size.
        """
        if self.bank is None or len(self.bank) == 0:
            raise ValueError(f"{user} has no bank of images; give {advice}")
        if self.bank.shape[1:] != images.shape[1:]:
            raise ValueError(f"the bank holds images {tuple(self.bank.shape[1:])}, not {tuple(images.shape[1:])}")
        return self.bank


class Average(Baseline):
    """Several baselines at once, `black_white` for example: attributions are averaged over all references."""

    def __init__(self, baselines: Sequence[Baseline], name: str | None = None) -> None:
        if not baselines:
            raise ValueError("an averaged baseline needs at least one baseline")
        self.baselines = list(baselines)
        self.name = name or "_".join(baseline.name for baseline in self.baselines)

    def references(self, images: Tensor, streams: Streams) -> list[Tensor]:
        """Return the references of all parts, in order."""
        return [reference for part in self.baselines for reference in part.references(images, streams)]


def named_references(images: Tensor, given: Tensor | float) -> Tensor:
    """Return the baselines `(B, C, H, W)` that a caller named for these images.

    Args:
        images: `(B, C, H, W)`.
        given: one baseline for each image or one for all, or one pixel value.
    """
    if not isinstance(given, Tensor):
        return torch.full_like(images, Constant(check_number(given, "baselines")).value)
    given = given.to(images)
    given = given.expand_as(images) if given.shape == (1, *images.shape[1:]) else given
    check_like(given, images, "baselines")
    check_pixel_range(given, "baselines")
    return given
