"""Two processes write the rows that one process writes, each once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from diffig.evaluation.rows import KEY

# 7 images on 2 processes: one has an image more, so that a padding sampler would show. No guidance, no training: ig.
WORDS = ("dataset.size=8", "classifier.width=8", "metrics=fast", "method=spi", "steps=4", "limit=7", "batch_size=2")
ON_TWO = ("trainer.accelerator=cpu", "trainer.devices=2")

# One interpreter for both runs: most of the time goes into imports.
BOTH = """
import sys
from hydra.core.global_hydra import GlobalHydra
from diffig.cli.evaluate import main
for words in (["trainer=cpu", "hydra.run.dir=one"], sys.argv[1:sys.argv.index("--")]):
    common = sys.argv[sys.argv.index("--") + 1:]
    argv, sys.argv = sys.argv, ["diffig-evaluate", *common, *words]
    GlobalHydra.instance().clear()
    main()
    sys.argv = argv
"""


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    call = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=550)
    assert call.returncode == 0, call.stdout + call.stderr


def compare(folder: Path) -> None:
    one, two = (pd.read_parquet(folder / name / "rows.parquet").drop(columns="seconds") for name in ("one", "two"))
    assert not two.duplicated(list(KEY)).any()
    assert two["image_index"].nunique() == 7
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-5)
    ranks = {file.stem.rsplit("-", 1)[1] for file in (folder / "two" / "rows").glob("rows-*.parquet")}
    assert ranks == {"0", "1"}, "both processes explained images"
    assert not list(folder.rglob("*.part"))
    for name in ("summary.csv", "attributions.png", "curves.parquet", "config.yaml"):
        assert (folder / "two" / name).is_file(), name


def test_forked_processes(tmp_path: Path) -> None:
    script = tmp_path / "both.py"
    script.write_text(BOTH)
    words = [*ON_TWO, "trainer.strategy=ddp_fork", "hydra.run.dir=two"]
    run([sys.executable, str(script), *words, "--", *WORDS], tmp_path)
    compare(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_processes_that_start_anew(strategy: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "diffig.cli.evaluate", *WORDS]
    run([*program, "trainer=cpu", "hydra.run.dir=one"], tmp_path)
    run([*program, *ON_TWO, f"trainer.strategy={strategy}", "hydra.run.dir=two"], tmp_path)
    compare(tmp_path)
    assert not (tmp_path / "outputs" / "evaluate").exists(), "one output folder"
