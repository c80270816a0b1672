"""A report is one run on a dashboard, without a network: its tables, figures and page, in the group of its sweep."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oracle.wandb_file import read_run

Program = Callable[..., int]
N_IMAGES = 12


def measure(folder: Path, mean: float, **columns: Any) -> None:
    """Rows of one run, without running it."""
    folder.mkdir(parents=True)
    row = {"dataset": "digits", "classifier": "net", "objective": "probability", "baseline": "black", "n_paths": 1}
    row |= {"steps": 8, "seed": 0, "label": 0, "prediction": 0, "seconds": 0.1, "forward_images": 10, "gap": 0.01}
    row |= {"backward_images": 8, "status": "ok", "protocol": "diffig", "sweep": "mine", "rule": "", "nodes": ""}
    noise = np.random.default_rng(list(folder.name.encode())).normal(0, 0.05, (2, N_IMAGES))
    rows = [
        {**row, **columns, "metric": metric, "image_index": i, "value": mean + noise[m, i]}
        for m, metric in enumerate(("diffid", "insertion"))
        for i in range(N_IMAGES)
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    curves = [
        {"method": columns["method"], "image_index": i, "curve": "insertion", "x": x, "value": mean * x}
        for i in range(N_IMAGES)
        for x in (0.0, 0.5, 1.0)
    ]
    pd.DataFrame(curves).to_parquet(folder / "curves.parquet")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep with a grid of guidance, so that there are a heat map, a critical difference, curves and costs."""
    root = tmp_path / "sweeps" / "mine"
    for place, (method, mean) in enumerate({"ig": 0.1, "gig": 0.2, "spi": 0.15}.items()):
        measure(root / str(place), mean, method=method)
    for faith in (0.0, 10.0):
        for comp in (0.0, 10.0):
            strengths = {"guidance.lambda_faith": faith, "guidance.lambda_comp": comp, "guidance.omega": 1.0}
            mean = 0.3 + 0.01 * faith - 0.01 * comp
            measure(root / f"latent-{faith}-{comp}", mean, method="diffig_latent", **strengths)
    return root


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    for name in ("WANDB_API_KEY", "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def test_a_report_is_one_run(program: Program, sweep: Path) -> None:
    assert program("report", f"runs={sweep}", "bootstrap.n=200", "logger=wandb", "logger.offline=true") == 0
    (file,) = sweep.glob("wandb/offline-run-*/run-*.wandb")
    run = read_run(file)
    assert (run["name"], run["group"], run["job_type"], run["project"]) == ("report mine", "mine", "report", "diffig")
    assert run["tags"] == {"report", "digits", "net", "protocol diffig"}
    assert run["config"]["bootstrap"]["n"] == 200
    assert run["summary"]["winner"].startswith("diffig_latent lambda_faith=10")
    table = pd.read_csv(sweep / "ranked.csv")
    assert run["summary"]["diffid"] == pytest.approx(table.query("metric == 'diffid'")["mean"].max())

    media = file.parent / "files"
    for kind in ("ranked", "paired", "reliability"):
        content = json.loads((media / run["summary"][f"{kind}.path"]).read_text())
        wanted = pd.read_csv(sweep / f"{kind}.csv")
        assert content["columns"] == list(wanted.columns)
        place = content["columns"].index("setting" if kind != "reliability" else "metric")
        assert [line[place] for line in content["data"]] == list(wanted.iloc[:, place])
    figures = {name.removesuffix(".path") for name in run["summary"] if name.endswith(".path") and "/" in name}
    needed = {"ranked", "mean-ranks", "cost", "curves", "heatmap-1-diffid", "heatmap-1-insertion", "gap"}
    assert figures == {f"figures/{name}" for name in needed}
    for name in figures:
        assert run["summary"][f"{name}.caption"]
        with Image.open(media / run["summary"][f"{name}.path"]) as picture:
            assert picture.width > 600
            assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255), "on white, also where the page is dark"
    assert (media / run["summary"]["report.path"]).read_text() == (sweep / "report.html").read_text()


def test_two_sweeps_and_two_datasets(program: Program, sweep: Path, tmp_path: Path) -> None:
    other = tmp_path / "sweeps" / "other"
    for method in ("ig", "gig"):
        measure(other / method, 0.2, method=method, dataset="photos", sweep="other")
    words = ("bootstrap.n=200", "logger=wandb", "logger.offline=true", "logger.tags=[chosen]", "formats=[html]")
    assert program("report", f"runs={tmp_path / 'sweeps'}", *words) == 0
    (file,) = (tmp_path / "sweeps").glob("wandb/offline-run-*/run-*.wandb")
    run = read_run(file)
    assert run["group"] not in ("mine", "other"), "it belongs to neither alone"
    assert run["tags"] == {"chosen"}
    assert {"figures/ranked-1.path", "figures/ranked-2.path", "1/winner", "2/winner"} <= set(run["summary"])
    assert (run["summary"]["1/comparison"], run["summary"]["2/comparison"]) == (
        "digits · net · protocol diffig",
        "photos · net · protocol diffig",
    )


def test_a_report_in_the_folder_of_its_run_is_another_run(program: Program, tmp_path: Path) -> None:
    from diffig.config import compose
    from diffig.tracking.identity import identity

    cfg = compose("evaluate", ["logger=wandb", f"dirs.output={tmp_path}", "dirs.cache=cache"])
    assert identity(cfg, "report")["id"] != identity(cfg, "evaluate")["id"]


def test_without_a_logger_nothing_is_imported(program: Program, sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    assert program("report", f"runs={sweep}", "bootstrap.n=100", "formats=[csv]") == 0
    assert not any(name.split(".")[0] == "wandb" for name in sys.modules)
    assert not (sweep / "wandb").exists()
