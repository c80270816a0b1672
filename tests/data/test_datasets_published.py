"""Oxford-IIIT Pet and Mini-ImageNet in small copies of their published layouts, and the classifiers of the paper."""

from __future__ import annotations

import inspect
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffig.classifiers import torchvision_model
from diffig.classifiers.checkpoint import save_weights
from diffig.data.coco_instances import CocoInstances
from diffig.data.flowers102 import Flowers102
from diffig.data.image_folder import ImageFolder
from diffig.data.imagenet import ImageNet
from diffig.data.mini_imagenet import MiniImageNet
from diffig.data.oxford_pet import OxfordPet, breed_of
from diffig.data.photos import IMAGENET_MEAN, IMAGENET_STD, PhotoDataModule
from diffig.data.splits import random_split

BREEDS = ("Abyssinian", "american_bulldog", "Bengal", "beagle")
ALPHABETICAL = ["Abyssinian", "american_bulldog", "beagle", "Bengal"]


def picture(path: Path, shade: int, size: tuple[int, int] = (14, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 255 - shade, 0)).save(path)


def make_pets(root: Path, each: int = 20) -> Path:
    lines = []
    for breed in BREEDS:
        for number in range(1, each + 1):
            name = f"{breed}_{number}"
            picture(root / "images" / f"{name}.jpg", 10 * number)
            lines.append(f"{name} {ALPHABETICAL.index(breed) + 1} {1 + breed[0].islower()} 1")
    (root / "images" / "Abyssinian_101.mat").write_bytes(b"not an image")
    notes = root / "annotations"
    (notes / "trimaps").mkdir(parents=True)
    picture(notes / "trimaps" / "Abyssinian_1.png", 1)
    (notes / "list.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n" + "\n".join(lines))
    (notes / "trainval.txt").write_text("\n".join(lines[::2]) + "\n")
    (notes / "test.txt").write_text("\n".join(reversed(lines[1::2])) + "\n")
    return root


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pets(tmp_path_factory.mktemp("pets"))


def everything(data: Any) -> list[int]:
    return sorted(int(i) for part in (data.train_set, data.val_set, data.test_set) for i in part.indices)


def test_pets_by_the_official_lists(pets: Path) -> None:
    data = OxfordPet(pets, split="official", size=8)
    assert data.class_names == ALPHABETICAL
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (36, 4, 40)
    assert everything(data) == list(range(80))
    for position in range(40):
        image, label, index = data.test_set[position]
        file = sorted((pets / "images").glob("*.jpg"))[index]
        assert data.class_names[label] == breed_of(file.name)
        assert int(file.stem.split("_")[-1]) % 2 == 0
        shade = 10 * int(file.stem.split("_")[-1])
        assert float(image[0].mean()) == pytest.approx(shade / 255, abs=0.02)


def test_pets_by_the_authors_draw(pets: Path, tmp_path: Path) -> None:
    data = OxfordPet(pets, size=8)
    assert len(data.test_set) == 4
    assert everything(data) == list(range(80))
    assert list(data.test_set.indices) == list(OxfordPet(pets, size=8, seed=5).test_set.indices)
    assert list(data.test_set.indices) != list(OxfordPet(pets, size=8, split_seed=1).test_set.indices)
    # No annotations are needed, and a .zip or an enclosing folder is as good.
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted((pets / "images").glob("*.jpg")):
            zipped.write(file, f"oxford-iiit-pet/images/{file.name}")
    again = OxfordPet(archive, size=8)
    assert list(again.test_set.indices) == list(data.test_set.indices)
    torch.testing.assert_close(again.test_set[1][0], data.test_set[1][0])


def test_the_published_number_of_pets_gives_the_published_number_of_test_images() -> None:
    train, test = random_split(7390, 0.05, 42)
    assert (len(train), len(test)) == (7020, 370)
    assert sorted([*train, *test]) == list(range(7390))


def test_pets_that_are_not_as_published(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split='random' is unknown.*authors"):
        OxfordPet(pets, split="random")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist.*Set dataset.path"):
        OxfordPet(tmp_path / "nowhere").setup()
    (tmp_path / "Bengal").mkdir()
    picture(tmp_path / "Bengal" / "1.jpg", 5)
    with pytest.raises(ValueError, match=r"0 images in images/; expected Oxford-IIIT Pet as published"):
        OxfordPet(tmp_path).setup()
    picture(tmp_path / "images" / "Bengal.jpg", 5)
    with pytest.raises(ValueError, match=r"images/Bengal.jpg has no breed in its name"):
        OxfordPet(tmp_path).setup()


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        (None, FileNotFoundError, "no annotations/trainval.txt; unpack annotations"),
        ("Bengal_1 4", ValueError, "line 1 of annotations/trainval.txt .* expected `name CLASS-ID"),
        ("Bengal_99 4 1 1", FileNotFoundError, "names 'Bengal_99', but images/ has no such file"),
        ("Bengal_1 7 1 1", ValueError, "gives class 7, the alphabetical order of the 4 breeds in images/ gives 4"),
        ("# only a comment", ValueError, "lists no images"),
    ],
)
def test_annotations_that_do_not_fit(line: str | None, error: type[Exception], message: str, tmp_path: Path) -> None:
    make_pets(tmp_path, each=3)
    table = tmp_path / "annotations" / "trainval.txt"
    table.unlink() if line is None else table.write_text(line)
    with pytest.raises(error, match=message):
        OxfordPet(tmp_path, split="official").setup()


def test_files_are_read_when_asked_for_and_a_broken_one_is_named(tmp_path: Path) -> None:
    make_pets(tmp_path, each=10)
    for file in (tmp_path / "images").glob("*.jpg"):
        file.write_bytes(b"\xff\xd8 cut short")
    data = OxfordPet(tmp_path, split="official", size=8)
    assert len(data.test_set) == 20
    with pytest.raises(ValueError, match=r"images/Abyssinian_10.jpg in .* is not a readable image"):
        data.test_set[0]


# ---- Mini-ImageNet ---------------------------------------------------------------------------------------------

WNIDS = [f"n0{number}" for number in range(10)]
PART_OF = {wnid: "train" if n < 6 else "val" if n < 8 else "test" for n, wnid in enumerate(WNIDS)}


def make_mini(root: Path, tables: bool, few_shot: bool = True, each: int = 6) -> Path:
    rows: dict[str, list[str]] = {part: ["filename,label"] for part in ("train", "val", "test")}
    for wnid in WNIDS:
        for number in range(each):
            part = PART_OF[wnid] if few_shot else ("train", "train", "train", "train", "val", "test")[number]
            name = f"{wnid}{number:08d}.jpg"
            picture(root / ("images" if tables else f"{part}/{wnid}") / name, 20 * WNIDS.index(wnid))
            rows[part].append(f"{name},{wnid}")
    if tables:
        for part, lines in rows.items():
            (root / f"{part}.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("tables", [True, False])
def test_mini_imagenet_splits_each_class(tables: bool, tmp_path: Path) -> None:
    make_mini(tmp_path / "outer", tables)
    data = MiniImageNet(tmp_path / "outer", test_images=20, size=8)
    assert data.class_names == WNIDS
    assert np.bincount(data.test_set.labels).tolist() == [2] * 10
    assert everything(data) == list(range(60))
    assert set(data.train_set.labels) == set(range(10))
    for position in range(20):
        image, label, _ = data.test_set[position]
        assert float(image[0].mean()) == pytest.approx(20 * label / 255, abs=0.02)
    inside = MiniImageNet(tmp_path, test_images=20, size=8)
    assert list(inside.test_set.indices) == list(data.test_set.indices)
    other = MiniImageNet(tmp_path, test_images=20, split_seed=1)
    assert list(other.test_set.indices) != list(data.test_set.indices)


def test_both_layouts_have_the_same_test_images(tmp_path: Path) -> None:
    sets = [MiniImageNet(make_mini(tmp_path / str(t), t), test_images=20, size=8).test_set for t in (True, False)]
    names = [[Path(file).name for file in images.files] for images in sets]  # type: ignore[attr-defined]
    assert sorted(names[0]) == sorted(names[1])


def test_mini_imagenet_as_shipped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"2 of 10 classes .* few-shot learning .* dataset.split=pooled"):
        MiniImageNet(make_mini(tmp_path / "few", True), split="official").setup()
    data = MiniImageNet(make_mini(tmp_path / "all", False, few_shot=False), split="official", size=8)
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (40, 10, 10)


def test_mini_imagenet_that_is_not_as_published(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split='authors' is unknown.*pooled"):
        MiniImageNet(tmp_path, split="authors")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no images in a known layout; expected Mini-ImageNet in one of"):
        MiniImageNet(tmp_path).setup()
    make_mini(tmp_path, True)
    with pytest.raises(ValueError, match=r"test_images=60: dataset.test_images must lie between 1 and 59"):
        MiniImageNet(tmp_path, test_images=60).setup()
    (tmp_path / "images" / "n0000000000.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"line 2 of train.csv names 'n0000000000.jpg'"):
        MiniImageNet(tmp_path).setup()
    (tmp_path / "val.csv").write_text("file,class\na.jpg,b\n")
    (tmp_path / "train.csv").write_text("filename,label\n")
    with pytest.raises(ValueError, match=r"val.csv .* has columns \['file', 'class'\]; expected filename,label"):
        MiniImageNet(tmp_path).setup()
    (tmp_path / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks test.csv; expected"):
        MiniImageNet(tmp_path).setup()


# ---- squash ----------------------------------------------------------------------------------------------------


def test_squash_is_torchvisions_plain_resize(tmp_path: Path) -> None:
    from torchvision.transforms.functional import pil_to_tensor, resize

    (tmp_path / "0").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 47, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0" / "a.png")
    data = ImageFolder(tmp_path, size=16, resize=5, resize_mode="squash")
    expected = pil_to_tensor(resize(Image.fromarray(pixels), [16, 16])).float() / 255
    assert torch.equal(data.test_set[0][0], expected)
    assert torch.equal(data.test_set.subset([0])[0][0], expected)
    with pytest.raises(ValueError, match="resize_mode='stretch' is unknown; choose one of"):
        ImageFolder(tmp_path, resize_mode="stretch")  # type: ignore[arg-type]


# ---- what all of them are told --------------------------------------------------------------------------------

SHARED = {"size": None, "resize_mode": "crop", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "batch_size": 16, "seed": 0}


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (CocoInstances, {"targets": "top1", "name": "coco_instances", "resize": 256}),
        (Flowers102, {"split": "official", "name": "flowers102", "resize": None}),
        (ImageFolder, {"train_path": None, "name": None, "resize": None}),
        (ImageNet, {"num_classes": 1000, "name": "imagenet", "resize": None}),
        (MiniImageNet, {"test_images": 500, "name": "mini_imagenet", "resize": None}),
        (OxfordPet, {"split_seed": 42, "name": "oxford_pet", "resize": None}),
    ],
)
def test_signatures_name_every_argument_and_no_other_is_taken(kind: type[PhotoDataModule], own: dict[str, Any]) -> None:
    parameters = inspect.signature(kind).parameters
    assert next(iter(parameters)) == "path"
    assert all(p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters.values())
    assert {key: parameters[key].default for key in SHARED | own} == SHARED | own
    built = kind(**{key: p.default for key, p in parameters.items() if key != "path"}, path="somewhere")
    assert (built.size, built.resize, built.batch_size) == (224, own["resize"] or 224, 16)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sise'"):
        kind("somewhere", sise=8)


# ---- the paper's classifiers -----------------------------------------------------------------------------------


class Photos:
    """What a classifier asks of a dataset."""

    name, num_classes, mean, std = "pets", 37, (0.5,), (0.5,)

    def __init__(self, size: int) -> None:
        self.image_shape = (3, size, size)


@pytest.mark.parametrize(("name", "classes"), [("resnet18", 37), ("googlenet", 100)])
def test_a_network_classifies_one_image(name: str, classes: int) -> None:
    torch.manual_seed(0)
    network = torchvision_model(name=name, num_classes=classes)
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 64)).shape == (1, classes)
        network.train()
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, classes)  # one output in training as well


@pytest.mark.parametrize(
    ("name", "head", "size"), [("vgg16", "plain", 256), ("vgg16", "authors", 256), ("vit_b_16", "plain", 224)]
)
def test_large_networks_have_the_right_shapes(name: str, head: Any, size: int) -> None:
    with torch.device("meta"):  # shapes without numbers: these have a hundred million weights
        network = torchvision_model(name=name, head=head, num_classes=37, datamodule=Photos(size))
        assert network(torch.rand(2, 3, size, size)).shape == (2, 37)
    if head == "authors":
        kinds = [type(layer).__name__ for layer in network.net.classifier]
        assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
        assert network.net.classifier[0].out_features == 150


def test_a_transformer_says_which_size_it_wants() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"224 x 224 .* are 256 x 256; set image_size=224"):
        torchvision_model(name="vit_b_16", num_classes=37, datamodule=Photos(256))


def test_a_head_for_another_network() -> None:
    with pytest.raises(ValueError, match=r"head='authors' is not for 'resnet18'.*vgg\* only"):
        torchvision_model(name="resnet18", head="authors")
    with pytest.raises(ValueError, match="head='big' is not for 'vgg11'"):
        torchvision_model(name="vgg11", head="big")  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "module."])
def test_googlenet_takes_checkpoints_with_auxiliary_outputs(prefix: str, tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    whole = torchvision.models.googlenet(num_classes=7, init_weights=False, aux_logits=True, transform_input=True)
    torch.save({prefix + name: tensor for name, tensor in whole.state_dict().items()}, tmp_path / "whole.pt")
    network = torchvision_model(name="googlenet", num_classes=7, checkpoint=tmp_path / "whole.pt")
    images = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        torch.testing.assert_close(network(images), whole.eval()((images - mean) / std))
    save_weights(network, tmp_path / "own.safetensors")
    again = torchvision_model(name="googlenet", num_classes=7, checkpoint=tmp_path / "own.safetensors")
    with torch.no_grad():
        assert torch.equal(again(images), network(images))
    # Other networks still refuse what they have no place for.
    torch.save(
        {**torchvision_model(name="squeezenet1_1", num_classes=3).net.state_dict(), "aux1.w": torch.ones(1)},
        tmp_path / "odd.pt",
    )
    with pytest.raises(ValueError, match=r"1 unexpected: aux1.w"):
        torchvision_model(name="squeezenet1_1", num_classes=3, checkpoint=tmp_path / "odd.pt")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head", "size"), [("vgg16", "authors", 64), ("vit_b_16", "plain", 224)])
def test_large_networks_classify_one_image(name: str, head: Any, size: int, tmp_path: Path) -> None:
    network = torchvision_model(name=name, head=head, num_classes=37)
    images = torch.rand(1, 3, size, size)
    save_weights(network, tmp_path / "weights.safetensors")
    again = torchvision_model(name=name, head=head, num_classes=37, checkpoint=tmp_path / "weights.safetensors")
    with torch.no_grad():
        assert network(images).isfinite().all()
        assert torch.equal(again(images), network(images))
