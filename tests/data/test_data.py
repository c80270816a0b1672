"""Datasets: what every one of them promises, and what each says about files it cannot use."""

import csv
import gzip
import inspect
import io
import json
import pickle
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from PIL import Image

from diffig.data import Batch
from diffig.data.cifar10 import Cifar10
from diffig.data.digits import Digits
from diffig.data.image_folder import ImageFolder
from diffig.data.mnist import Mnist
from diffig.data.module import ImageDataModule
from diffig.data.npz import Npz
from diffig.data.pickled_arrays import read_pickled_arrays
from diffig.data.splits import stratified_split

CONF = Path(__file__).parents[2] / "conf"
RNG = np.random.default_rng(0)


def write_idx(path: Path, array: np.ndarray) -> None:
    content = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def jpeg(color: tuple[int, int, int], width: int, height: int, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, kind)
    return file.getvalue()


def mnist(folder: Path, *, train: bool) -> Mnist:
    labels = np.arange(60, dtype=np.uint8) % 10
    pixels = RNG.integers(0, 256, (60, 12, 12), dtype=np.uint8)
    write_idx(folder / "t10k-images-idx3-ubyte.gz", pixels)
    write_idx(folder / "t10k-labels-idx1-ubyte", labels)
    if train:
        write_idx(folder / "train-images-idx3-ubyte", pixels[::-1])
        write_idx(folder / "train-labels-idx1-ubyte.gz", labels[::-1])
    return Mnist(folder, batch_size=7)


def cifar10(folder: Path) -> Cifar10:
    (folder / "cifar-10-batches-py").mkdir(exist_ok=True)
    for number, name in enumerate([*Cifar10.train_files, "test_batch"]):
        data = RNG.integers(0, 256, (20, 3072), dtype=np.uint8)
        # Both ages of the format: the published one is of Python 2, with text as bytes.
        content = {"data": data, "labels": [label % 10 for label in range(20)]}
        old = {key.encode(): value for key, value in content.items()}
        dumped = pickle.dumps(old if number % 2 else content, protocol=(2, 4, 5)[number % 3])
        (folder / "cifar-10-batches-py" / name).write_bytes(dumped)
    return Cifar10(folder, batch_size=7)


def npz(folder: Path) -> Npz:
    for name in ("test", "train"):
        x, y = RNG.integers(0, 256, (40, 9, 8, 3), dtype=np.uint8), np.arange(40) % 4
        np.savez(folder / f"{name}.npz", x=x, y=y)
    return Npz(folder / "test.npz", train_path=folder / "train.npz", batch_size=7)


def jpeg_npz(folder: Path) -> Npz:
    files = [jpeg((number * 6, 0, 255), 16, 8) for number in range(40)]
    offset = np.cumsum([0, *map(len, files)])
    np.savez(folder / "j.npz", jpeg=np.frombuffer(b"".join(files), np.uint8), offset=offset, y=np.arange(40) % 4)
    return Npz(folder / "j.npz", train_path=folder / "j.npz", batch_size=7)


def sub_folders(folder: Path) -> ImageFolder:
    for label in ("2", "10", "0"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(10):
            (folder / "photos" / label / f"{number}.png").write_bytes(jpeg((int(label) * 20, 0, 0), 20, 14, "PNG"))
    return ImageFolder(folder / "photos", train_path=folder / "photos", size=10, batch_size=7)


def zipped(folder: Path, rows: int = 30, **options: object) -> ImageFolder:
    table = io.StringIO()
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        writer = csv.writer(table)
        writer.writerow(["file", "label", "category"])
        for number in range(rows):
            archive.writestr(f"images/{number}.png", jpeg((number, 0, 0), 20 + number, 14, "PNG"))
            writer.writerow([f"{number}.png", number % 3, "abc"[number % 3]])
        archive.writestr("labels.csv", table.getvalue())
    path = folder / "photos.zip"
    return ImageFolder(path, **{"train_path": path, "size": 10, "batch_size": 7, **options})  # type: ignore[arg-type]


FAMILIES = {
    "digits": lambda folder: Digits(size=8, batch_size=200),
    "mnist_all": lambda folder: mnist(folder, train=True),
    "mnist_t10k": lambda folder: mnist(folder, train=False),
    "cifar10": cifar10,
    "npz": npz,
    "jpeg_npz": jpeg_npz,
    "sub_folders": sub_folders,
    "zip": zipped,
}


@pytest.fixture(params=sorted(FAMILIES))
def datamodule(request: pytest.FixtureRequest, tmp_path: Path) -> ImageDataModule:
    return FAMILIES[request.param](tmp_path)


def test_batches_follow_the_contract(datamodule: ImageDataModule) -> None:
    loaders = [datamodule.train_dataloader(), datamodule.val_dataloader(), datamodule.predict_dataloader()]
    for loader in loaders:
        batch = next(iter(loader))
        assert isinstance(batch, Batch)
        assert batch.images.dtype == torch.float32
        assert 0 <= batch.images.min() <= batch.images.max() <= 1
        assert tuple(batch.images.shape[1:]) == datamodule.image_shape
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
        assert batch.labels.shape == batch.indices.shape == (len(batch.images),)
        assert 0 <= batch.labels.min() <= batch.labels.max() < datamodule.num_classes == len(datamodule.class_names)
    assert len(datamodule.mean) == len(datamodule.std) == datamodule.image_shape[0]
    assert min(datamodule.std) > 0


def test_test_images_come_in_order_once_whatever_the_batch_size(datamodule: ImageDataModule) -> None:
    batches = list(datamodule.test_dataloader())
    datamodule.batch_size = 11
    others = list(datamodule.test_dataloader())
    for field in range(3):
        assert torch.equal(
            torch.cat([batch[field] for batch in batches]), torch.cat([other[field] for other in others])
        )
    indices = torch.cat([batch.indices for batch in batches]).tolist()
    assert indices == sorted(set(indices)) == datamodule.test_set.indices.tolist()


def test_training_order_is_seeded_and_leaves_global_random_numbers_alone(datamodule: ImageDataModule) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    loader = datamodule.train_dataloader()
    first, second = (torch.cat([batch.indices for batch in loader]) for _ in range(2))
    again = torch.cat([batch.indices for batch in datamodule.train_dataloader()])
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert sorted(first.tolist()) == sorted(datamodule.train_set.indices.tolist())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002


def test_train_and_validation_do_not_overlap(datamodule: ImageDataModule) -> None:
    assert not set(datamodule.train_set.indices) & set(datamodule.val_set.indices)
    assert len(datamodule.val_set) > 0


def test_digits_have_enough_test_images_and_disjoint_parts() -> None:
    digits = Digits()
    parts = [set(part.indices) for part in (digits.train_set, digits.val_set, digits.test_set)]
    assert len(parts[2]) >= 400
    assert set.union(*parts) == set(range(1797))
    assert sum(map(len, parts)) == 1797
    assert digits.image_shape == (1, 16, 16)
    assert set(Digits(seed=1).test_set.indices) != parts[2]


def test_stratified_split_keeps_class_shares() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    small, rest = stratified_split(labels, [0.2], seed=3)
    assert np.abs(np.bincount(labels[small]) - [20, 8, 2]).max() <= 1
    assert sorted([*small, *rest]) == list(range(150))
    assert (small == stratified_split(labels, [0.2], seed=3)[0]).all()
    with pytest.raises(ValueError, match="sum below 1"):
        stratified_split(labels, [0.6, 0.6], seed=0)
    with pytest.raises(ValueError, match="give more images"):
        stratified_split(labels[:2], [0.1], seed=0)


def test_pixels_arrive_where_they_were_written(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.array([0, 1, 1]))
    image, label, index = Npz(tmp_path / "a.npz").test_set[2]
    assert (label, index) == (1, 2)
    assert torch.equal(image, torch.from_numpy(x[2]).permute(2, 0, 1) / 255)
    cifar = cifar10(tmp_path)
    stored = read_pickled_arrays(tmp_path / "cifar-10-batches-py" / "test_batch")["data"]
    red = torch.from_numpy(stored[4, :1024].reshape(32, 32)) / 255
    assert torch.equal(cifar.test_set[4][0][0], red)


def test_measured_normalisation_is_that_of_the_training_images(tmp_path: Path) -> None:
    data = npz(tmp_path)
    pixels = np.stack([data.train_set[i][0].numpy() for i in range(len(data.train_set))]).astype(np.float64)
    np.testing.assert_allclose(data.mean, pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std((0, 2, 3)), rtol=1e-3)


def test_workers_read_the_zip_as_one_process_does(tmp_path: Path) -> None:
    alone, shared = zipped(tmp_path), zipped(tmp_path, num_workers=2)
    alone.test_set[0]  # the archive is open before the workers start
    shared.test_set[0]
    for one, two in zip(alone.test_dataloader(), shared.test_dataloader(), strict=True):
        assert all(torch.equal(left, right) for left, right in zip(one, two, strict=True))


def test_photos_are_scaled_and_cropped_as_by_torchvision(tmp_path: Path) -> None:
    from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

    picture = Image.fromarray(RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8))
    (tmp_path / "cat").mkdir()
    picture.save(tmp_path / "cat" / "a.png")
    image, _, _ = ImageFolder(tmp_path, size=16, resize=21).test_set[0]
    expected = pil_to_tensor(center_crop(resize(picture, 21), 16)).float() / 255
    assert torch.equal(image, expected)


def test_labels_of_sub_folders(tmp_path: Path) -> None:
    by_number = sub_folders(tmp_path)
    assert sorted(set(by_number.test_set.labels)) == [0, 2, 10]
    assert by_number.num_classes == 11
    with pytest.raises(ValueError, match=r"label 10 of image 10 .* allowed: 0 to 4"):
        ImageFolder(tmp_path / "photos", num_classes=5).setup()
    for folder, name in zip(("0", "2", "10"), ("dog", "cat", "ant"), strict=True):
        (tmp_path / "photos" / folder).rename(tmp_path / "photos" / name)
    assert ImageFolder(tmp_path / "photos").class_names == ["ant", "cat", "dog"]
    with pytest.raises(ValueError, match=r"3 class sub-folders where 1000 .* dataset.num_classes=3"):
        ImageFolder(tmp_path / "photos", num_classes=1000).setup()
    (tmp_path / "photos" / "categories.json").write_text(json.dumps(["cat", "cow", "dog", "ant"]))
    named = ImageFolder(tmp_path / "photos")
    assert named.class_names == ["cat", "cow", "dog", "ant"]
    assert sorted(set(named.test_set.labels)) == [0, 2, 3]


def test_only_test_images_says_how_to_train(tmp_path: Path) -> None:
    data = zipped(tmp_path, train_path=None)
    assert data.splits.train is None
    assert data.class_names == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"only test images; set dataset.train_path"):
        data.train_dataloader()


@pytest.mark.parametrize("kind", [Mnist, Cifar10, Npz, ImageFolder])
def test_missing_path_names_the_key(kind: type[ImageDataModule], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz does not exist; expected .* Set dataset.path="):
        kind(tmp_path / "nowhere.npz").setup()  # type: ignore[arg-type]


def test_empty_folders_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no t10k-images-idx3-ubyte or .*dataset.test_images"):
        Mnist(tmp_path).setup()
    with pytest.raises(FileNotFoundError, match=r"no test_batch in .*Unpack"):
        Cifar10(tmp_path).setup()
    with pytest.raises(ValueError, match=r"no labels.csv and no images"):
        ImageFolder(tmp_path).setup()
    with pytest.raises(ValueError, match=r"is a folder; .*dataset=image_folder"):
        Npz(tmp_path).setup()


X, Y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"has arrays \['x'\]; expected"),
        ({"x": X.astype(np.float32), "y": Y}, "float32 .* must be uint8"),
        ({"x": X[..., None].repeat(5, -1), "y": Y}, r"\(4, 8, 8, 5\); they must be"),
        ({"x": X[:0], "y": Y[:0]}, "holds no images"),
        ({"x": X, "y": Y[:3]}, "4 images but 3 labels"),
        ({"x": X, "y": Y.astype(float)}, "labels of .* must be integers"),
        ({"x": X, "y": Y - 1}, "label -1 of image 0 .* out of range"),
        ({"x": X, "y": Y + 5}, "label 7 of image 2 .* allowed: 0 to 2"),
        ({"x": np.array([None]), "y": Y}, "cannot be read"),
        ({"jpeg": X.ravel(), "offset": np.array([0, 9, 5, 20, 30]), "y": Y}, "'offset' .* must rise"),
        ({"jpeg": X.ravel(), "offset": np.array([0, 9, 15, 20, 30]), "y": Y}, "image 0 of .* is not a readable image"),
    ],
)
def test_bad_npz(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        Npz(tmp_path / "bad.npz", class_names=["a", "b", "c"]).setup()


def test_truncated_files(tmp_path: Path) -> None:
    data = mnist(tmp_path, train=True)
    whole = (tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(whole[:2000])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.gz cannot be decompressed"):
        data.setup()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(gzip.decompress(whole)[:999]))
    with pytest.raises(ValueError, match=r"states shape \(60, 12, 12\), 983 bytes follow"):
        data.setup()
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"cut.npz cannot be read"):
        Npz(tmp_path / "cut.npz").setup()


def test_corrupt_photo_is_named(tmp_path: Path) -> None:
    sub_folders(tmp_path)
    (tmp_path / "photos" / "10" / "3.png").write_bytes(jpeg((1, 2, 3), 20, 14, "PNG")[:40])
    images = ImageFolder(tmp_path / "photos", size=10).test_set
    with pytest.raises(ValueError, match=r"10/3.png in .* is not a readable image"):
        [images[position] for position in range(len(images))]


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ("name,label\na.png,1\n", ValueError, r"columns \['name', 'label'\]; expected"),
        ("file,label\n", ValueError, "holds no images"),
        ("file,label\na.png,one\n", ValueError, "label 'one' in line 2"),
        ("file,label\nb.png,1\n", FileNotFoundError, "line 2 .* names 'b.png'"),
        ("file,label\n../labels.csv,1\n", FileNotFoundError, "names '../labels.csv'"),
        ("file,label\na.png,-1\n", ValueError, "label -1 of image 0"),
    ],
)
def test_bad_label_tables(table: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(jpeg((1, 2, 3), 20, 14, "PNG"))
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(error, match=message):
        ImageFolder(tmp_path).setup()


class Intruder:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("intruder_was_here"),))


def test_pickles_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = cifar10(tmp_path)
    batch = tmp_path / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(pickle.dumps({"data": Intruder()}))
    with pytest.raises(ValueError, match=r"refused.*only numpy arrays and plain containers"):
        data.setup()
    assert not (tmp_path / "intruder_was_here").exists()
    for content in ({"data": np.array([Intruder()])}, {"data": np.array(["text"])}):
        batch.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match="refused"):
            data.setup()
    batch.write_bytes(pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}))
    with pytest.raises(ValueError, match="expected 'data' and 'labels'"):
        data.setup()
    batch.write_bytes(b"\x80\x04garbage")
    with pytest.raises(ValueError, match="test_batch is not a readable pickle"):
        data.setup()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.dtype(">f8"), np.bool_])
@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickled_arrays_equal_what_pickle_reads(dtype: np.dtype, protocol: int, tmp_path: Path) -> None:
    content = {"c": RNG.integers(0, 2, (3, 4)).astype(dtype), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3))}
    (tmp_path / "arrays").write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_pickled_arrays(tmp_path / "arrays")
    for key, array in content.items():
        assert read[key].dtype == array.dtype
        np.testing.assert_array_equal(read[key], array)


@pytest.mark.parametrize("path", sorted((CONF / "dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_dataset_configs_fit_their_target(path: Path) -> None:
    node = OmegaConf.load(path)
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    assert set(node) - {"_target_"} <= set(parameters)
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert required <= set(node)
    assert path.read_text().startswith("# Builds ")
    if path.stem == "digits":
        assert not OmegaConf.missing_keys(node)
    else:
        assert OmegaConf.missing_keys(node) == {"path"}


def test_shared_files_have_the_published_sizes(shared_data: Path) -> None:
    lossless = Npz(shared_data / "cifar10_test_lossless.npz")
    coded = Npz(shared_data / "cifar10_test_jpeg.npz")
    assert (len(lossless.test_set), len(coded.test_set)) == (900, 8900)
    with np.load(shared_data / "cifar10_test_jpeg.npz") as archive:
        twin = int(np.flatnonzero(archive["canonical_index"] == 5)[0])
    difference = (coded.test_set[twin][0] - lossless.test_set[5][0]).square().mean().sqrt()
    assert coded.test_set.labels[twin] == lossless.test_set.labels[5]
    assert difference < 0.1  # the coding loses about 8 of 255
    photos = ImageFolder(shared_data / "imagenet_samples.zip", resize=256, num_classes=1000)
    assert (len(photos.test_set), photos.num_classes, photos.class_names[1]) == (250, 1000, "goldfish")
    digits = Mnist(shared_data)
    assert (len(digits.train_set), len(digits.val_set), len(digits.test_set)) == (5000, 1000, 4000)
