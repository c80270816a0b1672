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
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffig.attribution import Attributor
from diffig.baselines import Baseline
from diffig.classifiers import Classifier
from diffig.config import build, compose
from diffig.data.module import ImageDataModule
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
DEFAULTS = "consensus or mean"  # of diffig_field at the time, since a trial says only what differs from them
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


class Drawn(NamedTuple):
    """Images `(B, C, H, W)`, their classes and their positions in the set `(B,)`."""

    images: Tensor
    targets: Tensor
    indices: Tensor


def development(pair: str, datamodule: ImageDataModule, classifier: Classifier) -> list[int]:
    """Return the positions of the images that choices are made on, correctly classified, in the seeded order."""
    positions = select(datamodule, classifier, None, only_correct=True, seed=0)
    if pair == "photos":
        apart = set(select(datamodule, classifier, PHOTOS_KEPT_APART, only_correct=False, seed=0))
        positions = [position for position in positions if position in apart]
    return positions


def drawn(datamodule: ImageDataModule, positions: list[int]) -> Drawn:
    """Return the images at `positions`."""
    images, targets, indices = zip(*(datamodule.test_set[position] for position in positions), strict=True)
    return Drawn(torch.stack(images), torch.tensor(targets), torch.tensor(indices))


def judged(attributor: Attributor, baseline: Baseline, batch: Drawn, size: int) -> NDArray[np.float64]:
    """Return what the judges say of an attributor's maps, `(B, len(COLUMNS))`, `size` images at a time."""
    suite, found = judges(), []
    for rows in torch.arange(len(batch.images)).split(size):
        images, targets, indices = (tensor[rows] for tensor in batch)
        integral = attributor.explain(images, target=targets, indices=indices)
        score = ScoreFunction(attributor.score.classifier, attributor.score.objective, attributor.score.chunk_size)
        references = baseline.references(images, None)[0]
        explained = Explained(
            images, integral.attribution, targets, targets, references, score, indices, integral.gap,
            integral.absolute_mass,
        )  # fmt: skip
        measured = suite(explained)
        found.append(torch.stack([measured[metric] for metric in COLUMNS], 1))
    return torch.cat(found).numpy()


def main(pair: str, trials: Path, results: Path, count: int) -> None:
    """Run the trials of a file and add a line for each to the results."""
    base = DEVELOPMENT[pair]
    datamodule, classifier = prepare(compose("evaluate", base))
    batch = drawn(datamodule, development(pair, datamodule, classifier)[:count])
    folder = results.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for trial in trials.read_text().splitlines():
        words = trial.split("#")[0].split()
        name = " ".join(words)
        done = pd.read_csv(results) if results.exists() else pd.DataFrame(columns=["trial", "defaults", "images"])
        same = (done["trial"] == name) & (done["defaults"] == DEFAULTS)
        if not words or (same & (done["images"] >= len(batch.images))).any():
            continue
        cfg = compose("evaluate", base + words)
        attributor = explain_with(cfg, datamodule, classifier)
        start = time.process_time()
        values = judged(attributor, build(cfg.baseline), batch, cfg.batch_size)
        number = len(done)
        np.save(folder / f"{number}.npy", values.astype(np.float32))
        line = {"trial": name, "defaults": DEFAULTS, "images": len(batch.images), "number": number}
        line |= {column: round(float(value), 4) for column, value in zip(COLUMNS.values(), values.mean(0), strict=True)}
        line["mean"] = round(float(values.mean()), 4)
        cost, images = attributor.score.cost, len(batch.images)
        line |= {"backward": cost.backward_images / images, "forward": cost.forward_images / images}
        line["seconds"] = round(time.process_time() - start, 1)
        pd.concat([done, pd.DataFrame([line])]).to_csv(results, index=False)
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 64)
