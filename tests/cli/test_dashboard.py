"""Runs on a Weights & Biases dashboard without a network: names that tell jobs apart, figures, and restarts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from diffig.config import compose
from diffig.tracking.identity import identity
from oracle.wandb_file import read_run

Evaluate = Callable[..., int]
GUIDANCE = Path(__file__).resolve().parents[2] / "experiments" / "sweeps" / "guidance.yaml"


def runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_API_KEY", "WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_network")
def test_a_sweep_can_be_read(evaluate: Evaluate, tmp_path: Path) -> None:
    words = ("method=ig", "steps=2,3", "metrics=default", "logger=wandb", "pictures=2", "hydra.sweep.dir=dash")
    assert evaluate("-m", *words) == 0
    for job, steps in (("0", "2"), ("1", "3")):
        folder = tmp_path / "dash" / job
        (file,) = runs(folder)
        run, rows = read_run(file), pd.read_parquet(folder / "rows.parquet")
        assert (run["name"], run["group"], run["job_type"]) == (f"ig steps={steps}", "dash", "evaluate")
        assert {"evaluate", "ig", "digits", "small_cnn", "black"} <= run["tags"]
        assert set(rows["sweep"]) == {"dash"}
        assert run["config"]["steps"] == int(steps)
        assert run["config"]["method"]["_target_"].endswith("IntegratedGradients")
        means = rows.groupby("metric")["value"].mean()
        assert {name: run["summary"][name] for name in means.index} == pytest.approx(means.to_dict())
        assert run["summary"]["backward_images"] == int(steps)
        kept = run["artifacts"][f"run-{run['id']}-images"]  # a table with pictures is an artifact
        content = json.loads(kept["images.table.json"].read_text())
        metrics = list(dict.fromkeys(rows["metric"]))
        assert content["columns"] == ["image_index", "class", "image", "attribution", "curves", *metrics]
        assert len(content["data"]) == 2
        values = rows.set_index(["image_index", "metric"])["value"]
        for index, _, *pictures, first in (line[:6] for line in content["data"]):
            assert first == pytest.approx(values[index, metrics[0]])
            assert all(kept[picture["path"]].is_file() for picture in pictures)
        assert len({picture["path"] for line in content["data"] for picture in line[2:5]}) == 6, "no two are the same"
        for name in ("attributions", "curves"):
            assert list(file.parent.glob(f"files/media/images/{name}*.png"))


@pytest.mark.usefixtures("_no_network")
def test_who_a_run_is_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose("evaluate", ["logger=wandb", "method=ig", f"dirs.output={tmp_path}", "dirs.cache=cache"])
    first = identity(cfg, "evaluate")
    assert first["group"] == first["id"], "without a sweep and a network, what belongs together is what one folder has"
    (tmp_path / "wandb" / "offline-run-1-abc").mkdir(parents=True)
    again = identity(cfg, "evaluate")
    assert again["group"] == first["group"]
    assert again["id"] == f"{first['id']}-1", "the same id would erase what the first start has logged"
    monkeypatch.delenv("WANDB_MODE")
    online = identity(cfg, "evaluate")
    assert (online["id"], online["group"]) == (first["id"], None), "with a network a restart goes on in its run"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    agent = identity(cfg, "evaluate")
    assert (agent["id"], agent["group"]) == (None, "sweep1"), "an agent has chosen the id"


def test_the_sweep_by_weights_and_biases_is_a_command_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    sweep = OmegaConf.to_container(OmegaConf.load(GUIDANCE), resolve=False)
    assert isinstance(sweep, dict)
    chosen = {name: {"value": told.get("values", [told.get("max")])[-1]} for name, told in sweep["parameters"].items()}
    words = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
    command = [word for part in sweep["command"] for word in (words if part == "${args_no_hyphens}" else [part])]
    assert command[0] == sweep["program"] == "diffig-evaluate"
    monkeypatch.setenv("WANDB_RUN_ID", "run7")
    asked = [sys.executable, "-m", "diffig.cli.evaluate", *command[1:], "--cfg", "all"]
    told = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert told.returncode == 0, told.stderr
    cfg = OmegaConf.create(told.stdout)
    assert cfg.hydra.run.dir == "outputs/wandb_sweep/run7"
    assert cfg.guidance.faithfulness == sweep["parameters"]["guidance.faithfulness"]["max"]
    assert cfg.baseline._target_.endswith("Blur")
    assert sweep["metric"] == {"name": cfg.search_metric, "goal": "maximize"}
