"""Image files as a viewer shows them: which files are images, and the one reader of their pixels."""

from __future__ import annotations

import functools
import io
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

IDENTIFIED_ONLY = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
SAMPLE_FORMAT, UNSIGNED, WHITE_IS_ZERO = 339, 1, 0  # a tag of TIFF, a value of it, and one of PhotometricInterpretation
Ground = Literal["white", "black"]


class TransparencyWarning(UserWarning):
    """An image has transparent pixels; it was put on a ground of one colour."""


class WhiteUnknown(ValueError):
    """The values of an image have no known white."""


def is_image(name: str) -> bool:
    """Return whether the name ends as one of a format that Pillow reads, whatever the case of its letters."""
    return name.lower().endswith(_endings())


@functools.cache
def _endings() -> tuple[str, ...]:
    from PIL import Image

    known = Image.registered_extensions()
    readable = set(Image.OPEN) - IDENTIFIED_ONLY  # Pillow tells these formats and has no pixels of them
    return tuple(sorted(ending for ending, kind in known.items() if kind in readable))


def read_picture(content: bytes | Path, name: str, ground: Ground = "white") -> Picture:
    """Return an image file as 8-bit RGB: upright, 16 bits scaled to 8, and transparent pixels on a ground.

    Args:
        content: the file, or its bytes.
        name: of the file, for messages.
        ground: what shines through transparent pixels; a `TransparencyWarning` says so once.

    Raises:
        ValueError: it is no image, or its values have no known white.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as picture:
            if Image.MAX_IMAGE_PIXELS is not None and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels, which may be meant to fill the memory")
            picture.load()
            return as_shown(picture, name, ground)
    except WhiteUnknown:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is not a readable image ({error}); replace or remove it") from error


def as_shown(picture: Picture, name: str, ground: Ground = "white") -> Picture:
    """Return an image that Pillow has opened as `read_picture` returns its file."""
    shown = _on_ground(_eight_bits(picture, name), ground).convert("RGB")
    return _turned(shown, _orientation(picture))


def mask_as_shown(mask: Picture, content: bytes) -> Picture:
    """Return a mask as `read_picture` shows its picture: turned where it was drawn on the pixels as they are stored.

    Args:
        mask: one value for each pixel; of the shape of the stored pixels it is turned, of the upright ones it is not.
        content: the bytes of the picture's file.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
        stored = mask.size == (width, height) != (height, width)
        return _turned(mask, _orientation(picture)) if stored and _orientation(picture) > 4 else mask


def _eight_bits(picture: Picture, name: str) -> Picture:
    from PIL import ExifTags, Image

    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    tags = getattr(picture, "tag_v2", {})  # of a TIFF, of which Pillow hands on the numbers as they are
    bits, kind = tags.get(ExifTags.Base.BitsPerSample, (16,))[0], tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0]
    values = np.asarray(picture)
    white = 1 if picture.mode == "F" else 2**bits - 1 if kind == UNSIGNED and 0 < bits <= 16 else -1
    if not (values.min() >= 0 and values.max() <= white):
        raise WhiteUnknown(
            f"{name} has pixels from {values.min():g} to {values.max():g} and nothing says which is white; save it with"
            " 8 or 16 bits"
        )
    shares = values / white
    if tags.get(ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO:
        shares = 1 - shares
    grey = Image.fromarray(np.round(shares * 255).astype(np.uint8))
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _on_ground(picture: Picture, ground: Ground) -> Picture:
    from PIL import Image

    if not picture.has_transparency_data:
        return picture
    picture = picture.convert("RGBA")
    least, _ = picture.getchannel("A").getextrema()
    if least == 255:
        return picture
    warnings.warn(
        f"an image has transparent pixels, and is taken on a {ground} ground; save it without transparency for another",
        TransparencyWarning,
        stacklevel=4,
    )
    return Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture)


def _orientation(picture: Picture) -> int:
    """How the camera was held, EXIF's 1 to 8; 1 is upright, and so is what cannot be read."""
    from PIL import ExifTags

    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1


def _turned(picture: Picture, orientation: int) -> Picture:
    from PIL import ExifTags, Image, ImageOps

    if orientation not in range(2, 9):
        return picture
    bare = Image.fromarray(
        np.asarray(picture)
    )  # without EXIF of its own, which Pillow would write anew, damage and all
    bare.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(bare)
