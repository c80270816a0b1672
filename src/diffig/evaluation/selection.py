"""Which images are explained: a seeded choice, the same for every method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from diffig.calls import watched

if TYPE_CHECKING:
    from diffig.data.module import ImageDataModule


def select(
    datamodule: ImageDataModule,
    classifier: nn.Module,
    limit: int | None = None,
    only_correct: bool = True,
    seed: int = 0,
    batch_size: int = 64,
    skip: int = 0,
) -> list[int]:
    """Return positions in the test set in the order of a seeded shuffle; the classifier is asked only as far as needed.

    Args:
        datamodule: its test set is chosen from.
        classifier: images in [0, 1] to logits.
        limit: images wanted; None for all.
        only_correct: leave out what the classifier gets wrong.
        seed: of the order; sets are often sorted by class, so the first images are no sample.
        batch_size: images in one call of the classifier.
        skip: images at the start of the order that are left alone, right or wrong: those that something was chosen on.

    Raises:
        ValueError: the limit is below 1, `skip` below 0, or no image is left.
    """
    images = datamodule.test_set
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit} must be at least 1; leave it null for all {len(images)} images")
    if not 0 <= skip < len(images):
        raise ValueError(f"skip={skip} must be at least 0 and leave some of the {len(images)} images")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).tolist()[skip:]
    if not only_correct:
        return order[:limit]
    chosen: list[int] = []
    device = next((parameter.device for parameter in classifier.parameters()), torch.device("cpu"))
    training = classifier.training
    classifier.eval()
    for start in range(0, len(order), batch_size):
        positions = order[start : start + batch_size]
        samples = [images[position] for position in positions]
        with torch.no_grad(), watched(classifier):
            predictions = classifier(torch.stack([image for image, _, _ in samples]).to(device)).argmax(1).tolist()
        chosen += [
            position
            for position, (_, label, _), prediction in zip(positions, samples, predictions, strict=True)
            if prediction == label
        ]
        if limit is not None and len(chosen) >= limit:
            break
    classifier.train(training)
    if not chosen:
        raise ValueError(
            f"the classifier gets none of the {len(order)} images of {datamodule.name!r} right; check that dataset, "
            "labels and classifier belong together, or set only_correct=false"
        )
    return chosen[:limit]
