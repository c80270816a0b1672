"""The parts of a dataset, and how one is cut into them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffig.data.image_sets import ImageSet


@dataclass(frozen=True)
class Splits:
    """The parts of a dataset; `train` and `val` are None where only test images exist."""

    test: ImageSet
    class_names: Sequence[str]
    train: ImageSet | None = None
    val: ImageSet | None = None


def stratified_split(labels: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Return one sorted array of positions per fraction, plus a last one with the remaining positions.

    Each part holds `round(fraction * N)` positions; classes are spread evenly over the parts, to within one or two
    images per class. The same labels, fractions and seed always give the same parts.

    Args:
        labels: integers `(N,)`.
        fractions: share of the images in each part but the last, each in (0, 1), together below 1.
        seed: of the shuffle inside each class.

    Raises:
        ValueError: fractions out of range, or a part that would be empty.
    """
    if not all(0 < fraction < 1 for fraction in fractions) or sum(fractions) >= 1:
        raise ValueError(f"fractions={list(fractions)}: each must lie between 0 and 1 and their sum below 1")
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    # Rank of an image inside its class as a share of the class: sorting by it interleaves the classes, so that any
    # contiguous cut is stratified.
    share = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    interleaved = order[np.argsort(share[order], kind="stable")]
    cuts = np.cumsum([round(fraction * len(labels)) for fraction in fractions])
    parts = [np.sort(part) for part in np.split(interleaved, cuts)]
    if any(len(part) == 0 for part in parts):
        sizes = [len(part) for part in parts]
        raise ValueError(f"{len(labels)} images split into parts of {sizes}: give more images or larger fractions")
    return parts


def random_split(count: int, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions `(train, test)` among `count`, sorted, as scikit-learn's `train_test_split` draws them.

    Args:
        count: of all images.
        test_fraction: share of them in the test part, in (0, 1).
        seed: `random_state` of the draw.

    Raises:
        ValueError: a fraction out of range.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < test_fraction < 1:
        raise ValueError(
            f"test_fraction={test_fraction}: dataset.test_fraction must lie between 0 and 1; usual is 0.05"
        )
    train, test = train_test_split(np.arange(count), test_size=test_fraction, random_state=seed)
    return np.sort(train), np.sort(test)


def split_off_validation(train: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return `(train, val)`: a stratified share `fraction` of the training images becomes validation."""
    val, rest = stratified_split(train.labels, [fraction], seed)
    return train.subset(rest), train.subset(val)
