"""Classifiers: known accuracies, what a checkpoint may be, and training in seconds."""

import inspect
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from torch import nn

from diffig.classifiers import Classifier, cifar_resnet, load_weights, mnist_vit, small_cnn, torchvision_model
from diffig.classifiers.module import ClassifierModule, augment
from diffig.classifiers.training import accuracy, fit_or_load
from diffig.data.digits import Digits
from diffig.data.image_folder import ImageFolder
from diffig.data.mnist import Mnist, read_idx
from diffig.data.npz import Npz
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

CONF = Path(__file__).parents[2] / "conf"
FACTORIES = (small_cnn, cifar_resnet, mnist_vit, torchvision_model)


def correct(classifier: Classifier, images: torch.utils.data.Dataset, count: int) -> int:
    return round(accuracy(classifier, images.subset(range(count)), 50) * count)


def tiny_data(folder: Path, classes: int = 3, channels: int = 3) -> Npz:
    generator = np.random.default_rng(0)
    y = np.arange(60) % classes
    x = generator.integers(0, 100, (60, 8, 8, channels), dtype=np.uint8) + (60 * y[:, None, None, None]).astype(
        np.uint8
    )
    np.savez(folder / "tiny.npz", x=x, y=y)
    return Npz(folder / "tiny.npz", train_path=folder / "tiny.npz", batch_size=16)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Digits, Path]:
    data = Digits()
    classifier = small_cnn(datamodule=data)
    path = fit_or_load(classifier, data, tmp_path_factory.mktemp("cache"), progress=False)
    return classifier, data, path


# --- known accuracies -------------------------------------------------------------------------------------------------


def test_resnet20_on_lossless_cifar10(shared_data: Path) -> None:
    data = Npz(shared_data / "cifar10_test_lossless.npz")
    net = cifar_resnet(datamodule=data, checkpoint=shared_data / "cifar10_resnet20.safetensors")
    assert correct(net, data.test_set, 900) == pytest.approx(827, abs=1)  # 91.89 %


def test_resnet56_on_lossless_cifar10(shared_data: Path) -> None:
    data = Npz(shared_data / "cifar10_test_lossless.npz")
    net = cifar_resnet(depth=56, checkpoint=shared_data / "cifar10_resnet56.safetensors")
    assert net.name == "cifar_resnet56"
    assert correct(net, data.test_set, 200) == pytest.approx(188, abs=1)  # 837 of all 900, 93.00 %


def test_vision_transformer_on_mnist(shared_data: Path) -> None:
    net = mnist_vit(datamodule=Mnist(shared_data), checkpoint=shared_data / "mnist_vit.safetensors")
    images = torch.from_numpy(read_idx(shared_data / "mnist_t10k-images-idx3-ubyte.gz")[:1000, None]) / 255
    labels = torch.from_numpy(read_idx(shared_data / "mnist_t10k-labels-idx1-ubyte.gz")[:1000])
    with torch.no_grad():
        right = int((net(images).argmax(dim=1) == labels).sum())
    assert right == pytest.approx(976, abs=1)  # 9791 of all 10 000


@pytest.mark.parametrize(("name", "right"), [("mobilenet_v2", 12), ("squeezenet1_0", 9)])
def test_torchvision_networks_on_photos(name: str, right: int, shared_data: Path) -> None:
    data = ImageFolder(shared_data / "imagenet_samples.zip", resize=256, num_classes=1000)
    net = torchvision_model(name=name, datamodule=data, checkpoint=shared_data / f"imagenet_{name}.safetensors")
    assert correct(net, data.test_set, 16) == right


def test_parameter_counts_are_the_published_ones() -> None:
    def count(classifier: Classifier) -> int:
        return sum(parameter.numel() for parameter in classifier.parameters())

    assert count(cifar_resnet(depth=20)) == 269_722
    assert round(count(cifar_resnet(depth=110)) / 1e6, 1) == 1.7  # He et al. 2015, table 6
    assert count(mnist_vit()) == 213_642
    assert 50_000 < count(small_cnn(num_classes=10, in_channels=3)) < 100_000


# --- the wrapper ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classifier",
    [cifar_resnet(depth=8), torchvision_model(name="squeezenet1_1", num_classes=4)],
    ids=lambda one: one.name,
)
def test_the_memory_layout_changes_no_value_and_no_shape(classifier: Classifier) -> None:
    # In float32 another kernel's rounding may open a ReLU that stands at its corner, and the gradients then differ.
    classifier = classifier.double()
    images = torch.rand(3, 3, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2])
    seen, hook = [], lambda _, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    handle = classifier.net.register_forward_pre_hook(hook)
    found = []
    for classifier.channels_last in (True, False):
        found.append(ScoreFunction(classifier, "logit").value_and_grad(images, targets))
    handle.remove()
    classifier.channels_last = True
    assert seen == [True, False]
    assert found[0][1].is_contiguous()
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12 * float(other.abs().max()))


def test_gradients_ask_nothing_of_the_weights_and_leave_them_as_they_were() -> None:
    classifier = cifar_resnet(depth=8)
    classifier.net.conv1.requires_grad_(False)
    asked = {name: parameter.requires_grad for name, parameter in classifier.named_parameters()}
    seen = []
    handle = classifier.net.register_forward_pre_hook(
        lambda net, _: seen.append(any(parameter.requires_grad for parameter in net.parameters()))
    )
    ScoreFunction(classifier).value_and_grad(torch.rand(2, 3, 16, 16), torch.tensor([0, 1]))
    handle.remove()
    assert seen == [False]
    assert {name: parameter.requires_grad for name, parameter in classifier.named_parameters()} == asked
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_normalisation_is_inside() -> None:
    net = nn.Flatten()
    classifier = Classifier(net, [0.1, 0.2], [0.5, 0.25], "flat", 8)
    images = torch.rand(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = (images.numpy() - np.array([0.1, 0.2])[:, None, None]) / np.array([0.5, 0.25])[:, None, None]
    np.testing.assert_allclose(classifier(images).numpy(), expected.reshape(3, 8), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (3, 8, 8), (2, 4, 8, 8)])
def test_wrong_channels_are_named(shape: tuple[int, ...]) -> None:
    classifier = small_cnn(num_classes=4, in_channels=3)
    with pytest.raises(ValueError, match=r"takes images \(B, 3, H, W\), got \(" + ", ".join(map(str, shape))):
        classifier(torch.zeros(shape))


@pytest.mark.parametrize(
    ("classifier", "shape"),
    [
        (lambda: small_cnn(num_classes=4, in_channels=3), (5, 3, 8, 8)),
        (lambda: cifar_resnet(depth=8), (5, 3, 32, 32)),
        (lambda: mnist_vit(), (5, 1, 28, 28)),
    ],
)
def test_logits_do_not_depend_on_the_batch(classifier: object, shape: tuple[int, ...]) -> None:
    net = classifier()  # type: ignore[operator]
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    assert not net.training
    with torch.no_grad():
        alone = torch.cat([net(image[None]) for image in images])
        torch.testing.assert_close(net(images.flip(0)).flip(0), alone, rtol=1e-4, atol=1e-5)


def test_impossible_arguments_say_what_is_allowed(tmp_path: Path) -> None:
    data = tiny_data(tmp_path, classes=12)
    with pytest.raises(ValueError, match=r"depth=21 is not 6 n \+ 2; set classifier.depth to 20"):
        cifar_resnet(depth=21)
    with pytest.raises(ValueError, match=r"12 classes, classifier 'cifar_resnet8' only 10"):
        cifar_resnet(depth=8, datamodule=data)
    with pytest.raises(ValueError, match=r"have 1 channels, classifier 'cifar_resnet8' takes 3"):
        cifar_resnet(depth=8, datamodule=Digits(size=8))
    with pytest.raises(ValueError, match=r"dataset.size=28"):
        mnist_vit(datamodule=Digits(size=8))
    with pytest.raises(ValueError, match=r"small_cnn got num_classes=None, in_channels=1"):
        small_cnn(in_channels=1)
    with pytest.raises(ValueError, match=r"4x4 pixels are too small"):
        small_cnn(num_classes=2, in_channels=1)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"'resnet-18' is no .* did you mean resnet18"):
        torchvision_model(name="resnet-18")
    with pytest.raises(ValueError, match="one positive standard deviation"):
        Classifier(nn.Flatten(), [0.0], [0.0])


def test_fewer_classes_than_the_classifier_are_fine(tmp_path: Path) -> None:
    assert cifar_resnet(depth=8, datamodule=tiny_data(tmp_path)).num_classes == 10


# --- checkpoints ------------------------------------------------------------------------------------------------------


def with_prefix(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "module.net.", "model._orig_mod."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_load_under_any_wrapper(prefix: str, suffix: str, tmp_path: Path) -> None:
    source, target = (small_cnn(num_classes=4, in_channels=3) for _ in range(2))
    state = with_prefix({name: tensor.clone() for name, tensor in source.net.state_dict().items()}, prefix)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        save_file(state, path)
    load_weights(target, path)
    assert target.checkpoint == path
    for name, tensor in source.net.state_dict().items():
        assert torch.equal(target.net.state_dict()[name], tensor)


def test_a_whole_classifier_brings_its_normalisation(tmp_path: Path) -> None:
    source = small_cnn(num_classes=4, in_channels=3, mean=[0.1, 0.2, 0.3], std=[1, 2, 3])
    torch.save({"state_dict": with_prefix(source.state_dict(), "classifier.")}, tmp_path / "a.ckpt")
    target = load_weights(small_cnn(num_classes=4, in_channels=3), tmp_path / "a.ckpt")
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(source(images), target(images))


def test_networks_with_a_part_called_classifier_keep_their_names(tmp_path: Path) -> None:
    source = torchvision_model(name="squeezenet1_1", num_classes=3)
    save_file(source.net.state_dict(), tmp_path / "a.safetensors")
    loaded = torchvision_model(name="squeezenet1_1", num_classes=3, checkpoint=tmp_path / "a.safetensors")
    for name, tensor in source.net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], tensor), name


def test_mismatch_is_one_message_and_changes_nothing(tmp_path: Path) -> None:
    save_file(cifar_resnet(depth=14).net.state_dict(), tmp_path / "a.safetensors")
    target = cifar_resnet(depth=8, num_classes=7)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as raised:
        load_weights(target, tmp_path / "a.safetensors")
    message = str(raised.value)
    assert "a.safetensors" in message
    assert "none missing" in message
    assert "unexpected: layer1.1." in message
    assert "linear.weight (file (10, 64), network (7, 64))" in message
    assert "classifier.checkpoint" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())
    with pytest.raises(ValueError, match=r"missing: layer1\.2"):
        cifar_resnet(depth=20, checkpoint=tmp_path / "a.safetensors")


class Intruder:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("intruder_was_here"),))


def test_unusable_files_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = small_cnn(num_classes=2, in_channels=1)
    save_file(net.net.state_dict(), tmp_path / "whole.safetensors")
    torch.save(net.net.state_dict(), tmp_path / "whole.pt")
    for kind in ("safetensors", "pt"):
        content = (tmp_path / f"whole.{kind}").read_bytes()
        for cut in (0, 50, len(content) // 2):
            (tmp_path / f"cut.{kind}").write_bytes(content[:cut])
            with pytest.raises(ValueError, match=rf"cut.{kind} \({cut} bytes\) is corrupt"):
                load_weights(net, tmp_path / f"cut.{kind}")
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"page.pt .* is corrupt, cut short or of another format"):
        load_weights(net, tmp_path / "page.pt")
    with pytest.raises(FileNotFoundError, match=r"none.pt does not exist; set classifier.checkpoint="):
        load_weights(net, tmp_path / "none.pt")
    with pytest.raises(ValueError, match="is a folder"):
        load_weights(net, tmp_path)
    (tmp_path / "weights.txt").touch()
    with pytest.raises(ValueError, match=r"ends in '.txt'; allowed: .safetensors .pt"):
        load_weights(net, tmp_path / "weights.txt")
    torch.save({"a": Intruder()}, tmp_path / "objects.pt")
    with pytest.raises(ValueError, match="holds Python objects besides tensors"):
        load_weights(net, tmp_path / "objects.pt")
    assert not (tmp_path / "intruder_was_here").exists()
    torch.save({"epoch": 3}, tmp_path / "scalars.pt")
    with pytest.raises(ValueError, match=r"no dictionary of tensors \(found \['epoch'\]\)"):
        load_weights(net, tmp_path / "scalars.pt")
    state = net.net.state_dict()
    state["head.bias"] = torch.tensor([0.0, float("nan")])
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match=r"NaN or infinite values: 1 in: head.bias"):
        load_weights(net, tmp_path / "nan.safetensors")


# --- training ---------------------------------------------------------------------------------------------------------


def test_small_cnn_learns_digits_in_seconds(trained: tuple[Classifier, Digits, Path]) -> None:
    classifier, data, path = trained
    record = json.loads(path.with_suffix(".json").read_text())
    assert accuracy(classifier, data.test_set) == record["test_accuracy"] > 0.97
    assert record["dataset"] == "digits"
    assert path.name.startswith("digits_1x16x16_")
    assert path.name.endswith("_seed0.safetensors")
    assert not classifier.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())


def test_trained_weights_are_loaded_the_second_time(trained: tuple[Classifier, Digits, Path]) -> None:
    classifier, data, path = trained
    written = path.stat().st_mtime_ns
    again = small_cnn(datamodule=data)
    assert fit_or_load(again, data, path.parent, progress=False) == path == again.checkpoint
    assert path.stat().st_mtime_ns == written
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(again(images), classifier(images))
    assert fit_or_load(classifier, data, path.parent / "other") == path
    assert not (path.parent / "other").exists()


def test_training_is_deterministic_and_isolated(tmp_path: Path) -> None:
    data = tiny_data(tmp_path)
    files = []
    for attempt in range(2):
        torch.manual_seed(attempt)
        classifier = small_cnn(datamodule=data, width=4)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        files.append(fit_or_load(classifier, data, tmp_path / str(attempt), max_epochs=2))
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    first, second = (load_file(file) for file in files)
    assert files[0].name == files[1].name
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert {file.suffix for file in (tmp_path / "0").iterdir()} == {".safetensors", ".json"}


def test_cache_tells_apart_what_differs(tmp_path: Path) -> None:
    data = tiny_data(tmp_path)
    cases = [({}, {}), ({"width": 6}, {}), ({"mean": [0] * 3, "std": [1] * 3}, {}), ({}, {"seed": 1})]
    cases += [({}, {"max_epochs": 2})]
    names = {
        fit_or_load(small_cnn(datamodule=data, **{"width": 4, **own}), data, tmp_path, **{"max_epochs": 1, **fit}).name
        for own, fit in cases
    }
    (tmp_path / "other").mkdir()
    other = tiny_data(tmp_path / "other", classes=2)
    names.add(fit_or_load(small_cnn(datamodule=other, num_classes=3, width=4), other, tmp_path, max_epochs=1).name)
    assert len(names) == len(cases) + 1


def test_corrupt_cache_is_trained_again(tmp_path: Path) -> None:
    data = tiny_data(tmp_path)
    path = fit_or_load(small_cnn(datamodule=data, width=4), data, tmp_path / "cache", max_epochs=1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    classifier = small_cnn(datamodule=data, width=4)
    with pytest.warns(UserWarning, match="cached weights are not usable and are trained again"):
        fit_or_load(classifier, data, tmp_path / "cache", max_epochs=1)
    assert path.read_bytes() == whole


def test_only_the_small_cnn_trains_on_the_fly(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'cifar_resnet8' has random weights; set classifier.checkpoint"):
        fit_or_load(cifar_resnet(depth=8), tiny_data(tmp_path), tmp_path)


def test_lightning_trains_and_its_checkpoint_loads(tmp_path: Path) -> None:
    import lightning.pytorch as pl

    data = tiny_data(tmp_path)
    module = ClassifierModule(small_cnn(datamodule=data, width=4), learning_rate=1e-2, shift=1)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    running = module.classifier.net.stage1[1].running_mean.clone()
    trainer.fit(module, data)
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= set(trainer.callback_metrics)
    assert not torch.equal(module.classifier.net.stage1[1].running_mean, running)  # it trained in training mode
    assert not module.classifier.training
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = small_cnn(datamodule=data, width=4, checkpoint=tmp_path / "last.ckpt")
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(loaded(images), module.classifier(images))


def test_augmentation_moves_and_mirrors_and_is_off_by_default() -> None:
    images = torch.rand(64, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    streams = Streams(0, torch.arange(64))
    assert augment(images, 0, False, streams, 0) is images
    flipped = augment(images, 0, True, streams, 0)
    unchanged = (flipped == images).flatten(1).all(dim=1)
    assert 16 < int(unchanged.sum()) < 48
    assert torch.equal(flipped[~unchanged], images[~unchanged].flip(-1))
    moved = augment(images, 1, False, streams, 0)
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    windows = torch.stack([padded[:, :, top : top + 5, left : left + 6] for top in range(3) for left in range(3)])
    assert (windows == moved).flatten(2).all(dim=2).any(dim=0).all()
    torch.rand(3)
    both = augment(images, 1, True, streams, 0)
    assert torch.equal(augment(images[5:9], 1, True, Streams(0, torch.arange(5, 9)), 0), both[5:9]), "keyed by image"
    assert not torch.equal(augment(images, 1, True, streams, 1), both), "another step is another draw"
    with pytest.raises(ValueError, match=r"module.shift 0 or more"):
        ClassifierModule(small_cnn(num_classes=2, in_channels=1), shift=-1)


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [*sorted((CONF / "classifier").glob("*.yaml")), CONF / "module" / "classifier.yaml"],
    ids=lambda path: path.stem,
)
def test_classifier_configs_fit_their_target(path: Path) -> None:
    node = OmegaConf.create({"seed": 0, "node": OmegaConf.load(path)}).node  # `seed` is the program's
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    assert set(node) - {"_target_"} <= set(parameters)
    assert path.read_text().startswith("# Builds ")
    assert not OmegaConf.missing_keys(node)


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_factories_share_one_calling_convention(factory: object) -> None:
    parameters = inspect.signature(factory).parameters  # type: ignore[arg-type]
    assert {"datamodule", "checkpoint", "num_classes", "mean", "std", "name"} <= set(parameters)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert all(parameter.default is not parameter.empty for parameter in parameters.values())
