"""Killed at random moments, again and again, by SIGKILL: evaluations and sweeps end with the rows of an untouched run.

Runs are forked from an interpreter that has everything imported, so that moments fall into the work, not into imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from diffig.evaluation.rows import KEY

SCRIPT = """
import json, os, random, signal, sys, time
from pathlib import Path
import diffig.evaluation.run, diffig.evaluation.gallery, diffig.evaluation.summary, lightning.pytorch, matplotlib.pyplot
import pandas, sklearn.datasets, torch
from diffig.cli.evaluate import main

torch.set_num_threads(1)
task = json.loads(sys.argv[1])


def start(words):
    child = os.fork()
    if child:
        return child
    os.setsid()
    sys.argv = ["diffig-evaluate", *words]
    try:
        main()
    except SystemExit as stop:
        os._exit(1 if stop.code else 0)
    os._exit(0)


def parts():
    return {str(file): file.stat().st_mtime_ns for file in Path("killed").rglob("rows-*.parquet")}


begun = time.monotonic()
assert os.waitpid(start(task["whole"]), 0)[1] == 0
whole = time.monotonic() - begun
dice, moments, repeated = random.Random(task["seed"]), [], 0
for words in task["killed"]:
    before = parts()
    child = start(words)
    time.sleep(dice.uniform(0.15, 0.75) * whole)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    after = parts()
    repeated += sum(after.get(file) != moment for file, moment in before.items())
    moments.append(len(after))
before = parts()
assert os.waitpid(start(task["last"]), 0)[1] == 0
after = parts()
repeated += sum(after.get(file) != moment for file, moment in before.items())
Path("told.json").write_text(json.dumps({"moments": moments, "parts": len(after), "repeated": repeated}))
"""
WORDS = ("dataset.size=8", "classifier.width=8", "metrics=fast", "limit=14", "batch_size=1", "steps=300", "pictures=3")
RUN = (*WORDS, "method=gig", "dirs.cache=cache")
SWEEP = ("-m", *WORDS, "method=gig,spi,blur_ig", "trainer=cpu", "dirs.cache=cache")


def on(count: int) -> list[str]:
    return ["trainer.accelerator=cpu", f"trainer.devices={count}", "trainer.strategy=ddp_fork", "hydra.run.dir=killed"]


def values(folder: Path) -> pd.DataFrame:
    tables = [pd.read_parquet(file) for file in sorted(folder.rglob("rows.parquet"))]
    return pd.concat(tables, ignore_index=True).drop(columns=["seconds", "sweep"])


CASES = {
    "one process": ([*RUN, "trainer=cpu", "hydra.run.dir=whole"], [[*RUN, *on(1)]] * 5, [*RUN, *on(1)]),
    "one, two, three": (
        [*RUN, "trainer=cpu", "hydra.run.dir=whole"],
        [[*RUN, *on(n)] for n in (3, 2, 1)],
        [*RUN, *on(2)],
    ),
    "sweep": (
        [*SWEEP, "hydra.sweep.dir=whole"],
        [[*SWEEP, "hydra.sweep.dir=killed"]] * 4,
        [*SWEEP, "hydra.sweep.dir=killed"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_no_row_is_lost_or_repeated(case: str, seed: int, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    whole, killed, last = CASES[case]
    task = json.dumps({"whole": whole, "killed": killed, "last": last, "seed": seed})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    call = subprocess.run(
        [sys.executable, "script.py", task], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=550
    )
    assert call.returncode == 0, call.stdout + call.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert 0 < max(told["moments"]) <= told["parts"], told
    assert told["moments"][0] < told["parts"], "it was killed before it was done"
    assert told["repeated"] == 0, "a finished batch was explained again"
    left, right = values(tmp_path / "whole"), values(tmp_path / "killed")
    assert not right.duplicated(list(KEY)).any()
    pd.testing.assert_frame_equal(left, right, rtol=1e-4, atol=1e-5)
