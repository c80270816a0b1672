"""Image files and classes by name: what a user points at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from diffig.data.imagenet import imagenet_names
from diffig.data.pictures import Ground, is_image, read_picture

if TYPE_CHECKING:
    from diffig.classifiers.base import Classifier


def sources_of(image: int | str) -> list[int | str]:
    """Return what is to be explained: a position, a file, or every image file below a folder, sorted.

    Raises:
        FileNotFoundError: no such file, or a folder without images.
    """
    if isinstance(image, int):
        return [image]
    if not Path(image).is_dir():
        check_file(image)
        return [image]
    files = sorted(str(file) for file in Path(image).rglob("*") if is_image(file.name) and file.is_file())
    if not files:
        raise FileNotFoundError(f"no image below {image} (.jpg, .png, ...); give a file, or image=<number>")
    return list(files)


def check_file(file: str | Path) -> None:
    """Raise where there is no such file."""
    if not Path(file).is_file():
        raise FileNotFoundError(f"no image at {file}; give a file, or image=<number> for an image of the dataset")


def folder_names(sources: Sequence[int | str], root: str | Path) -> list[str]:
    """Return a name for each file below `root`, all different: its path without the ending, with it where two clash."""
    paths = [Path(str(source)).relative_to(root) for source in sources]
    short = [path.with_suffix("").as_posix().replace("/", "_") for path in paths]
    often, names = Counter(short), []
    for path, name in zip(paths, short, strict=True):
        name = name if often[name] == 1 else path.as_posix().replace("/", "_")
        while name in names:  # a/b.png and a_b.png
            name += "_"
        names.append(name)
    return names


def class_names(classifier: Classifier) -> list[str]:
    """Return the classes' names: ImageNet's for a thousand classes, their numbers otherwise."""
    if classifier.num_classes == 1000:
        return imagenet_names()
    return [str(index) for index in range(classifier.num_classes)]


def read_image(file: str | Path, size: tuple[int, int], grey: bool = False, ground: Ground = "white") -> Tensor:
    """Return an image file as `(1, C, H, W)` in [0, 1]: shorter side resized, centre cropped to `size`.

    Args:
        file: an image, read as `diffig.data.pictures.read_picture` reads it.
        size: height and width.
        grey: one channel in place of three.
        ground: what shines through transparent pixels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no image.
    """
    from torchvision.transforms.v2 import functional as vision

    check_file(file)
    picture = read_picture(Path(file), str(file), ground)
    pixels = vision.pil_to_tensor(picture.convert("L") if grey else picture)
    scale = max(size[0] / pixels.shape[-2], size[1] / pixels.shape[-1])
    shape = [max(size[0], round(pixels.shape[-2] * scale)), max(size[1], round(pixels.shape[-1] * scale))]
    resized = vision.resize(pixels.float() / 255, shape, antialias=True)
    return vision.center_crop(resized, list(size)).clamp(0, 1)[None]


def in_colour(file: str | Path) -> bool:
    """Return whether an image file is more than shades of grey; False for what is no image, which reading it says."""
    try:
        picture = read_picture(Path(file), str(file)).convert("RGB")
    except (OSError, ValueError):
        return False
    picture.thumbnail((64, 64))
    pixels = np.asarray(picture).astype(int)
    return bool(((pixels.max(-1) - pixels.min(-1)) > 24).mean() > 0.02)


def target_of(wanted: Any, probabilities: Tensor, names: list[str]) -> int:
    """Return the class that `wanted` means: `auto` (the likeliest), a number or a name.

    Raises:
        ValueError: an unknown number or name; near names are offered.
    """
    if wanted == "auto":
        return int(probabilities.argmax())
    if isinstance(wanted, int):
        if not 0 <= wanted < len(probabilities):
            raise ValueError(f"target={wanted} is no class; choose 0 to {len(probabilities) - 1}, a name, or auto")
        return wanted
    if wanted in names:
        return names.index(wanted)
    import difflib

    near = difflib.get_close_matches(str(wanted), names, 5, 0.5)
    raise ValueError(
        f"target={wanted!r} is no class name; {'did you mean ' + str(near) if near else 'use a number, or auto'}"
    )
