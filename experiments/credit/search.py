"""Trials of methods on development images: one line of words of the command line each, judged by the same metrics.

    python experiments/credit/search.py cifar10|photos trials.txt results.csv [images]

The images are CIFAR-10's training images, or the first 100 photographs of the seeded order; no table of results uses
them. A trial that the results have already, with as many images, is not run again. Each image's values are kept beside
the table, so that trials are compared in pairs.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from diffig.config import build, compose
from diffig.evaluation.preparation import explain_with, prepare
from diffig.evaluation.selection import select
from diffig.metrics import DiffID, Explained, InsertionDeletion, MetricSuite
from diffig.scores import ScoreFunction

DATA = os.environ["DIFFIG_SHARED_DATA"]
DEVELOPMENT = {
    "cifar10": ["experiment=cifar10", f"dataset.path={DATA}/cifar10_train_lossless.npz", "batch_size=32"],
    "photos": ["experiment=photos", "batch_size=8"],
}
COLUMNS = {
    "diffid": "D",
    "diffid_pixel": "Dp",
    "diffid_pixel_rank_blur": "grain",
    "diffid_blur": "blur",
    "insertion_minus_deletion": "RISE",
    "mas": "MAS",
}
DEFAULTS = "consensus"  # of diffig_field at the time, since a trial says only what differs from them
PHOTOS_KEPT_APART = 100  # of the seeded order; judge.sh skips them


def judges() -> MetricSuite:
    """Six of the eight columns; ROAD and symmetric relevance gain are left for the judgement."""
    return MetricSuite(
        {
            "diffid": DiffID(readouts=["hard"]),
            "grain": DiffID(units=["pixel"], readouts=["hard"], rank_blur=0.06),
            "blur": DiffID(units=["element"], readouts=["hard"], fill="blur"),
            "rise": InsertionDeletion(n_steps=28, mas=True),
        }
    )


def main(pair: str, trials: Path, results: Path, count: int) -> None:
    """Run the trials of a file and add a line for each to the results."""
    base = DEVELOPMENT[pair]
    datamodule, classifier = prepare(compose("evaluate", base))
    positions = select(datamodule, classifier, None, only_correct=True, seed=0)
    if pair == "photos":
        apart = set(select(datamodule, classifier, PHOTOS_KEPT_APART, only_correct=False, seed=0))
        positions = [position for position in positions if position in apart]
    positions = positions[:count]
    samples = [datamodule.test_set[position] for position in positions]
    images = torch.stack([image for image, _, _ in samples])
    targets, indices = (torch.tensor([sample[place] for sample in samples]) for place in (1, 2))
    suite, folder = judges(), results.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for trial in trials.read_text().splitlines():
        words = trial.split("#")[0].split()
        name = " ".join(words)
        done = pd.read_csv(results) if results.exists() else pd.DataFrame(columns=["trial", "defaults", "images"])
        same = (done["trial"] == name) & (done["defaults"] == DEFAULTS)
        if not words or (same & (done["images"] >= len(images))).any():
            continue
        cfg = compose("evaluate", base + words)
        attributor = explain_with(cfg, datamodule, classifier)
        start, size, found = time.process_time(), cfg.batch_size, []
        for rows in torch.arange(len(images)).split(size):
            integral = attributor.explain(images[rows], target=targets[rows], indices=indices[rows])
            baselines = build(cfg.baseline).references(images[rows], None)[0]
            score = ScoreFunction(classifier, attributor.score.objective, attributor.score.chunk_size)
            explained = Explained(
                images[rows], integral.attribution, targets[rows], targets[rows], baselines, score, indices[rows],
                integral.gap, integral.absolute_mass,
            )  # fmt: skip
            measured = suite(explained)
            found.append(torch.stack([measured[metric] for metric in COLUMNS], 1))
        values = torch.cat(found).numpy()
        number = len(done)
        np.save(folder / f"{number}.npy", values.astype(np.float32))
        line = {"trial": name, "defaults": DEFAULTS, "images": len(images), "number": number}
        line |= {column: round(float(value), 4) for column, value in zip(COLUMNS.values(), values.mean(0), strict=True)}
        line["mean"] = round(float(values.mean()), 4)
        cost = attributor.score.cost
        line |= {"backward": cost.backward_images / len(images), "forward": cost.forward_images / len(images)}
        line["seconds"] = round(time.process_time() - start, 1)
        pd.concat([done, pd.DataFrame([line])]).to_csv(results, index=False)
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 64)
