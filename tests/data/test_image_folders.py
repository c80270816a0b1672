"""Class sub-folders give every image the label it was filed under, or an error names the folder that is in the way."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from diffig.classifiers.base import Classifier, check_fits
from diffig.data.image_folder import ImageFolder
from diffig.data.pictures import is_image
from diffig.data.storage import Storage

CLASSES = ("ant", "bee", "cow", "dog")


def photos(folder: Path, ending: str = "png", classes: tuple[str, ...] = CLASSES) -> Path:
    """Two images of each class; the red of an image is 20 times the number of its class."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for shot in range(2):
            pixels = np.full((12, 12, 3), (20 * number, 0, 0), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{shot}.{ending}")
    return folder


def zipped(folder: Path, inside: str = "") -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for found in sorted(folder.rglob("*")):
            archive.write(found, f"{inside}{found.relative_to(folder).as_posix()}")
    return file


def assert_labels_are_right(data: ImageFolder) -> None:
    assert data.class_names == list(CLASSES)
    assert len(data.test_set) == 8
    for image, label, _ in [data.test_set[position] for position in range(8)]:
        assert round(float(image[0].mean()) * 255 / 20) == label


@pytest.mark.parametrize("as_zip", [False, True])
def test_an_empty_class_folder_is_named(tmp_path: Path, as_zip: bool) -> None:
    folder = photos(tmp_path / "data")
    for file in (folder / "bee").iterdir():
        file.unlink()
    (folder / "bee" / "notes.txt").write_text("none yet")
    path = zipped(folder) if as_zip else folder
    for count in (None, 3, 4):
        with pytest.raises(ValueError, match=r"data.* has no image in its sub-folder 'bee', .*categories.json"):
            ImageFolder(path, num_classes=count, size=8).setup()
    (folder / "categories.json").write_text(json.dumps(CLASSES))
    data = ImageFolder(zipped(folder) if as_zip else folder, size=8)
    assert data.class_names == list(CLASSES)
    assert list(data.test_set.labels) == [0, 0, 2, 2, 3, 3]


def test_numbers_need_no_images_of_every_class(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data", classes=("0", "1", "2"))
    shutil.rmtree(folder / "1")
    (folder / "1").mkdir()
    assert list(ImageFolder(folder, size=8).test_set.labels) == [0, 0, 2, 2]


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JFIF", "jp2", "avif", "tga", "webp", "ico", "dib"])
def test_whatever_pillow_reads_is_an_image(tmp_path: Path, ending: str) -> None:
    photos(tmp_path / "data", "png")
    for file in (tmp_path / "data" / "bee").iterdir():
        Image.open(file).save(file.with_suffix(f".{ending}"))
        file.unlink()
    assert_labels_are_right(ImageFolder(tmp_path / "data", size=8))


@pytest.mark.parametrize("name", ["a.txt", "a.npz", "a.csv", "a.h5", "a.mpg", "Thumbs.db", "a.json", "a", "a.pdf"])
def test_other_files_are_no_images(name: str) -> None:
    assert not is_image(name)


@pytest.mark.parametrize("inside", ["", "data/", "download/data/"])
def test_a_folder_around_the_classes_is_looked_through(tmp_path: Path, inside: str) -> None:
    archive = zipped(photos(tmp_path / "data"), inside)
    assert_labels_are_right(ImageFolder(archive, size=8))
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked" / "README.txt").write_text("photos")
    data = ImageFolder(tmp_path / "unpacked", size=8, num_workers=1, batch_size=8)
    assert_labels_are_right(data)
    (batch,) = data.test_dataloader()  # another process reads the same files
    assert batch.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_folder_around_a_table_is_looked_through(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data")
    (folder / "labels.csv").write_text("file,label,category\ndog/0.png,1,hound\nant/1.png,0,emmet\n")
    data = ImageFolder(zipped(folder, "data/"), size=8)
    assert list(data.test_set.labels) == [1, 0]
    assert data.class_names == ["emmet", "hound"]
    assert round(float(data.test_set[0][0][0].mean()) * 255) == 60


@pytest.mark.parametrize("classes", [("cat",), ("3",)])
def test_a_single_class_is_no_wrapper(tmp_path: Path, classes: tuple[str, ...]) -> None:
    data = ImageFolder(photos(tmp_path / "data", classes=classes), size=8)
    assert data.class_names[-1] == classes[0]
    assert len(data.test_set) == 2


def test_parts_of_a_dataset_are_no_classes(tmp_path: Path) -> None:
    photos(tmp_path / "data" / "train")
    photos(tmp_path / "data" / "val")
    with pytest.raises(ValueError, match=r"\['train', 'val'\], parts of a dataset .*dataset.path .*dataset.train_path"):
        ImageFolder(tmp_path / "data").setup()


def test_an_order_is_no_order_of_a_larger_classifier(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data")
    mean = (0.5, 0.5, 0.5)
    larger = Classifier(nn.Flatten(), mean, mean, "larger", num_classes=5)
    with pytest.raises(ValueError, match=r"has 4 class sub-folders, classifier 'larger' 5 classes: .* categories.json"):
        check_fits(larger, ImageFolder(folder, size=8))
    assert check_fits(Classifier(nn.Flatten(), mean, mean, num_classes=4), ImageFolder(folder, size=8)) is not None
    (folder / "categories.json").write_text(json.dumps([*CLASSES, "elk"]))
    assert check_fits(larger, ImageFolder(folder, size=8)) is larger
    facts = SimpleNamespace(name="own", num_classes=2, image_shape=(3, 8, 8), mean=mean, std=mean)
    assert check_fits(larger, facts) is larger


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_in_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    folder = photos(tmp_path / "data")
    table = "file,label,category\nant/0.png,0,fourmi\nbee/0.png,1,abeille dorée\n"
    (folder / "labels.csv").write_text(table, encoding=encoding)
    with pytest.raises(ValueError, match=r"labels.csv in .*data is not UTF-8 text \(byte 0x.. at \d+\); save it as"):
        ImageFolder(folder).setup()
    (folder / "labels.csv").write_text(table, encoding="utf-8-sig")
    assert ImageFolder(folder, size=8).class_names == ["fourmi", "abeille dorée"]


def test_folders_of_a_storage(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data")
    (folder / "empty").mkdir()
    (folder / ".cache").mkdir()
    for storage in (Storage(folder), Storage(zipped(folder))):
        assert storage.folders() == [*CLASSES, "empty"]
        assert storage.below("bee").names() == ["0.png", "1.png"]
        assert storage.below("bee").read("0.png") == (folder / "bee" / "0.png").read_bytes()
