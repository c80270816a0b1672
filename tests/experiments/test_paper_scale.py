"""The studies at the scale of the paper, run dry: every config composes, one image goes through at its real size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from diffig.config import CONF_DIR, build, compose
from diffig.generative import Autoencoder
from diffig.method.latent.prior import LatentPrior
from diffig.scores import ScoreFunction

STUDIES = sorted(file.stem for file in (Path(CONF_DIR) / "experiment").glob("latent_*.yaml"))
PAPER = ("scale=paper", "dataset.path=pets", "classifier.checkpoint=weights", "dirs.output=out", "dirs.cache=cache")


@pytest.mark.parametrize("dataset", ["oxford_pet", "mini_imagenet"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_composes(study: str, dataset: str) -> None:
    cfg = compose("evaluate", [f"experiment={study}", *PAPER, f"dataset={dataset}"])
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert (cfg.dataset.size, cfg.dataset.resize_mode) == (256, "squash")
    assert cfg.steps == 200 or study == "latent_runtime"


@pytest.mark.parametrize("module", ["autoencoder", "latent_diffusion", "path_labels", "path_score"])
def test_every_training_composes(module: str) -> None:
    cfg = compose("train", [f"module={module}", *PAPER, "trainer=ddp", "trainer.precision=bf16-mixed"])
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert (cfg.dataset.size, cfg.trainer.strategy, cfg.trainer.precision) == (256, "ddp", "bf16-mixed")


def test_a_scale_brings_a_modules_own_sizes_and_what_is_typed_goes_before() -> None:
    cfg = compose("train", ["module=path_score", *PAPER])
    assert (cfg.module.size, cfg.trainer.max_steps, cfg.callbacks.ema.decay) == ("base", 1_000_000, 0.995)
    cfg = compose("train", ["module=path_score", "scale=small", "trainer.max_steps=3"])
    assert (cfg.module.size, cfg.trainer.max_steps, cfg.latents.images) == ("tiny", 3, 256)
    assert compose("train", ["scale=small"]).trainer.max_steps == compose("train", []).trainer.max_steps


def test_every_study_has_a_folder_that_tells_and_runs() -> None:
    experiments = Path(CONF_DIR).parent / "experiments"
    for study in STUDIES:
        assert (experiments / study / "README.md").is_file(), study
        assert f"experiment={study}" in (experiments / study / "run.sh").read_text(), study


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained parts of the right shapes: an f8 autoencoder with 4 channels, the width of `base` at depth 1."""
    folder = tmp_path_factory.mktemp("parts")
    Autoencoder.small(3, latent_channels=4, channels=(8, 8, 8, 8)).save(folder / "autoencoder" / "autoencoder")
    for side in (28, 32):
        prior = LatentPrior.new(17, 4 * side * side, size="base", depth=1)
        prior.save(folder / f"path_model_{side}" / "prior.safetensors")
    return folder


@pytest.mark.parametrize(
    ("classifier", "side", "classes"),
    [
        ("resnet18", 256, 37),
        ("googlenet", 256, 100),
        pytest.param("vgg16", 256, 37, marks=pytest.mark.slow),
        pytest.param("vit_b_16", 224, 37, marks=pytest.mark.slow),
    ],
)
def test_one_image_at_its_real_size(classifier: str, side: int, classes: int, parts: Path) -> None:
    prior = parts / f"path_model_{side // 8}" / "prior.safetensors"
    words = [
        f"latent.folder={parts}",
        f"latent.prior={prior}",
        "latent.sample_steps=2",
        "steps=4",
        f"image_size={side}",
    ]
    words += ["experiment=latent_main", "method=diffig_latent", f"classifier.name={classifier}", "n_paths=2"]
    cfg = compose("evaluate", [*PAPER, *words, f"classifier.num_classes={classes}"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build({**OmegaConf.to_container(cfg.classifier), "checkpoint": None})  # type: ignore[dict-item]
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    method = build(cfg.method)(ScoreFunction(network, chunk_size=4), seed=0)
    attribution, gap = method.attribute(image, target=3, return_convergence_delta=True)
    assert attribution.shape == image.shape
    assert attribution.isfinite().all()
    assert gap.isfinite().all()
    assert method.score.cost.backward_images == 2 * 4
