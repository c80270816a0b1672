"""Ranks are known before the trainer exists, and what cannot work is said at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from diffig.cli.ranks import prepare_ranks
from diffig.cli.sweeps import report
from diffig.config import compose

GIVEN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the second of two processes that submitit has started here."""
    for name in GIVEN:
        monkeypatch.setenv(name, "0")  # so that they are as before afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    told = {"JOB_ID": "7", "NTASKS": "2", "JOB_NUM_NODES": "1", "NODEID": "0", "GLOBALID": "1", "LOCALID": "1"}
    for name, value in told.items():
        monkeypatch.setenv(f"SUBMITIT_LOCAL_{name}", value)


@pytest.mark.usefixtures("second_of_two")
def test_submitit_gives_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    prepare_ranks(compose("train", ["compute=cpu", "compute.devices=2", "dirs.output=out"]))
    assert [os.environ[name] for name in GIVEN[:4]] == ["1", "1", "2", "2"]
    assert 20000 <= int(os.environ["MASTER_PORT"]) <= 60000
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1", "Lightning counts the devices of the node"


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize("words", [["compute=cpu"], ["compute=cpu", "trainer.devices=3"]])
def test_a_trainer_that_waits_for_another_number_of_processes(words: list[str]) -> None:
    cfg = compose("train", [*words, "dirs.output=out"])
    with pytest.raises(ValueError, match=f"trainer.devices={cfg.trainer.devices}, and the launcher has started 2"):
        prepare_ranks(cfg)
    assert "RANK" not in os.environ


@pytest.mark.parametrize("ranked", ["LOCAL_RANK", "SLURM_PROCID"])
def test_processes_of_torchrun_and_srun_need_one_folder(
    ranked: str,
    monkeypatch: pytest.MonkeyPatch,
    evaluate: Callable[..., int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLD_SIZE" if ranked == "LOCAL_RANK" else "SLURM_NTASKS", "2")
    monkeypatch.setenv(ranked, "1")
    assert evaluate("method=ig") == 1
    assert "2 processes would write to 2 folders" in capfd.readouterr().err
    assert not list(tmp_path.rglob("rows.parquet"))


def test_a_job_that_was_killed_is_told_apart(tmp_path: Path) -> None:
    for job, status in enumerate(("done", "running", "failed", "done")):
        (tmp_path / str(job)).mkdir()
        (tmp_path / str(job) / "status").write_text(status)
    (tmp_path / "2" / "error.txt").write_text("steps=0 is wrong\n\nTraceback")
    said = report(tmp_path).splitlines()
    assert said[0].endswith("2 of 4 jobs are done")
    assert "job 1 is still running, or was killed" in said[1]
    assert "job 2 failed: steps=0 is wrong (" in said[2]
    assert f"hydra.sweep.dir={tmp_path}" in said[3]
    for job in "12":
        (tmp_path / job / "status").write_text("done")
    assert report(tmp_path) == ""
