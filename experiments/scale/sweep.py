"""The folder of a sweep of 4,300 jobs as `diffig-evaluate -m` leaves it, from one finished job, and what so many cost.

    python experiments/scale/sweep.py outputs/scale/sweep --like outputs/scale/one/0 [--done 1.0]
    python experiments/scale/sweep.py outputs/scale/sweep --measure

Every job gets the files of the job it is like, with another identity: 43 methods, 5 data sets, 20 settings (see
generate.py). Of `--done 0.5` the first half is finished, the rest has not begun. `--measure` counts files and times
what grows with their number.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from generate import BASELINES, SEEDS, STEPS

from diffig.cli.sweeps import report
from diffig.config import compose
from diffig.evaluation.duplicate_run import announce, find_duplicate
from diffig.io import write_text

METHODS, DATASETS = 43, 5


def identities() -> list[dict[str, object]]:
    keys = ("method", "dataset", "steps", "baseline", "seed")
    return [
        dict(zip(keys, one, strict=True)) for one in product(range(METHODS), range(DATASETS), STEPS, BASELINES, SEEDS)
    ]


def make(folder: Path, like: Path, share: float) -> None:
    """The folders of the first `share` of the jobs, copies of `like` under other names."""
    tables = {name: pd.read_parquet(like / name) for name in ("rows.parquet", "curves.parquet")}
    config = (like / "config.yaml").read_text()
    jobs = identities()
    for number, job in enumerate(jobs[: round(share * len(jobs))]):
        place, draw = folder / str(number), np.random.default_rng(number)
        shutil.copytree(like, place, dirs_exist_ok=True)
        named = {**job, "method": f"method{job['method']:02d}", "dataset": f"set{job['dataset']}", "variant": ""}
        for name, table in tables.items():
            known = {key: value for key, value in named.items() if key in table}
            moved = table["value"] + 0.01 * int(str(job["method"])) + draw.normal(0, 0.05, len(table))
            table.assign(**known, value=moved).to_parquet(place / name, index=False)
        write_text(place / "config.yaml", f"{config}\n# job {number}\n", durable=False)
        words = [f"{key}={value}" for key, value in named.items() if value]
        write_text(place / ".hydra" / "overrides.yaml", "".join(f"- {word}\n" for word in words), durable=False)
        mark = hashlib.sha256(repr(named).encode()).hexdigest()[:16]
        write_text(place / "fingerprint", mark, durable=False)
        announce(place, mark)


def measure(folder: Path) -> None:
    def said(what: str, start: float, unit: str = "s") -> None:
        print(f"{what}: {time.process_time() - start:.2f} {unit}", flush=True)

    files = [file for file in folder.rglob("*") if file.is_file()]
    jobs = sum(1 for _ in folder.glob("*/status"))
    print(f"{jobs} jobs, {len(files)} files, {sum(file.stat().st_size for file in files) / 1e9:.2f} GB")
    start = time.process_time()
    report(folder)
    said("the sweep's last words, from the status of every job", start)
    start = time.process_time()
    find_duplicate(folder / "new", "none")
    said("a job's look for one that has done the same", start)
    start = time.process_time()
    for seed in range(20):
        compose("evaluate", ["method=ig", "dataset=digits", "classifier=small_cnn", f"seed={seed}"])
    each = (time.process_time() - start) / 20
    print(
        f"composing a job's config, as Hydra does of each before it starts any: {each:.2f} s,"
        f" {each * 4300 / 60:.0f} min of 4,300"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--like", type=Path)
    parser.add_argument("--done", type=float, default=1.0)
    parser.add_argument("--measure", action="store_true")
    asked = parser.parse_args()
    if asked.like:
        make(asked.folder, asked.like, asked.done)
    if asked.measure:
        measure(asked.folder)
