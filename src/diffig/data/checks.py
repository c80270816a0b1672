"""What every family of files is checked for, with messages that name the key to change."""

from pathlib import Path

import numpy as np


def existing_path(path: str | Path, wanted: str, key: str = "dataset.path") -> Path:
    """Return `path` as a Path that exists, `~` expanded.

    Args:
        path: file or folder as the user gave it.
        wanted: what should be there, for the message ("a folder with ...").
        key: the configuration key that sets it.

    Raises:
        FileNotFoundError: nothing is there.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise FileNotFoundError(f"{found} does not exist; expected {wanted}. Set {key}=... to where it is")
    return found


def checked_labels(labels: np.ndarray, n_images: int, num_classes: int | None, source: str | Path) -> np.ndarray:
    """Return labels as int64 `(N,)` after checking their number and range.

    Args:
        labels: integers `(N,)` as read.
        n_images: how many images they belong to.
        num_classes: labels must lie in `0 .. num_classes - 1`; `None` only asks for none below 0.
        source: file or folder named in the messages.

    Raises:
        ValueError: no images, wrong shape or dtype, number of labels, or a label out of range.
    """
    if n_images == 0:
        raise ValueError(f"{source} holds no images; point dataset.path at a dataset with at least one")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels of {source} are {labels.dtype} {labels.shape}; they must be integers of shape (N,)")
    if len(labels) != n_images:
        raise ValueError(f"{source} holds {n_images} images but {len(labels)} labels; there must be one for each")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        bad = low if low < 0 else high
        at = int(np.flatnonzero(labels == bad)[0])
        allowed = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        raise ValueError(
            f"label {bad} of image {at} in {source} is out of range; allowed: {allowed}. Correct it or set"
            " dataset.num_classes or dataset.class_names"
        )
    return labels.astype(np.int64)


def checked_pixels(images: np.ndarray, source: str | Path) -> np.ndarray:
    """Return images as given after checking them: uint8 `(N, H, W)` or `(N, H, W, C)` with C 1 or 3.

    Raises:
        ValueError: another dtype or shape, or none at all.
    """
    right_shape = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))
    if images.dtype != np.uint8 or not right_shape:
        raise ValueError(
            f"images of {source} are {images.dtype} {images.shape}; they must be uint8 (N, H, W) or (N, H, W, C) with"
            " 1 or 3 channels last"
        )
    if images.size == 0:
        raise ValueError(f"{source} holds no images (shape {images.shape}); point dataset.path at a non-empty dataset")
    return images
