"""diffig-evaluate leaves what it promises, in single runs and in sweeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from diffig.evaluation.rows import COLUMNS, KEY

Evaluate = Callable[..., int]
PROMISED = ("rows.parquet", "curves.parquet", "summary.csv", "attributions.png", "config.yaml", "environment.json")


def values(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "rows.parquet").drop(columns="seconds")


def test_a_single_run_leaves_everything_it_promises(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("method=diffig_field", "steps=80", "hydra.run.dir=run", "pictures=2") == 0
    folder = tmp_path / "run"
    assert not [name for name in PROMISED if not (folder / name).is_file()]
    assert not list(folder.rglob("*.part"))
    rows = pd.read_parquet(folder / "rows.parquet")
    assert tuple(rows.columns[: len(COLUMNS)]) == COLUMNS
    assert {"protocol", "guidance.faithfulness", "guidance.absolute_mass"} <= set(rows.columns)
    assert not rows.duplicated(list(KEY)).any()
    assert rows["image_index"].nunique() == 6
    assert (rows["label"] == rows["prediction"]).all(), "only_correct is the default"
    assert (rows["status"] == "ok").all()
    assert rows["backward_images"].le(80).all(), "the budget is backward images, guidance included"
    summary = pd.read_csv(folder / "summary.csv")
    means = rows.groupby("metric")["value"].mean()
    assert summary.set_index("metric")["mean"].to_dict() == pytest.approx(means.to_dict())
    assert json.loads((folder / "environment.json").read_text())["packages"]["torch"]
    assert "???" not in (folder / "config.yaml").read_text()


def test_rows_do_not_depend_on_the_batch_size(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("method=spi", "n_paths=2", "hydra.run.dir=three") == 0
    assert evaluate("method=spi", "n_paths=2", "batch_size=5", "hydra.run.dir=five") == 0
    pd.testing.assert_frame_equal(values(tmp_path / "three"), values(tmp_path / "five"), rtol=1e-4, atol=1e-5)


def test_images_are_the_same_for_every_method_and_seed(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("-m", "method=ig,random", "seed=0,1", "hydra.sweep.dir=all") == 0
    chosen = [set(values(tmp_path / "all" / job)["image_index"]) for job in "0123"]
    assert all(images == chosen[0] for images in chosen)
    maps = [values(tmp_path / "all" / job).query("metric == 'diffid_soft'")["value"].tolist() for job in "0123"]
    assert maps[0] == maps[1], "no seed changes what is deterministic"
    assert maps[2] != maps[3], "a seed is another random map"
    assert evaluate("method=ig", "image_seed=1", "hydra.run.dir=other") == 0
    assert set(values(tmp_path / "other")["image_index"]) != chosen[0], "a draw is other images"


def test_images_that_something_was_chosen_on_can_be_left_alone(evaluate: Evaluate, tmp_path: Path) -> None:
    words = ("method=random", "only_correct=false", "metrics=fast")
    runs = {"all": ["limit=7"], "first": ["limit=3"], "others": ["limit=4", "skip=3"]}
    for run, asked in runs.items():
        assert evaluate(*words, *asked, f"hydra.run.dir={run}") == 0
    whole, first, others = (set(values(tmp_path / run)["image_index"]) for run in runs)
    assert (len(first), len(others)) == (3, 4)
    assert first | others == whole


def test_a_failing_job_of_a_sweep_costs_no_other_job(
    evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("-m", "method=ig", "method.steps=3,0,2", "hydra.sweep.dir=sweep") == 1
    sweep = tmp_path / "sweep"
    assert [(sweep / job / "rows.parquet").is_file() for job in "012"] == [True, False, True]
    assert [(sweep / job / "error.txt").is_file() for job in "012"] == [False, True, False]
    report = (sweep / "1" / "error.txt").read_text()
    assert report.startswith("steps=0 must be a whole number of at least 1")
    assert "Traceback" in report, "the trace is kept for whoever wants it"
    captured = capsys.readouterr()
    assert "steps=0 must be a whole number" in captured.out + captured.err


def test_jobs_that_ask_for_the_same_share_their_rows(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("-m", "method=random", "guidance.absolute_mass=0.1,0.3", "hydra.sweep.dir=sweep") == 0
    first, second = tmp_path / "sweep" / "0", tmp_path / "sweep" / "1"
    assert json.loads((second / "taken_over.json").read_text()) == {"from": "0"}
    assert (first / "rows.parquet").read_bytes() == (second / "rows.parquet").read_bytes()
    assert not (second / "rows").exists(), "nothing was explained again"


def test_single_runs_measure_anew(evaluate: Evaluate, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert evaluate("method=random", f"hydra.run.dir=runs/{name}") == 0
    assert not (tmp_path / "runs" / "second" / "taken_over.json").exists()
    pd.testing.assert_frame_equal(values(tmp_path / "runs" / "first"), values(tmp_path / "runs" / "second"))


def test_a_progress_bar_in_a_terminal(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert evaluate("method=random", "hydra.run.dir=bar") == 0, capsys.readouterr()
    assert (tmp_path / "bar" / "rows.parquet").is_file()


def test_wandb_offline_leaves_a_run_that_reads_back(evaluate: Evaluate, tmp_path: Path) -> None:
    words = ("-m", "method=random,gradient_x_input", "logger=wandb", "logger.offline=true", "hydra.sweep.dir=dash")
    assert evaluate(*words) == 0
    seen = set()
    for job in "01":
        (file,) = (tmp_path / "dash" / job / "wandb").glob("offline-run-*/run-*.wandb")
        seen.add(file.name)
        assert b"diffid" in file.read_bytes(), "the summary is in the run"
        picture = list(file.parent.glob("files/media/images/attributions*.png"))
        table = list(file.parent.glob("files/media/table/rows*.json"))
        assert len(picture) == len(table) == 1
        content = json.loads(table[0].read_text())
        rows = pd.read_parquet(tmp_path / "dash" / job / "rows.parquet")
        assert content["columns"] == list(rows.columns)
        assert len(content["data"]) == len(rows)
    assert len(seen) == 2, "every job is a run of its own"


def test_a_randomised_classifier_leaves_curves_over_depths_and_a_picture(evaluate: Evaluate, tmp_path: Path) -> None:
    words = ("method=gradient_x_input", "metrics=randomization", "limit=4", "pictures=2")
    assert evaluate(*words, "hydra.run.dir=run") == 0
    rows = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    similar = rows[rows["metric"].str.startswith("randomization")]
    assert similar["metric"].nunique() == 6
    assert similar["value"].between(-1, 0.999).all()
    assert rows["backward_images"].eq(1).all(), "the metric's own attributions are not the method's"
    curves = pd.read_parquet(tmp_path / "run" / "curves.parquet")
    assert sorted(curves["x"].unique()) == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert len(curves) == 4 * 6 * 5
    assert (tmp_path / "run" / "randomization.png").is_file()
    assert evaluate(*words[:1], "limit=4", "hydra.run.dir=plain") == 0
    assert not (tmp_path / "plain" / "randomization.png").exists()


def test_masks_reach_the_localisation_metrics(evaluate: Evaluate, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from diffig.classifiers.small_cnn import small_cnn
    from oracle.coco import write_coco

    (tmp_path / "coco").mkdir()
    write_coco(tmp_path / "coco")
    save_file(small_cnn(num_classes=1000, in_channels=3, width=8).state_dict(), tmp_path / "weights.safetensors")
    words = (
        *("dataset=coco_instances", "dataset.path=coco", "dataset.targets=objects", "dataset.size=16"),
        *("dataset.resize=16", "classifier.checkpoint=weights.safetensors", "target=prediction", "only_correct=false"),
    )
    assert evaluate("metrics=localisation", "method=input_magnitude", "hydra.run.dir=run", *words) == 0
    rows = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    found = rows.set_index(["metric", "image_index"])["value"].unstack()
    assert found.loc["mask_share"].tolist() == pytest.approx([80 / 224] * 4)
    assert (found.loc["relevance_mass"] > found.loc["mask_share"]).all(), "one of the two objects is bright"


def test_a_setting_has_one_name_whether_typed_or_written_in_an_experiment(evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /method: centre_gaussian\nmethod: {width: 0.4}\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(text)
    assert evaluate("method=centre_gaussian", "method.width=0.4", "hydra.run.dir=typed") == 0
    search = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    assert evaluate("experiment=mine", search, "hydra.run.dir=written") == 0
    assert evaluate("experiment=mine", search, "method.width=0.25", "hydra.run.dir=default") == 0
    pd.testing.assert_frame_equal(values(tmp_path / "typed"), values(tmp_path / "written"))
    assert set(values(tmp_path / "written")["variant"]) == {"width=0.4"}
    assert set(values(tmp_path / "default")["variant"]) == {""}, "its own default, though typed"


MINE = '''
from diffig.metrics import Measured, Metric

class Mine(Metric):
    """Nothing but noise."""
    names = ("calibration_error",)
    {facts}

    def _measure(self, explained):
        return Measured({{"calibration_error": explained.maps.abs().sum((1, 2, 3))}}, {{}})
'''


def test_a_metric_of_another_package_says_how_it_is_read(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = 'direction, value_range, family = "lower", (0.0, float("inf")), "calibration"'
    (tmp_path / "my_metrics.py").write_text(MINE.format(facts=facts))
    (tmp_path / "my_silent_metrics.py").write_text(MINE.format(facts=""))
    assert evaluate("method=random", "+metrics.metrics.mine._target_=my_metrics.Mine", "hydra.run.dir=run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert set(metrics) == set(pd.read_parquet(tmp_path / "run" / "rows.parquet")["metric"])
    assert metrics["calibration_error"] == {
        **{"direction": "lower", "family": "calibration", "range": [0.0, None], "wording": "Nothing but noise."}
    }
    silent = "+metrics.metrics.mine._target_=my_silent_metrics.Mine"
    assert evaluate("method=random", silent, "hydra.run.dir=silent") == 1
    assert "Mine does not say its direction, value_range, family" in (tmp_path / "silent" / "error.txt").read_text()
    assert not (tmp_path / "silent" / "rows").exists()
