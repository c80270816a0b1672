"""diffig-train leaves weights that diffig-evaluate takes, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

Program = Callable[..., int]
PATHS = ("module=path_diffusion", "debug=two_steps", "trainer=cpu", "module.prior.denoiser.channels=[16,16]")


def test_a_path_model_goes_into_an_evaluation(program: Program, evaluate: Callable[..., int], tmp_path: Path) -> None:
    assert program("train", *PATHS, "hydra.run.dir=paths") == 0
    left = tmp_path / "paths"
    for name in ("prior.safetensors", "checkpoints/last.ckpt", "config.yaml", "environment.json", "log/metrics.csv"):
        assert (left / name).is_file(), name
    assert torch.load(left / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    before = (left / "prior.safetensors").read_bytes()
    words = ("method=diffig_field", "steps=70", "limit=2", "prior=file", "prior.path=paths/prior.safetensors")
    assert evaluate(*words, "hydra.run.dir=run") == 0
    rows = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    assert set(rows["method"]) == {"diffig_field"}
    assert (rows["status"] == "ok").all()

    assert program("train", *PATHS, "hydra.run.dir=paths") == 0  # nothing is left to do
    assert (left / "prior.safetensors").read_bytes() == before
    assert program("train", *PATHS, "hydra.run.dir=paths", "trainer.max_steps=4") == 0
    assert torch.load(left / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert (left / "prior.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("callbacks.checkpoint=nan", "callbacks.checkpoint=nan must be an object, a config with _target_, or null"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0 must be a whole number of at least 1"),
        ("module.prior.denoiser.layers=-1", "layers=-1 must be a whole number of at least 1"),
        ("resume=abc", "resume=abc must be true or false"),
    ],
)
def test_a_mistake_is_one_line(program: Program, capfd: pytest.CaptureFixture[str], word: str, message: str) -> None:
    assert program("train", *PATHS, "hydra.run.dir=paths", word) == 1
    captured = capfd.readouterr()
    assert message in captured.out
    assert "Traceback" not in captured.out + captured.err


def test_a_classifier_goes_into_an_evaluation(program: Program, tmp_path: Path) -> None:
    data = ("dataset=digits", "dataset.size=8", "classifier.width=8")
    words = ("trainer.max_steps=80", "+trainer.limit_val_batches=1", "module.learning_rate=1e-2")
    assert program("train", "module=classifier", "trainer=cpu", *data, *words, "hydra.run.dir=net") == 0
    weights = tmp_path / "net" / "classifier.safetensors"
    assert weights.is_file()
    assert (tmp_path / "net" / "loss.png").is_file()
    words = ("trainer=cpu", "metrics=fast", "method=gradient_x_input", "limit=4", f"classifier.checkpoint={weights}")
    assert program("evaluate", *data, *words, "hydra.run.dir=run") == 0
    assert len(pd.read_parquet(tmp_path / "run" / "rows.parquet"))
    assert not (tmp_path / "outputs" / "cache").exists(), "the given weights were used"


def test_an_image_diffusion_model_goes_into_an_evaluation(program: Program, cache: Path, tmp_path: Path) -> None:
    data = ("dataset=digits", "dataset.size=8", "classifier.width=8")
    words = ("trainer=cpu", "trainer.max_steps=3", "+trainer.limit_val_batches=1", "trainer.log_every_n_steps=1")
    net = ("dataset.batch_size=16", "module.diffusion.channels=[8,8]", "hydra.run.dir=latent/image_diffusion")
    assert program("train", "module=image_diffusion", *data, *words, *net) == 0
    left = tmp_path / "latent" / "image_diffusion"
    for name in ("unet/config.json", "scheduler/scheduler_config.json", "diffig.json", "model_index.json"):
        assert (left / "image_diffusion" / name).is_file(), name
    assert (left / "loss.png").is_file()
    weights = (left / "image_diffusion" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert program("train", "module=image_diffusion", *data, *words, *net) == 0  # nothing is left to do
    assert (left / "image_diffusion" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == weights
    small = ("trainer=cpu", "metrics=fast", "limit=3", "steps=20", "latent.folder=latent", f"dirs.cache={cache}")
    for method, backward in (("ddpath", 20), ("free_mcg", 0)):
        more = ("method.n_particles=4",) if method == "free_mcg" else ()
        assert program("evaluate", *data, *small, f"method={method}", *more, f"hydra.run.dir={method}") == 0
        rows = pd.read_parquet(tmp_path / method / "rows.parquet")
        assert (rows["status"] == "ok").all()
        assert set(rows["method"]) == {method}
        assert set(rows["backward_images"]) == {backward}
