"""Folders of trained networks: what is written is read bit by bit, and what cannot be read is told apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from diffig.generative import Autoencoder, ImageDiffusion

WEIGHTS = "diffusion_pytorch_model.safetensors"


def small_autoencoder() -> Autoencoder:
    built = Autoencoder.small(3, latent_channels=2, channels=(8, 8, 16)).eval().requires_grad_(False)
    built.set_statistics([0.3, -0.2], [0.5, 2.0])
    return built


def small_diffusion() -> ImageDiffusion:
    return ImageDiffusion.small(3, channels=(8, 8, 16), levels=40).eval().requires_grad_(False)


class Kind(NamedTuple):
    """A kind of folder: how to make what is in it, the class that reads it, and where in it the network lies."""

    name: str
    make: Callable[[], Any]
    reader: Any
    network: str
    seen: Callable[[Any, torch.Tensor], list[torch.Tensor]]

    def written(self, folder: Path) -> Path:
        """The network's folder of a whole one."""
        torch.manual_seed(0)
        self.make().save(folder)
        return folder / self.network


KINDS = {
    "autoencoder": Kind(
        "autoencoder",
        small_autoencoder,
        Autoencoder,
        "",
        lambda made, images: [made.encode(images), made(images)],
    ),
    "image_diffusion": Kind(
        "image_diffusion",
        small_diffusion,
        ImageDiffusion,
        "unet",
        lambda made, images: [made.alpha_bar, made.denoised(images, 11)],
    ),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def cut(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def test_save_and_load_give_the_same_bits(kind: Kind, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = kind.make()
    images = torch.rand(4, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    inner = tmp_path / "run" / kind.name
    made.save(inner, {"steps": 7})
    assert not list(tmp_path.rglob("*.part"))
    for path in (inner, str(tmp_path / "run")):  # the folder, and the one around it
        loaded = kind.reader.load(path)
        for one, other in zip(kind.seen(loaded, images), kind.seen(made, images), strict=True):
            assert torch.equal(one, other)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert json.loads((inner / "diffig.json").read_text())["facts"] == {"steps": 7}
    assert "_name_or_path" not in (inner / kind.network / "config.json").read_text()


def test_no_folder_and_an_empty_one(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"module={kind.name}"):
        kind.reader.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=rf"holds no {kind.network and kind.network + '/'}config\.json"):
        kind.reader.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda network: cut(network / WEIGHTS), ValueError, "is broken"),
        (
            lambda network: (network / WEIGHTS).rename(network / "diffusion_pytorch_model.bin"),
            FileNotFoundError,
            r"only pickled weights \(diffusion_pytorch_model\.bin\).*safe_serial",
        ),
        (
            lambda network: edit(network / "config.json", '"layers_per_block": 1', '"layers_per_block": 2'),
            ValueError,
            r"does not fit config\.json",
        ),
        (
            lambda network: edit(network / "config.json", '"_class_name": "', '"_class_name": "Other'),
            ValueError,
            r"describes a Other(AutoencoderKL|UNet2DModel)",
        ),
        (lambda network: (network / "config.json").write_text("{"), ValueError, r"config\.json is no JSON"),
        (lambda network: (network / "config.json").write_text("[]"), ValueError, r"config\.json holds no JSON object"),
    ],
    ids=["weights-cut", "pickled", "other-depth", "other-class", "no-json", "no-object"],
)
def test_a_damaged_folder_says_why(
    kind: Kind, damage: Callable[[Path], Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    damage(kind.written(tmp_path))
    with pytest.raises(error, match=message):
        kind.reader.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "damage", "error", "message"),
    [
        (
            "autoencoder",
            lambda folder: edit(folder / "config.json", '"latent_channels": 2', '"latent_channels": 3'),
            ValueError,
            "does not fit config",
        ),
        (
            "autoencoder",
            lambda folder: edit(folder / "config.json", '"layers_per_block": 1', '"layers_per_block": 2'),
            ValueError,
            "missing or unknown tensors",
        ),
        ("autoencoder", lambda folder: (folder / "diffig.json").write_text("{}"), ValueError, "lacks mean, std, image"),
        (
            "image_diffusion",
            lambda folder: edit(folder / "unet" / "config.json", '"num_class_embeds": null', '"num_class_embeds": 10'),
            ValueError,
            "conditioned on classes",
        ),
        (
            "image_diffusion",
            lambda folder: (folder / "scheduler" / "scheduler_config.json").write_text(
                '{"_class_name": "FlowMatchEulerDiscreteScheduler"}'
            ),
            ValueError,
            r"FlowMatchEulerDiscreteScheduler\) tells no beta_schedule",
        ),
        (
            "image_diffusion",
            lambda folder: cut(folder / "scheduler" / "scheduler_config.json"),
            ValueError,
            r"scheduler_config\.json is no JSON",
        ),
        (
            "image_diffusion",
            lambda folder: shutil.rmtree(folder / "scheduler"),
            FileNotFoundError,
            "copy the whole pipeline",
        ),
    ],
    ids=[
        "latent-channels",
        "unknown-tensors",
        "no-statistics",
        "classes",
        "flow-matching",
        "scheduler-cut",
        "no-scheduler",
    ],
)
def test_what_only_one_kind_has(
    name: str, damage: Callable[[Path], Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    KINDS[name].written(tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=message):
        KINDS[name].reader.load(tmp_path)
