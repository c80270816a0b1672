"""The whole way of latent DiffIG by the programs: autoencoder, labels, path model, networks, explanation, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Program = Callable[..., int]
TINY = ("dataset.size=8", "classifier.width=8", "trainer=cpu", "latent.folder=parts")
SMALL = (
    "trainer.val_check_interval=5",
    "latents.images=6",
    "latents.val_images=2",
    "latents.val_samples=4",
    "latents.batch_size=4",
)
NET = ("width=16", "depth=1", "heads=2")


def test_the_whole_way(program: Program, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def train(name: str, *words: str) -> None:
        common = (*TINY, f"dirs.cache={cache}", "trainer.max_steps=10", f"hydra.run.dir=parts/{name}")
        assert program("train", *common, *words) == 0, capsys.readouterr().err

    limits = ("+trainer.limit_val_batches=1", "dataset.batch_size=8", "trainer.val_check_interval=5")
    train("autoencoder", "module=autoencoder", "module.autoencoder.channels=[8,8,8]", *limits)
    train("path_model", "module=latent_diffusion", *SMALL, *(f"module.prior.{word}" for word in NET))
    train("labels", "module=path_labels", *SMALL, "module.count=12", "module.val_count=6", "module.shard_size=5")
    for quantity in ("faithfulness", "complexity"):
        words = ("module=path_score", f"module.quantity={quantity}", "module.centre=true")
        train(quantity, *words, *SMALL, *(f"module.{word}" for word in NET))
    parts = tmp_path / "parts"
    for file in ("autoencoder/loss.png", "path_model/loss.png", "faithfulness/correlation.png", "complexity/loss.png"):
        assert (parts / file).is_file(), file
    assert list((parts / "path_model" / "paths").glob("*.png"))
    assert set(json.loads((parts / "faithfulness" / "correlation.json").read_text())) >= {"pearson", "within_image"}
    assert json.loads((parts / "labels" / "labels" / "manifest.json").read_text())["count"] == {"train": 12, "val": 6}

    strengths = ("learned.lambda_faith=0,10", "learned.lambda_comp=-5,0")
    evaluation = ("-m", *TINY, f"dirs.cache={cache}", "method=diffig_latent", "metrics=fast", "limit=3", "steps=16")
    assert program("evaluate", *evaluation, *strengths, "latent.sample_steps=3", "hydra.sweep.dir=sweep") == 0
    rows = pd.concat(pd.read_parquet(file) for file in (tmp_path / "sweep").glob("*/rows.parquet"))
    assert len(rows[["guidance.lambda_faith", "guidance.lambda_comp"]].drop_duplicates()) == 4
    assert (rows["status"] == "ok").all()
    assert (rows["backward_images"] == 16).all()
    assert program("report", "runs=sweep", "output=report") == 0
    assert "lambda" in (tmp_path / "report" / "report.html").read_text()


def test_what_is_missing_is_named(program: Program, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = (*TINY, f"dirs.cache={cache}", "hydra.run.dir=run")
    assert program("evaluate", *common, "method=diffig_latent", "limit=2") != 0
    assert "train an autoencoder" in capsys.readouterr().out
    assert program("train", *common, "module=path_score") != 0
    assert "train an autoencoder" in "".join(capsys.readouterr())
