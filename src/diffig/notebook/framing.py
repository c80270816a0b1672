"""How a photograph becomes the picture that a model was made for: resized and cropped, as its library would."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Framing(NamedTuple):
    """Resizing and cropping of one picture; without sizes it stays as it is.

    Attributes:
        resize: the shorter side, or height and width.
        crop: height and width, from the centre.
        interpolation: by the name that torchvision knows.
    """

    resize: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    interpolation: str = "bilinear"

    def __call__(self, picture: Picture) -> Picture:
        """Return the picture, resized and cropped."""
        from torchvision.transforms.v2 import InterpolationMode, functional as vision

        if self.resize:
            picture = vision.resize(picture, list(self.resize), InterpolationMode(self.interpolation), antialias=True)
        return vision.center_crop(picture, list(self.crop)) if self.crop else picture


AS_IT_IS = Framing()


def framing_of(given: Any) -> Framing:
    """Return the framing that a transform of torchvision, an image processor or timm's configuration tells."""
    if isinstance(given, Mapping):
        size = given.get("input_size")
        if size is None:
            return AS_IT_IS
        height, width = (int(side) for side in size[-2:])
        shorter = math.floor(min(height, width) / float(given.get("crop_pct") or 1))
        return Framing((shorter,), (height, width), str(given.get("interpolation") or "bilinear"))
    if getattr(given, "image_mean", None) is not None:
        return _of_processor(given)
    framing = AS_IT_IS
    for part in getattr(given, "transforms", None) or [given]:
        kind, mode = type(part).__name__, getattr(part, "interpolation", None)
        mode = getattr(mode, "value", None) or framing.interpolation
        if getattr(part, "resize_size", None) is not None:  # the transform of torchvision's weights
            framing = framing._replace(resize=_sides(part.resize_size), interpolation=mode)
        if getattr(part, "crop_size", None) is not None:
            framing = framing._replace(crop=_pair(_sides(part.crop_size)))
        if kind == "Resize" and part.size is not None:
            framing = framing._replace(resize=_sides(part.size), interpolation=mode)
        if kind == "CenterCrop":
            framing = framing._replace(crop=_pair(_sides(part.size)))
    return framing


def _of_processor(given: Any) -> Framing:
    names = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers
    mode = names.get(int(getattr(given, "resample", None) or 2), "bilinear")
    size = _dictionary(getattr(given, "size", None)) if getattr(given, "do_resize", True) else {}
    crop = _dictionary(getattr(given, "crop_size", None)) if getattr(given, "do_center_crop", False) else {}
    shorter = size.get("shortest_edge")
    resize = (int(shorter),) if shorter else _height_width(size)
    return Framing(resize, _height_width(crop), mode)


def _height_width(size: Mapping[str, Any]) -> tuple[int, ...]:
    return (int(size["height"]), int(size["width"])) if size.get("height") and size.get("width") else ()


def _dictionary(size: Any) -> Mapping[str, Any]:
    if isinstance(size, int):
        return {"height": size, "width": size}
    names = ("height", "width", "shortest_edge")
    return size if isinstance(size, Mapping) else {name: getattr(size, name, None) for name in names}


def _sides(size: Any) -> tuple[int, ...]:
    return (int(size),) if isinstance(size, int) else tuple(int(side) for side in size)


def _pair(sides: tuple[int, ...]) -> tuple[int, ...]:
    return sides * 2 if len(sides) == 1 else sides
