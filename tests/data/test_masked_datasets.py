"""Datasets that know where the object is: COCO instances and the trimaps of Oxford-IIIT Pet."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from diffig.data.coco_instances import CocoInstances
from diffig.data.digits import Digits
from diffig.data.oxford_pet import OxfordPet
from oracle.coco import write_coco

REAL = Path(os.environ.get("DIFFIG_SHARED_DATA", "/nowhere")) / "coco_instances.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_coco(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("targets", "labels", "values"),
    [
        ("top1", [10, 11, 12], [[2], [2], [2]]),
        ("top5", [10, 500, 11, 500, 12, 500, 500], [[2], [1, 2], [2], [1, 2], [2], [1, 2], [1, 2]]),
        ("objects", [10, 11, 12, 13], [[1, 2]] * 4),
    ],
)
def test_labels_and_masks_of_each_kind_of_target(folder: Path, targets: str, labels: list, values: list) -> None:
    data = CocoInstances(folder, targets=targets, size=16, resize=16)
    assert data.test_set.labels.tolist() == labels
    assert data.test_set.indices.tolist() == list(range(len(labels)))
    assert data.num_classes == 1000
    assert data.splits.train is None
    masks = data.test_set.masks(range(len(labels)))
    assert masks.shape == (len(labels), 1, 16, 16)
    assert masks.dtype == torch.uint8
    for mask, wanted in zip(masks, values, strict=True):
        assert int((mask == 1).sum()) == 8 * 5 * len(wanted)  # the central crop holds both boxes
        assert int((mask == 255).sum()) == 2 * 16


def test_mask_and_image_are_cut_alike(folder: Path) -> None:
    for options in ({"resize": 16}, {"resize": 32}, {"resize_mode": "squash"}):
        data = CocoInstances(folder, size=16, **options)
        image, mask = data.test_set[1][0], data.test_set.mask(1)
        bright = image.mean(0) > 0.61  # half way from grey to instance 2
        assert bright.any()
        agreement = (bright == (mask[0] == 1)).float().mean()
        assert agreement > 0.95, options


def test_a_subset_keeps_its_masks(folder: Path) -> None:
    whole = CocoInstances(folder, targets="top5", size=16, resize=16).test_set
    part = whole.subset([5, 2])
    assert torch.equal(part.masks([5, 2]), whole.masks([5, 2]))
    assert not torch.equal(part.mask(0), part.mask(1))
    with pytest.raises(KeyError):
        part.masks([0])


def test_what_is_wrong_with_the_files_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"targets='best' is unknown; set dataset\.targets to one of"):
        CocoInstances(folder, targets="best")
    with pytest.raises(FileNotFoundError, match=r"does not exist; expected a folder or \.zip with images"):
        CocoInstances(tmp_path / "elsewhere").setup()
    (folder / "masks" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"masks/1.png in .* is not a readable mask"):
        CocoInstances(folder, size=16).test_set.mask(1)
    (folder / "masks" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no masks/1.png, which instances.json names"):
        CocoInstances(folder).setup()
    listed = json.loads((folder / "instances.json").read_text())
    none = {"images": [{**entry, "target": None} for entry in listed["images"]]}
    (folder / "instances.json").write_text(json.dumps(none))
    with pytest.raises(ValueError, match=r"has no image with targets='top1'; set dataset.targets to another"):
        CocoInstances(folder).setup()
    (folder / "instances.json").write_text('{"pictures": []}')
    with pytest.raises(ValueError, match=r"instances.json of .* cannot be read \(KeyError"):
        CocoInstances(folder).setup()
    (folder / "instances.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no instances.json"):
        CocoInstances(folder).setup()


def test_a_zip_is_read_like_a_folder(folder: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "coco"), "zip", folder)
    one, other = (CocoInstances(path, size=16).test_set for path in (folder, archive))
    assert torch.equal(one.masks([0, 1, 2]), other.masks([0, 1, 2]))
    assert torch.equal(one[2][0], other[2][0])


def test_datasets_without_masks_say_so() -> None:
    assert Digits(size=8).test_set.masks(Digits(size=8).test_set.indices[:2].tolist()) is None


def test_trimaps_of_pets_become_masks(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    (tmp_path / "annotations" / "trimaps").mkdir(parents=True)
    trimap = np.full((10, 12), 2, dtype=np.uint8)
    trimap[2:8, 3:9], trimap[4:6, 5:7] = 3, 1
    for number in range(40):
        name = f"{('Bengal', 'beagle')[number % 2]}_{number}"
        Image.fromarray(np.full((10, 12, 3), 90, dtype=np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
        if number % 4 < 2:
            Image.fromarray(trimap).save(tmp_path / "annotations" / "trimaps" / f"{name}.png")
    data = OxfordPet(tmp_path, size=10, test_fraction=0.5)
    files, masks = data.test_set.files, data.test_set.masks(data.test_set.indices.tolist())
    for file, mask in zip(files, masks, strict=True):
        published = int(Path(file).stem.rpartition("_")[2]) % 4 < 2
        counts = [int((mask == value).sum()) for value in (1, 255)]
        assert counts == ([4, 32] if published else [0, 0]), file


@pytest.mark.skipif(not REAL.is_file(), reason="the COCO photographs with masks are not here (DIFFIG_SHARED_DATA)")
def test_the_real_masks_cover_what_their_list_says() -> None:
    import zipfile

    with zipfile.ZipFile(REAL) as archive:
        entries = json.loads(archive.read("instances.json"))["images"]
    wanted = [entry["target"]["area_fraction_in_crop224"] for entry in entries if entry["target"]]
    images = CocoInstances(REAL).test_set
    assert len(images) == len(wanted) == 40
    found = [float((images.mask(position) == 1).float().mean()) for position in range(40)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
