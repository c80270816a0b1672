"""Thumbnails of every image: what they show, and that parts, restarts and ranks lose and repeat none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from diffig.evaluation.gallery import heat
from diffig.evaluation.thumbnails import UNKNOWN, ThumbnailStore, read_thumbnails, shrink


def batch(n: int, channels: int = 3, side: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand((n, channels, side, side), generator=draw), torch.randn((n, channels, side, side), generator=draw)


def store(folder: Path, side: int = 8) -> ThumbnailStore:
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    return ThumbnailStore(folder, side)


def test_areas_are_averaged_and_maps_use_the_whole_range() -> None:
    images, attributions = batch(2, side=96)
    pixels, maps = shrink(images, attributions, 48)
    assert (pixels.shape, pixels.dtype, maps.shape, maps.dtype) == (
        (2, 48, 48, 3),
        torch.uint8,
        (2, 48, 48),
        torch.int8,
    )
    for y, x in ((0, 0), (5, 31), (47, 47)):
        block = images[1, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].double().mean((1, 2))
        assert (pixels[1, y, x].double() / 255 - block).abs().max() < 0.5 / 255 + 1e-6
        total = attributions[1, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].double().sum(0).mean()
        assert int(maps[1, y, x]) == 0 or int(maps[1, y, x].sign()) == int(total.sign())
    assert int(maps[1].abs().max()) == 127
    whole, signed = shrink(images, attributions, 96)  # nothing to shrink: the gallery's own scale
    assert (signed.double() / 127 - heat(attributions).double()).abs().max() < 0.5 / 127 + 1e-6
    assert (whole.double() / 255 - images.permute(0, 2, 3, 1).double()).abs().max() < 0.5 / 255 + 1e-6


def test_shapes() -> None:
    for channels, kept in ((1, 1), (2, 1), (3, 3), (4, 1)):
        pixels, _ = shrink(*batch(1, channels), 48)
        assert pixels.shape == (1, 12, 12, kept), "nothing is enlarged"
    wide = torch.rand(1, 3, 30, 60)
    assert shrink(wide, wide, 48)[0].shape == (1, 24, 48, 3)
    thin = torch.rand(1, 3, 1, 400)
    assert shrink(thin, thin, 48)[0].shape == (1, 1, 48, 3)


def test_an_image_has_the_same_thumbnail_in_every_batch() -> None:
    images, attributions = batch(7, side=33)
    together = shrink(images, attributions, 16)
    for place in range(7):
        alone = shrink(images[place : place + 1], attributions[place : place + 1], 16)
        assert all(torch.equal(one[0], many[place]) for one, many in zip(alone, together, strict=True))


def test_what_is_not_finite_is_said() -> None:
    images, attributions = batch(3)
    attributions[1, 0, 2, 3] = torch.nan
    attributions[2] = 0
    _, maps = shrink(images, attributions, 48)
    assert (maps[1] == UNKNOWN).sum() == 1
    assert int(maps[1, 2, 3]) == UNKNOWN
    assert not (maps[0] == UNKNOWN).any()
    assert not maps[2].any()


def test_parts_are_one_file_in_the_order_of_the_indices(tmp_path: Path) -> None:
    kept = store(tmp_path)
    images, attributions = batch(6)
    order = [40, 3, 17, 99, 8, 5]
    kept.write(order[:2], images[:2], attributions[:2], 0)
    kept.write(order[2:4], images[2:4], attributions[2:4], 1)
    kept.write(order[1:5], images[1:5], attributions[1:5], 1)  # a batch that was killed before its rows, and came again
    kept.write(order[5:], images[5:], attributions[5:], 0)
    kept.merge(set(order) - {99})
    found = read_thumbnails(tmp_path)
    assert found is not None
    assert list(found.indices) == [3, 5, 8, 17, 40]
    pixels, maps = shrink(images, attributions, 8)
    for place, index in enumerate(found.indices):
        np.testing.assert_array_equal(found.images[place], pixels[order.index(index)].numpy())
        np.testing.assert_array_equal(found.maps[place], maps[order.index(index)].numpy())
    assert not list(tmp_path.rglob("*.part"))


def test_parts_of_another_size_do_not_mix(tmp_path: Path) -> None:
    images, attributions = batch(5)
    store(tmp_path, 12).write([0, 1], images[:2], attributions[:2])
    kept = store(tmp_path, 8)
    kept.write([2, 3, 4], images[2:], attributions[2:])
    kept.merge(set(range(5)))
    found = read_thumbnails(tmp_path)
    assert found is not None
    assert list(found.indices) == [2, 3, 4]


def test_off_keeps_none_and_leaves_none(tmp_path: Path) -> None:
    images, attributions = batch(2)
    kept = store(tmp_path)
    kept.write([0, 1], images, attributions)
    kept.merge({0, 1})
    assert read_thumbnails(tmp_path) is not None
    off = store(tmp_path, 0)
    off.write([0, 1], images, attributions)
    off.merge({0, 1})
    assert read_thumbnails(tmp_path) is None
    (tmp_path / "thumbnails.safetensors").write_bytes(b"nonsense")
    assert read_thumbnails(tmp_path) is None
    for side in (3, 500, -1):
        with pytest.raises(ValueError, match=f"thumbnails={side} must lie in 8 to 96"):
            ThumbnailStore(tmp_path, side)


def test_five_hundred_photographs_stay_small(tmp_path: Path) -> None:
    kept = store(tmp_path, 48)
    images, attributions = batch(50, side=48)
    for start in range(0, 500, 50):
        kept.write(list(range(start, start + 50)), images, attributions)
    kept.merge(set(range(500)))
    assert (tmp_path / "thumbnails.safetensors").stat().st_size < 5_000_000
