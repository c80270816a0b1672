"""On a real SLURM: a sweep that survives a failing job, a training of two tasks, a job that is submitted again.

Needs `sbatch` and a running cluster, or DIFFIG_SLURM_TOOL, a script with `start`, `stop` and `env` (which prints the
path of slurm.conf) that makes this machine a cluster of one node.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from diffig.evaluation.rows import KEY

pytestmark = pytest.mark.slurm
TINY = ("dataset.size=8", "classifier.width=8", "metrics=fast", "method=ig", "batch_size=2")
ON_SLURM = ("hydra/launcher=slurm", "compute=cpu", "hydra.launcher.array_parallelism=2", "hydra.sweep.dir=sweep")


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` works."""
    if not shutil.which("sbatch"):
        pytest.skip("no sbatch on this machine")
    tool = os.environ.get("DIFFIG_SLURM_TOOL")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ours = False
    if tool:
        environment["SLURM_CONF"] = subprocess.run([tool, "env"], capture_output=True, text=True).stdout.strip()
    if subprocess.run(["sinfo"], env=environment, capture_output=True, timeout=60).returncode:
        if not tool or subprocess.run([tool, "start"], env=environment, timeout=120).returncode:
            pytest.skip("sbatch is there but no cluster answers; set DIFFIG_SLURM_TOOL or SLURM_CONF")
        ours = True
    yield environment
    if ours:
        subprocess.run([tool, "stop"], env=environment, timeout=60)


def start(program: str, folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"diffig.cli.{program}", "-m", *ON_SLURM, *words]
    paths = {**environment, "PYTHONPATH": str(folder)}
    return subprocess.Popen(command, cwd=folder, env=paths, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_failing_job_of_a_sweep_costs_no_other_job(cluster: dict[str, str], tmp_path: Path) -> None:
    running = start("evaluate", tmp_path, cluster, *TINY, "limit=4", "steps=3,0,2,4")
    said, _ = running.communicate(timeout=590)
    assert running.returncode == 1, said
    sweep = tmp_path / "sweep"
    assert [(sweep / job / "rows.parquet").is_file() for job in "0123"] == [True, False, True, True]
    assert "sweep sweep: 3 of 4 jobs are done" in said
    assert "job 1 failed: steps=0 must be a whole number of at least 1" in said
    assert [(sweep / job / "status").read_text() for job in "0123"] == ["done", "failed", "done", "done"]
    rows = pd.concat(pd.read_parquet(sweep / job / "rows.parquet") for job in "023")
    assert not rows.duplicated(list(KEY)).any()
    assert rows["image_index"].nunique() == 4
    assert set(rows["sweep"]) == {"sweep"}


WATCHING = """
import json
from pathlib import Path
from lightning.pytorch import Callback


class Watch(Callback):
    def on_train_end(self, trainer, module):
        backend = trainer.strategy._process_group_backend
        told = {"world": trainer.world_size, "step": trainer.global_step, "backend": backend}
        Path(f"rank{trainer.global_rank}.json").write_text(json.dumps(told))
"""


def test_two_tasks_train_together(cluster: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "watching.py").write_text(WATCHING)
    words = ("module=path_diffusion", "debug=two_steps", "module.prior.denoiser.channels=[16,16]", "compute.devices=2")
    running = start("train", tmp_path, cluster, *words, "+callbacks.watch={_target_: watching.Watch}")
    said, _ = running.communicate(timeout=590)
    assert running.returncode == 0, said
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks == [{"world": 2, "step": 2, "backend": "gloo"}] * 2
    assert [folder.name for folder in (tmp_path / "sweep").iterdir() if folder.name.isdigit()] == ["0"]
    assert (tmp_path / "sweep" / "0" / "prior.safetensors").is_file()
    last = tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2


def test_a_job_whose_time_is_up_is_submitted_again_and_goes_on(cluster: dict[str, str], tmp_path: Path) -> None:
    running = start("evaluate", tmp_path, cluster, *TINY, "method=gig", "steps=300", "limit=12")
    parts, limit = tmp_path / "sweep" / "0" / "rows", time.monotonic() + 400
    while len(list(parts.glob("rows-*.parquet"))) < 2:
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < limit, "no batch came"
        time.sleep(0.05)
    asked = ["squeue", "--noheader", "--format=%A", "--states=RUNNING", f"--user={os.getuid()}", "--name=evaluate"]
    job = subprocess.run(asked, env=cluster, capture_output=True, text=True, check=True).stdout.split()[0]
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("rows-*.parquet")}
    subprocess.run(["scancel", "--signal=USR2", job], env=cluster, check=True)  # what SLURM sends before the end
    for _ in range(100):  # SLURM lets a requeued job wait for two minutes
        if "(BeginTime)" in subprocess.run(["squeue"], env=cluster, capture_output=True, text=True).stdout:
            break
        time.sleep(0.3)
    subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], env=cluster, capture_output=True)
    said, _ = running.communicate(timeout=590)
    assert running.returncode == 0, said
    assert {name: (parts / name).stat().st_mtime_ns for name in before} == before, (
        "a finished batch was explained again"
    )
    rows = pd.read_parquet(tmp_path / "sweep" / "0" / "rows.parquet")
    assert rows["image_index"].nunique() == 12
    assert not rows.duplicated(list(KEY)).any()
    log = (tmp_path / "sweep" / "0" / "evaluate.log").read_text()
    assert "of 12 images have their rows already" in log
