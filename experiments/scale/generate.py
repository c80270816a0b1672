"""Folders of a finished sweep, as `diffig-evaluate` leaves them, with rows that are drawn and not measured.

    python experiments/scale/generate.py outputs/scale --images 29        # 4,300 jobs, 997,600 rows
    python experiments/scale/generate.py outputs/scale --images 291       # 10,010,400 rows

43 methods, 5 data sets, 20 settings of each (5 numbers of steps, 2 baselines, 2 seeds), 8 metrics. Every method has a
quality, every image a difficulty, and a value is their sum with noise; so a report has something to find.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

METRICS = ("diffid", "insertion", "deletion", "mufidelity", "infidelity", "sparseness", "gap_abs", "waste_ratio")
STEPS, BASELINES, SEEDS = (8, 16, 32, 64, 128), ("black", "blur"), (0, 1)


def rows_of(method: int, dataset: int, steps: int, baseline: str, seed: int, images: int) -> pd.DataFrame:
    """The rows of one job."""
    draw = np.random.default_rng([method, dataset, steps, len(baseline), seed])
    hard = np.random.default_rng(dataset).normal(0, 0.2, images)
    rows = pd.DataFrame({"image_index": np.repeat(np.arange(images), len(METRICS)), "metric": list(METRICS) * images})
    values = 0.01 * method + np.log2(steps) / 50 + np.repeat(hard, len(METRICS)) + draw.normal(0, 0.1, len(rows))
    each = dict.fromkeys(("label", "prediction"), np.repeat(np.arange(images) % 10, len(METRICS)))
    fixed = {
        "dataset": f"set{dataset}", "classifier": "resnet", "objective": "probability", "baseline": baseline,
        "method": f"method{method:02d}", "n_paths": 1, "steps": steps, "seed": seed, "status": "ok", "variant": "",
        "protocol": "", "aggregation": "mean", "credit": "midpoint", "rule": "midpoint", "nodes": "uniform",
        "seconds": steps / 1000, "forward_images": steps + 2, "backward_images": steps,
    }  # fmt: skip
    gaps = np.repeat(draw.normal(0, 0.1 / steps, images), len(METRICS))
    return rows.assign(value=values, gap=gaps, **each, **fixed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in (("images", 29), ("methods", 43), ("datasets", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    jobs = [
        (method, dataset, steps, baseline, seed)
        for method in range(asked.methods)
        for dataset in range(asked.datasets)
        for steps in STEPS
        for baseline in BASELINES
        for seed in SEEDS
    ]
    total = 0
    for number, job in enumerate(jobs):
        folder = asked.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        rows = rows_of(*job, asked.images)
        rows.to_parquet(folder / "rows.parquet", index=False)
        total += len(rows)
    print(f"{len(jobs)} jobs, {total} rows")


if __name__ == "__main__":
    main()
