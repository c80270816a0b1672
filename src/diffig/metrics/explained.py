"""What a metric is given: a batch of images with their attributions, and a function that explains changed ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from diffig.checks import check_images, check_targets
from diffig.renamed import old_arguments, old_attribute
from diffig.scores import ScoreFunction


class Explain(Protocol):
    """The method that is judged, for metrics that ask it again; what that costs counts as the metric's, not its own."""

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        indices: Tensor,
        *,
        seed_shift: int = 0,
        classifier: nn.Module | None = None,
    ) -> Tensor:
        """Return attributions `(B, C, H, W)` of images in [0, 1].

        Args:
            images: `(B, C, H, W)`.
            targets: `(B,)` classes.
            indices: `(B,)` keys of the randomness.
            seed_shift: added to the method's own seed; with 0 it repeats itself exactly.
            classifier: explained instead of the method's own.
        """


@old_arguments(waste="absolute_mass")
@dataclass(frozen=True, eq=False)
class Explained:
    """A batch of images with the attributions to be judged.

    Args:
        images: `(B, C, H, W)` in [0, 1].
        attributions: `(B, C, H, W)`; a row holding NaN or infinity makes that image's values NaN, no other's.
        targets: `(B,)` int64, the classes that were explained; every metric scores these.
        labels: `(B,)` int64, the ground truth.
        baselines: `(B, C, H, W)`, where the paths began.
        score: what was explained; give a fresh `ScoreFunction` to count the metrics' own cost.
        indices: `(B,)` int64 positions in the dataset; they key the breaking of ties.
        gap: `(B,)` signed completeness gap, `sum(attribution) - (F(x) - F(x'))`.
        absolute_mass: `(B,)` sum of `|gradient * step|` along the path, or None where the method has no path.
        masks: `(B, 1, H, W)` uint8, where the object is: 1 inside, 0 outside, 255 where it is not to be counted; an
            image without a 1 has no mask. None where the dataset has none.
        explain: the method itself, for metrics that explain changed images or another classifier.
    """

    images: Tensor
    attributions: Tensor
    targets: Tensor
    labels: Tensor
    baselines: Tensor
    score: ScoreFunction
    indices: Tensor
    gap: Tensor
    absolute_mass: Tensor | None = None
    masks: Tensor | None = None
    explain: Explain | None = None

    waste = old_attribute("waste", "absolute_mass")

    def __post_init__(self) -> None:
        check_images(self.images)
        check_targets(self.targets, len(self.images))
        for name in ("attributions", "baselines"):
            shape, wanted = tuple(getattr(self, name).shape), tuple(self.images.shape)
            if shape != wanted:
                raise ValueError(
                    f"{name} has shape {shape}, the images {wanted}; one value for each image, channel and pixel is "
                    f"needed: a map without channels can be spread with (map / C).expand_as(images)"
                )
        for name in ("labels", "indices", "gap", "absolute_mass"):
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != (len(self.images),):
                shape = tuple(value.shape)
                raise ValueError(f"{name} has shape {shape}; give one value for each of the {len(self.images)} images")
        wanted = (len(self.images), 1, *self.images.shape[2:])
        if self.masks is not None and (tuple(self.masks.shape) != wanted or self.masks.dtype != torch.uint8):
            raise ValueError(
                f"masks are {self.masks.dtype} {tuple(self.masks.shape)}; give uint8 {wanted}: 1 inside the object, 0 "
                "outside, 255 to be ignored"
            )

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def finite(self) -> Tensor:
        """`(B,)` bool: whose attribution holds neither NaN nor infinity."""
        return torch.isfinite(self.attributions).flatten(1).all(1)

    @cached_property
    def maps(self) -> Tensor:
        """`(B, C, H, W)` the attributions with non-finite images put to zero, safe to sort and sum."""
        if bool(self.finite.all()):
            return self.attributions.detach()
        return torch.where(self.finite[:, None, None, None], self.attributions, 0).detach()

    @cached_property
    def clean_logits(self) -> Tensor:
        """`(B, K)` logits of the untouched images; one forward for each image, shared by all metrics."""
        return self.score.logits(self.images)

    @cached_property
    def clean_probability(self) -> Tensor:
        """`(B,)` softmax probability of the target on the untouched images."""
        check_classes(self.targets, self.clean_logits.shape[1])
        return self.clean_logits.softmax(1).gather(1, self.targets[:, None])[:, 0]

    @cached_property
    def score_change(self) -> Tensor:
        """`(B,)` `F(x) - F(x')` in the objective that was explained.

        Read off the definition of the gap, so it costs no forward, and where attributions are averaged over several
        baselines it is the change from their mean score, which no single `baselines` could tell.
        """
        return self.maps.flatten(1).sum(1) - self.gap.to(self.maps)

    def again(self, images: Tensor, *, seed_shift: int = 0, classifier: nn.Module | None = None) -> Tensor:
        """Return the method's attributions `(B, C, H, W)` of other images, or with another seed or classifier.

        Raises:
            ValueError: there is no `explain`.
        """
        if self.explain is None:
            raise ValueError(
                "Explained.explain is None, but this metric explains the images again; give it a function of (images, "
                "targets, indices, *, seed_shift, classifier) that returns attributions, as diffig-evaluate does"
            )
        maps = self.explain(images, self.targets, self.indices, seed_shift=seed_shift, classifier=classifier)
        return maps.detach().to(self.images)

    def groups(self) -> Iterator[slice]:
        """Yield slices of at most `score.chunk_size` images, so that memory follows the chunk and not the batch."""
        for start in range(0, len(self), self.score.chunk_size):
            yield slice(start, start + self.score.chunk_size)


def check_classes(targets: Tensor, classes: int) -> None:
    """Raise where `targets` `(B,)` are not all among the classifier's classes."""
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"targets lie in [{low}, {high}] but the classifier knows the classes 0 to {classes - 1}; "
            "check the labels or use a classifier with more classes"
        )
