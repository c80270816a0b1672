"""A picture file has the pixels that a viewer shows, in a dataset, in an explanation and in an archive alike."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from diffig.data.image_files import ImageFiles
from diffig.data.masked_files import MaskedFiles, Region
from diffig.data.npz import Npz
from diffig.data.pictures import TransparencyWarning, read_picture
from diffig.data.storage import Storage
from diffig.explain.inputs import read_image

RNG = np.random.default_rng(0)
ORIENTATION = 0x0112
# The stored pixels that each orientation stands for, as EXIF 2.3 defines it (row 0 and column 0 are the visual ...).
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.swapaxes(0, 1),
    6: lambda shown: shown.swapaxes(0, 1)[::-1],
    7: lambda shown: shown.swapaxes(0, 1)[::-1, ::-1],
    8: lambda shown: shown.swapaxes(0, 1)[:, ::-1],
}


def saved(pixels: np.ndarray, file: Path, orientation: int = 1, mode: str | None = None, **options: Any) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(pixels), mode).save(file, exif=exif, **options)
    return file


def in_dataset(file: Path) -> Tensor:
    return ImageFiles(Storage(file.parent), [file.name], np.zeros(1), size=8, resize=8)[0][0]


def in_npz(file: Path) -> Tensor:
    content = np.frombuffer(file.read_bytes(), np.uint8)
    np.savez(file.with_suffix(".npz"), jpeg=content, offset=np.array([0, len(content)]), y=np.zeros(1, np.int64))
    return Npz(file.with_suffix(".npz")).test_set[0][0]


def in_explanation(file: Path) -> Tensor:
    return read_image(file, (8, 8))[0]


READERS = {"dataset": in_dataset, "npz": in_npz, "explanation": in_explanation}
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255


@readers
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_upright(read: Callable[[Path], Tensor], orientation: int, tmp_path: Path) -> None:
    shown = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = saved(STORED[orientation](shown), tmp_path / "a.png", orientation)
    torch.testing.assert_close(read(file), tensor(shown))


@readers
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_grey_are_scaled(read: Callable[[Path], Tensor], ending: str, tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / f"a.{ending}")
    found = read(tmp_path / f"a.{ending}")
    expected = torch.from_numpy(grey.astype(np.float32) / 65535).expand(3, 8, 8)
    torch.testing.assert_close(found, expected, atol=0.5 / 255 + 1e-6, rtol=0)


@readers
def test_hidden_colour_stays_hidden(read: Callable[[Path], Tensor], tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 0] = 200  # red, also where nobody sees it
    pixels[:4, :, 3], pixels[4:6, :, 3] = 255, 51
    with pytest.warns(TransparencyWarning, match="white ground; save it without transparency"):
        found = read(saved(pixels, tmp_path / "a.png"))
    torch.testing.assert_close(found[:, :4], tensor(pixels[:4, :, :3]))
    mixed = torch.tensor([0.2 * 200 + 0.8 * 255, 204.0, 204.0]) / 255
    torch.testing.assert_close(found[:, 4:6], mixed[:, None, None].expand(3, 2, 8), atol=1 / 255, rtol=0)
    torch.testing.assert_close(found[:, 6:], torch.ones(3, 2, 8))


@pytest.mark.parametrize("mode", ["P", "LA", "L", "RGB"])
def test_transparency_of_other_modes(mode: str, tmp_path: Path) -> None:
    grey = Image.fromarray(np.array([[0, 100], [0, 100]], np.uint8))
    if mode in ("L", "RGB", "P"):  # one value, or one entry of the palette, is transparent
        value: Any = (0, 0, 0) if mode == "RGB" else 0
        grey.convert(mode).save(tmp_path / "a.png", transparency=value)
    else:
        grey.putalpha(Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8)))
        grey.save(tmp_path / "a.png")
    with pytest.warns(TransparencyWarning):
        found = np.asarray(read_picture(tmp_path / "a.png", "a"))
    np.testing.assert_array_equal(found[..., 1], [[255, 100], [255, 100]])


def test_an_opaque_picture_says_nothing(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = in_dataset(saved(pixels, tmp_path / "a.png"))
    torch.testing.assert_close(found, tensor(pixels[..., :3]))


def test_a_region_is_not_where_it_is_transparent(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[4:, :, 3] = 0
    file = saved(pixels, tmp_path / "a.png")
    with pytest.warns(TransparencyWarning, match="black ground"):
        region = read_image(file, (8, 8), grey=True, ground="black")
    assert region.shape == (1, 1, 8, 8)
    assert region[0, 0, :4].min() == 1
    assert region[0, 0, 4:].max() == 0


def test_values_without_a_white_are_refused(tmp_path: Path) -> None:
    for values in (
        np.array([[0, 70000]], np.int32),
        np.array([[0, 255]], np.int32),
        np.array([[0, 2.5]], np.float32),
        np.array([[np.nan]], np.float32),
    ):
        Image.fromarray(values).save(tmp_path / "a.tif")
        with pytest.raises(ValueError, match=r"^a.tif has pixels from .* which is white; save it with 8 or 16 bits"):
            read_picture(tmp_path / "a.tif", "a.tif")
    Image.fromarray(np.array([[0, 0.2, 1]], np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "a.tif", "a"))[0, :, 0], [0, 51, 255])


def tiff(values: np.ndarray, bits: int, kind: int = 1, white_is_zero: bool = False) -> bytes:
    """One row of grey values, packed to so many bits; `kind` 1 is unsigned, 2 signed."""
    if bits == 16:
        values = values.astype(">u2").byteswap().view(">u2")  # whole numbers of bytes go by the order of the file
    packed = "".join(f"{value & (1 << bits) - 1:0{bits}b}" for value in values.tolist())
    packed = packed.ljust(-len(packed) // 8 * -8, "0")
    data = bytes(int(packed[place : place + 8], 2) for place in range(0, len(packed), 8))
    entries = [
        (256, len(values)), (257, 1), (258, bits), (259, 1), (262, int(not white_is_zero)), (273, 134), (277, 1),
        (278, 1), (279, len(data)), (339, kind),
    ]  # fmt: skip
    found = struct.pack("<2sHIH", b"II", 42, 8, 10)
    found += b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    return found + bytes(134 - len(found)) + data


def test_numbers_of_a_tiff_are_read_by_its_tags() -> None:
    levels = np.array([0, 1, 2, 5, 5, 5, 5, 5]) / 5
    wanted = np.round(levels * 255)
    for bits, turned in ((12, False), (16, False), (16, True), (8, True)):
        values = np.round((1 - levels if turned else levels) * (2**bits - 1)).astype(int)
        found = read_picture(tiff(values, bits, white_is_zero=turned), "a.tif")
        np.testing.assert_array_equal(np.asarray(found)[0, :, 0], wanted)
    with pytest.raises(ValueError, match="nothing says which is white"):
        read_picture(tiff(np.array([0, 500]), 16, kind=2), "a.tif")


def test_a_transparent_value_of_sixteen_bits_stays_hidden(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 300, 65535]], np.uint16)).save(tmp_path / "a.png", transparency=300)
    with pytest.warns(TransparencyWarning, match="on a white ground"):
        found = read_picture(tmp_path / "a.png", "a.png")
    np.testing.assert_array_equal(np.asarray(found)[0, :, 0], [0, 255, 255])


def test_damaged_exif_does_not_hide_a_picture(tmp_path: Path) -> None:
    shown = np.full((8, 8, 3), 90, np.uint8)
    for exif in (b"Exif\x00\x00nonsense", b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff", b"Exif\x00\x00MM\x00*"):
        Image.fromarray(shown).save(tmp_path / "a.jpg", exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.testing.assert_close(in_dataset(tmp_path / "a.jpg"), tensor(shown), atol=2 / 255, rtol=0)


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("drawn_on", ["shown", "stored"])
def test_a_mask_lies_where_its_object_is_shown(orientation: int, drawn_on: str, tmp_path: Path) -> None:
    shown = np.zeros((8, 12, 3), np.uint8)
    shown[1:4, 2:5] = 255
    inside = (shown[..., 0] > 0).astype(np.uint8)
    saved(STORED[orientation](shown), tmp_path / "a.png", orientation)
    mask = inside if drawn_on == "shown" else STORED[orientation](inside)
    Image.fromarray(np.ascontiguousarray(mask)).save(tmp_path / "mask.png")
    storage = Storage(tmp_path)
    files = MaskedFiles(storage, ["a.png"], np.zeros(1), [Region("mask.png", (1,))], size=8, resize=8)
    found = files.mask(0)
    torch.testing.assert_close(found[0].float(), files.image(0)[0])
    assert found.sum() > 0


def test_a_picture_in_an_archive_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cut.png", buffer.getvalue()[:100])
    files = ImageFiles(Storage(tmp_path / "a.zip"), ["cut.png"], np.zeros(1), size=8, resize=8)
    with pytest.raises(ValueError, match=r"^cut.png in .*a.zip is not a readable image .*; replace or remove it"):
        files.image(0)
