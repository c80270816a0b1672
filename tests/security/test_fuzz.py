"""Damaged files and odd tensors: a right, finite result, or an error that names what is wrong; never a bare one.

`DIFFIG_FUZZ=1000` tries so many cases of each; a few by default.
"""

# ruff: noqa: PT017 (an error is one of two right answers)
from __future__ import annotations

import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from safetensors.torch import save_file

from diffig.attribution import GradientXInput, IntegratedGradients, StickBreakingIntegration
from diffig.classifiers.checkpoint import read_tensors
from diffig.data.npz import read_npz
from diffig.data.pictures import read_picture
from diffig.data.storage import Storage

CASES = int(os.environ.get("DIFFIG_FUZZ", "25"))
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
Damage = tuple[float, list[tuple[float, int]]]
DAMAGE = st.tuples(
    st.one_of(st.just(1.0), st.floats(0, 1)),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
)


def damaged(content: bytes, damage: Damage) -> bytes:
    """Cut to a share, with some bytes changed."""
    share, changes = damage
    found = bytearray(content[: int(len(content) * share)])
    for place, value in changes:
        if found:
            found[int(place * len(found))] = value
    return bytes(found)


def archive(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


NPZ = archive(x=np.arange(192, dtype=np.uint8).reshape(3, 8, 8), y=np.array([0, 1, 2]))


@fuzzed
@given(DAMAGE)
def test_arrays(damage: Damage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "broken.npz"
        file.write_bytes(damaged(NPZ, damage))
        try:
            images = read_npz(file)
        except ValueError as error:
            assert "broken.npz" in str(error)
            return
        assert images.image(0).isfinite().all()


@fuzzed
@given(DAMAGE)
def test_members_of_an_archive(damage: Damage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "broken.zip"
        file.write_bytes(damaged(NPZ, damage))
        try:
            storage = Storage(file)
            for name in storage.names():
                storage.read(name)
        except (ValueError, FileNotFoundError) as error:
            assert "broken.zip" in str(error)


@fuzzed
@given(DAMAGE, st.sampled_from([".safetensors", ".pt"]))
def test_weights(damage: Damage, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"broken{suffix}"
        tensors = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.zeros(3)}
        save_file(tensors, file) if suffix == ".safetensors" else torch.save(tensors, file)
        file.write_bytes(damaged(file.read_bytes(), damage))
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_tensors(file).values())
        except ValueError as error:
            assert "broken" in str(error)


@fuzzed
@given(
    DAMAGE,
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    st.sampled_from(["RGB", "L", "P", "CMYK", "RGBA", "LA", "1", "I;16"]),
    st.sampled_from([None, *range(10)]),
)
def test_pictures(damage: Damage, kind: str, mode: str, turned: int | None) -> None:
    picture = Image.fromarray(np.arange(63, dtype=np.uint8).reshape(9, 7) * 4).convert(mode)
    exif = Image.Exif()
    if turned is not None:
        exif[274] = turned
    out = io.BytesIO()
    try:
        picture.save(out, kind, exif=exif)
    except (OSError, ValueError):  # this format has no such mode
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read_picture(damaged(out.getvalue(), damage), "broken.png")
        except ValueError as error:
            assert "broken.png" in str(error)
            return
    assert found.mode == "RGB"
    if damage == (1.0, []):
        assert found.size == ((9, 7) if turned in (5, 6, 7, 8) and kind in ("JPEG", "PNG", "TIFF", "WEBP") else (7, 9))


class Net(torch.nn.Module):
    """Smooth, for any number of channels and classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.linspace(-1, 1, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.pow(2).mean((1, 2, 3))
        return means[:, None] * self.weights.to(images)  # type: ignore[operator]


METHODS = {"ig": IntegratedGradients, "gxi": GradientXInput, "spi": StickBreakingIntegration}
SHAPES = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5), st.integers(0, 5))


@fuzzed
@given(
    st.sampled_from(sorted(METHODS)),
    SHAPES,
    st.sampled_from(["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"]),
    st.sampled_from(["plain", "channels_last", "transposed", "strided", "expanded"]),
    st.sampled_from([0.0, float("nan"), float("inf"), -1.0, 2.0]),
    st.integers(1, 4),
)
def test_tensors(name: str, shape: tuple[int, ...], dtype: str, layout: str, spoilt: float, classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    plain = torch.rand(shape, generator=generator)
    if spoilt != 0 and plain.numel():
        plain.view(-1)[-1] = spoilt
    images = plain.to(getattr(torch, dtype))
    if layout == "channels_last":
        images = images.contiguous(memory_format=torch.channels_last)
    elif layout == "transposed":
        images = images.transpose(2, 3).contiguous().transpose(2, 3)
    elif layout == "strided":
        images = torch.stack([images, images], -1).flatten(-2)[..., ::2]
    elif layout == "expanded":
        images = images[:1].expand(shape) if shape[0] else images
    make = METHODS[name](Net(classes), **({} if name == "gxi" else {"steps": 2}))  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = make.attribute(images, target=classes - 1)
        except (ValueError, TypeError) as error:
            assert len(str(error)) > 20, repr(error)
            assert not isinstance(error.__cause__, KeyError)
            assert images.dtype not in (torch.float32, torch.float64) or spoilt != 0 or 0 in shape, error
            return
        wanted = make.attribute(images.float().contiguous().clone(), target=classes - 1)
    assert found.shape == images.shape
    rough = images.dtype in (torch.float16, torch.bfloat16)
    torch.testing.assert_close(
        found.float(), wanted, rtol=0.05 if rough else 1e-4, atol=1e-2 if rough else 1e-5, equal_nan=True
    )
    if spoilt == 0:
        assert found.isfinite().all()
