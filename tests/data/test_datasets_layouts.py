"""CIFAR-100, Fashion-MNIST, Flowers-102 and ImageNet in small copies of the layouts their publishers ship."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from diffig.config import build, compose
from diffig.data.cifar100 import Cifar100
from diffig.data.flowers102 import Flowers102
from diffig.data.imagenet import AUTHORS_SEED, ImageNet

IDS = ["n01440764", "n01443537", "n02123045", "n04254777"]


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (shade, 255 - shade, 0)).save(path)


def shade_of(image: torch.Tensor) -> int:
    return round(float(image[0].mean()) * 255)


# ---- CIFAR-100 --------------------------------------------------------------------------------------------------


def make_cifar100(root: Path, meta: bool = True) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 400), ("test", 200)):
        fine = [number % 100 for number in range(count)]
        content = {
            b"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
            b"fine_labels": fine,
            b"coarse_labels": [label // 5 for label in fine],
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    if meta:
        names = {
            b"fine_label_names": [f"fine {number}".encode() for number in range(100)],
            b"coarse_label_names": [f"coarse {number}".encode() for number in range(20)],
        }
        (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    return root


@pytest.mark.parametrize(("labels", "count"), [("fine", 100), ("coarse", 20)])
def test_cifar100(labels: str, count: int, tmp_path: Path) -> None:
    data = Cifar100(make_cifar100(tmp_path), labels=labels)  # type: ignore[arg-type]
    assert data.num_classes == count
    assert data.class_names[3] == f"{labels} 3"
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (
        400 - len(data.val_set),
        len(data.val_set),
        200,
    )
    image, label, index = data.test_set[117]
    assert (label, index) == (17 if labels == "fine" else 3, 117)
    with (tmp_path / "cifar-100-python" / "test").open("rb") as file:
        raw = pickle.load(file, encoding="bytes")[b"data"][117]
    assert torch.equal(image, torch.from_numpy(raw.reshape(3, 32, 32)).float() / 255)


def test_cifar100_without_names_and_with_wrong_ones(tmp_path: Path) -> None:
    root = make_cifar100(tmp_path, meta=False)
    assert Cifar100(root).class_names[:2] == ["0", "1"]
    (root / "cifar-100-python" / "meta").write_bytes(pickle.dumps({"fine_label_names": ["one"]}))
    with pytest.raises(ValueError, match="1 fine names, not 100"):
        Cifar100(root).setup()
    with pytest.raises(ValueError, match="labels='medium' is unknown"):
        Cifar100(root, labels="medium")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="no test in"):
        Cifar100(root.parent).setup()


# ---- Flowers-102 ------------------------------------------------------------------------------------------------


def make_flowers(root: Path, count: int = 204) -> Path:
    for number in range(1, count + 1):
        picture(root / "jpg" / f"image_{number:05d}.jpg", number)
    savemat(root / "imagelabels.mat", {"labels": [[1 + number % 102 for number in range(count)]]})
    numbers = np.random.default_rng(0).permutation(count) + 1
    savemat(root / "setid.mat", {"trnid": [numbers[:60]], "valid": [numbers[60:100]], "tstid": [numbers[100:]]})
    return root


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flowers(tmp_path_factory.mktemp("flowers"))


@pytest.mark.parametrize(
    ("split", "sizes"), [("official", (60, 40, 104)), ("validation", (54, 6, 40)), ("authors", (174, 19, 11))]
)
def test_flowers(split: str, sizes: tuple[int, int, int], flowers: Path) -> None:
    data = Flowers102(flowers, split=split, size=8)  # type: ignore[arg-type]
    parts = (data.train_set, data.val_set, data.test_set)
    assert tuple(len(part) for part in parts) == sizes
    assert data.num_classes == 102
    assert data.class_names[0] == "pink primrose"
    indices = [int(index) for part in parts for index in part.indices]
    assert len(set(indices)) == len(indices)
    for part in parts:
        for position in range(0, len(part), 7):
            image, label, index = part[position]
            assert label == index % 102
            assert abs(shade_of(image) - (index + 1)) <= 6
    assert list(data.test_set.indices) == sorted(data.test_set.indices)


def test_flowers_in_an_archive_or_incomplete(flowers: Path, tmp_path: Path) -> None:
    archive = tmp_path / "flowers.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted(flowers.rglob("*")):
            if file.is_file():
                zipped.write(file, f"flowers-102/{file.relative_to(flowers)}")
    assert list(Flowers102(archive, size=8).test_set.indices) == list(Flowers102(flowers, size=8).test_set.indices)
    lacking = make_flowers(tmp_path / "lacking", 4)
    (lacking / "jpg" / "image_00003.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 4 images, jpg/image_00003.jpg"):
        Flowers102(lacking).setup()
    (lacking / "imagelabels.mat").write_bytes(b"MATLAB, honestly")
    with pytest.raises(ValueError, match="not a readable MATLAB file"):
        Flowers102(lacking).setup()
    (lacking / "imagelabels.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"no imagelabels\.mat"):
        Flowers102(lacking).setup()
    with pytest.raises(ValueError, match="split='half' is unknown"):
        Flowers102(flowers, split="half")  # type: ignore[arg-type]


# ---- ImageNet ---------------------------------------------------------------------------------------------------

TRUTH = [3, 1, 2, 4, 1, 2]  # the devkit's numbers of six validation images
DEVKIT = {1: IDS[2], 2: IDS[0], 3: IDS[3], 4: IDS[1]}  # whose order is not that of the ids


def flat(root: Path) -> Path:
    for number in range(1, 7):
        picture(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", 20 * number)
    return root


def devkit(root: Path) -> Path:
    flat(root)
    kind = [("ILSVRC2012_ID", float), ("WNID", object), ("num_children", float)]
    leaves = [(number, wordnet, 0) for number, wordnet in DEVKIT.items()]
    savemat(root / "meta.mat", {"synsets": np.array([*leaves, (5, "n00001740", 4)], dtype=kind)})
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(map(str, TRUTH)))
    return root


def kaggle(root: Path) -> Path:
    flat(root)
    lines = [f"ILSVRC2012_val_{n:08d},{DEVKIT[number]} 1 2 3 4" for n, number in enumerate(TRUTH, start=1)]
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "\n".join(reversed(lines)))
    return root


def folders(root: Path) -> Path:
    for n, number in enumerate(TRUTH, start=1):
        picture(root / "val" / DEVKIT[number] / f"ILSVRC2012_val_{n:08d}.JPEG", 20 * n)
    for n in range(40):
        picture(root / "train" / IDS[n % 4] / f"{IDS[n % 4]}_{n}.JPEG", n)
    return root


@pytest.mark.parametrize("layout", [devkit, kaggle, folders])
def test_imagenet_layouts_agree(layout, tmp_path: Path) -> None:
    data = ImageNet(layout(tmp_path), size=8, resize=8, num_classes=4)
    assert data.class_names == IDS
    assert [data.test_set[n][1] for n in range(6)] == [IDS.index(DEVKIT[number]) for number in TRUTH]
    assert [shade_of(data.test_set[n][0]) for n in range(6)] == pytest.approx([20 * n for n in range(1, 7)], abs=3)
    assert (data.splits.train is not None) == (layout is folders)
    if layout is folders:
        assert (len(data.train_set), len(data.val_set)) == (36, 4)
        assert {label for _, label, _ in data.train_set} == {0, 1, 2, 3}


def test_the_authors_draw_is_seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffig.data.imagenet.AUTHORS_IMAGES", 3)
    data = ImageNet(kaggle(tmp_path), split="authors", size=8, resize=8, num_classes=4)
    wanted = torch.randperm(6, generator=torch.Generator().manual_seed(AUTHORS_SEED))[:3].sort().values
    assert list(data.test_set.indices) == wanted.tolist()


def test_imagenet_refuses(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"6 images ILSVRC2012_val_\* and no labels"):
        ImageNet(flat(tmp_path / "bare")).setup()
    with pytest.raises(ValueError, match=r"4 classes where 1000 are expected"):
        ImageNet(kaggle(tmp_path / "part")).setup()
    root = devkit(tmp_path / "short")
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1")
    with pytest.raises(ValueError, match="does not fit the images"):
        ImageNet(root, num_classes=4).setup()
    with pytest.raises(ValueError, match="split='some' is unknown"):
        ImageNet(tmp_path, split="some")  # type: ignore[arg-type]


# ---- Fashion-MNIST ----------------------------------------------------------------------------------------------


def test_fashion_mnist_as_torchvision_leaves_it(tmp_path: Path) -> None:
    import struct

    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    for part in ("t10k", "train"):
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(40, dtype=np.uint8) % 10)):
            head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
    data = build(compose("evaluate", ["dataset=fashion_mnist", f"dataset.path={tmp_path}"]).dataset)
    assert data.name == "fashion_mnist"
    assert data.class_names[9] == "Ankle boot"
    image, label, index = data.test_set[7]
    assert (label, index) == (7, 7)
    assert torch.equal(image, torch.from_numpy(images[7:8]).float() / 255)
