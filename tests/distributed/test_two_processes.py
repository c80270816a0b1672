"""Two and three processes write the rows that one process writes, each once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import forked
from diffig.evaluation.rows import KEY
from diffig.evaluation.thumbnails import read_thumbnails

# 7 images on 2 processes: one has an image more, so that a padding sampler would show. No guidance, no training: ig.
WORDS = ("dataset.size=8", "classifier.width=8", "metrics=fast", "method=spi", "steps=4", "limit=7", "batch_size=2")
ON_TWO = ("trainer.accelerator=cpu", "trainer.devices=2")


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    call = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=550)
    assert call.returncode == 0, call.stdout + call.stderr


def compare(folder: Path, many: str = "two", processes: int = 2) -> None:
    one, two = (pd.read_parquet(folder / name / "rows.parquet").drop(columns="seconds") for name in ("one", many))
    assert not two.duplicated(list(KEY)).any()
    assert two["image_index"].nunique() == 7
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-5)
    ranks = {file.stem.rsplit("-", 1)[1] for file in (folder / many / "rows").glob("rows-*.parquet")}
    assert ranks == {str(rank) for rank in range(processes)}, "every process explained images"
    first, second = (read_thumbnails(folder / name) for name in ("one", many))
    assert first is not None
    assert second is not None
    assert list(second.indices) == sorted(two["image_index"].unique())
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_allclose(first.maps.astype(int), second.maps, atol=1)  # one of 127 levels, by rounding
    assert not list(folder.rglob("*.part"))
    for name in ("summary.csv", "attributions.png", "curves.parquet", "config.yaml"):
        assert (folder / many / name).is_file(), name


def test_forked_processes(tmp_path: Path) -> None:
    runs = [["trainer=cpu", "hydra.run.dir=one"]]
    for name, count in (("two", 2), ("three", 3)):
        words = ("trainer.accelerator=cpu", f"trainer.devices={count}", "trainer.strategy=ddp_fork")
        runs.append([*words, f"hydra.run.dir={name}"])
    for words in runs:
        with forked.program("evaluate", [*WORDS, *words], tmp_path) as running:
            assert running.wait() == 0, running.said
    compare(tmp_path)
    compare(tmp_path, "three", 3)


@pytest.mark.slow
def test_a_sweep_whose_jobs_have_two_processes_each(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "diffig.cli.evaluate"]
    run([*program, *WORDS, "trainer=cpu", "hydra.run.dir=one"], tmp_path)
    many = ("hydra/launcher=local", "compute=cpu", "compute.devices=2", "hydra.sweep.dir=many")
    run([*program, "-m", *WORDS, *many], tmp_path)
    rows = pd.read_parquet(tmp_path / "many" / "0" / "rows.parquet")
    assert set(rows["sweep"]) == {"many"}
    rows.assign(sweep="").to_parquet(tmp_path / "many" / "0" / "rows.parquet")
    compare(tmp_path, "many/0")
    assert (tmp_path / "many" / "0" / "status").read_text() == "done"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_processes_that_start_anew(strategy: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "diffig.cli.evaluate", *WORDS]
    run([*program, "trainer=cpu", "hydra.run.dir=one"], tmp_path)
    run([*program, *ON_TWO, f"trainer.strategy={strategy}", "hydra.run.dir=two"], tmp_path)
    compare(tmp_path)
    assert not (tmp_path / "outputs" / "evaluate").exists(), "one output folder"
