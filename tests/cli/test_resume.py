"""A killed evaluation goes on where it stopped and ends as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import forked
from diffig.evaluation.rows import RowStore
from diffig.evaluation.thumbnails import read_thumbnails

TINY = ("dataset.size=8", "classifier.width=8", "metrics=fast", "trainer=cpu", "pictures=6")
SLOW = ("method=gig", "steps=150", "limit=12", "batch_size=2")


def values(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "rows.parquet").drop(columns="seconds")


def test_kill_and_resume(
    program: Callable[..., int], cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*TINY, *SLOW, f"dirs.cache={cache}"]
    assert program("evaluate", *words, "hydra.run.dir=whole") == 0
    parts = tmp_path / "killed" / "rows"
    with forked.program("evaluate", [*words, "hydra.run.dir=killed"], tmp_path) as running:
        running.until(lambda: len(list(parts.glob("rows-*.parquet"))) >= 2)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "rows.parquet").exists()
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("rows-*.parquet")}
    assert 2 <= len(before) < 6

    capfd.readouterr()
    assert (
        program("evaluate", *words, "batch_size=4", "hydra.run.dir=killed") == 0
    )  # another batch size is no hindrance
    said = capfd.readouterr().out
    assert f"{2 * len(before)} of 12 images have their rows already" in said
    assert f"gig, protocol diffig: {12 - 2 * len(before)} images in" in said
    assert {name: (parts / name).stat().st_mtime_ns for name in before} == before, (
        "a finished batch was explained again"
    )
    pd.testing.assert_frame_equal(values(tmp_path / "killed"), values(tmp_path / "whole"), rtol=1e-4, atol=1e-5)
    curves = [pd.read_parquet(tmp_path / name / "curves.parquet") for name in ("killed", "whole")]
    pd.testing.assert_frame_equal(*curves, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "killed" / "attributions.png").is_file()
    resumed, whole = (read_thumbnails(tmp_path / name) for name in ("killed", "whole"))
    assert resumed is not None
    assert whole is not None
    assert sorted(pd.read_parquet(tmp_path / "whole" / "rows.parquet")["image_index"].unique()) == list(whole.indices)
    np.testing.assert_array_equal(resumed.indices, whole.indices)
    np.testing.assert_array_equal(resumed.images, whole.images)
    np.testing.assert_allclose(resumed.maps.astype(int), whole.maps, atol=1)  # one of 127 levels, by rounding


def a_row(index: int) -> dict[str, object]:
    from diffig.evaluation.rows import COLUMNS

    return {**dict.fromkeys(COLUMNS, 0), "metric": "diffid", "image_index": index}


def test_curves_of_a_batch_killed_before_its_rows_are_not_doubled(tmp_path: Path) -> None:
    store = RowStore(tmp_path, "mark")
    store.prepare()
    point = {"curve": "kept", "x": 0.5, "value": 1.0}
    store.write("curves", [{"image_index": index, **point} for index in (0, 1)])  # killed here
    assert store.done() == set()
    for index in (0, 1):  # again, with smaller batches
        store.write("curves", [{"image_index": index, **point}])
        store.write("rows", [a_row(index)])
    store.merge({0, 1})
    assert len(pd.read_parquet(tmp_path / "curves.parquet")) == 2


def test_rows_of_another_configuration_are_dropped(tmp_path: Path) -> None:
    first = RowStore(tmp_path, "one")
    first.prepare()
    first.write("rows", [a_row(0)])
    second = RowStore(tmp_path, "another")
    second.prepare()
    assert second.done() == set()


def test_missing_and_doubled_rows_are_refused(tmp_path: Path) -> None:
    store = RowStore(tmp_path, "mark")
    store.prepare()
    store.write("rows", [a_row(0)], rank=0)
    with pytest.raises(RuntimeError, match=r"1 images missing \(first: \[1\]\)"):
        store.merge({0, 1})
    store.write("rows", [a_row(0)], rank=1)
    with pytest.raises(RuntimeError, match="1 twice"):
        store.merge({0})
    assert not (tmp_path / "rows.parquet").exists()


def test_a_run_killed_between_its_rows_and_its_mark_is_no_twin_of_what_it_was(
    program: Callable[..., int], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a second configuration, with the mark of the first, would be taken over as the first one's."""
    from diffig.evaluation.duplicate_run import find_duplicate

    words = [*TINY, "limit=2", "steps=2", f"dirs.cache={cache}", "hydra.run.dir=sweep/0"]
    monkeypatch.setattr("diffig.evaluation.run.in_sweep", lambda: True)
    assert program("evaluate", *words, "method=ig") == 0
    mark = (tmp_path / "sweep" / "0" / "fingerprint").read_text()
    assert find_duplicate(tmp_path / "sweep" / "1", mark) == tmp_path / "sweep" / "0"
    assert find_duplicate(tmp_path / "sweep" / "0", mark) is None
    assert find_duplicate(tmp_path / "sweep" / "1", "another") is None

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("diffig.evaluation.run.finish", killed)
    assert program("evaluate", *words, "method=gradient") == 130
    assert set(pd.read_parquet(tmp_path / "sweep" / "0" / "rows.parquet")["method"]) == {"gradient"}
    assert find_duplicate(tmp_path / "sweep" / "1", mark) is None


def test_a_sweep_that_is_started_again_leaves_its_finished_jobs_alone(
    program: Callable[..., int], cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *TINY, "limit=2", "steps=2", "method=ig", f"dirs.cache={cache}", "hydra.sweep.dir=sweep"]
    assert program("evaluate", *words, "seed=0,1") == 0
    shutil.rmtree(tmp_path / "sweep" / "1")
    left = ("rows.parquet", "environment.json", "config.yaml", "summary.csv", "attributions.png", "fingerprint")
    before = {name: (tmp_path / "sweep" / "0" / name).stat().st_mtime_ns for name in left}
    capfd.readouterr()
    assert program("evaluate", *words, "seed=0,1") == 0
    said = capfd.readouterr().out
    assert said.count("done before") == 1
    assert said.count("protocol diffig: 2 images in") == 1
    assert {name: (tmp_path / "sweep" / "0" / name).stat().st_mtime_ns for name in left} == before
    assert (tmp_path / "sweep" / "1" / "rows.parquet").is_file()
    assert program("evaluate", *words, "seed=0,1", "limit=3") == 0  # another configuration is explained
    assert pd.read_parquet(tmp_path / "sweep" / "0" / "rows.parquet")["image_index"].nunique() == 3
