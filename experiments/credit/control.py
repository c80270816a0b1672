"""What does the prior bring? DiffIG's own credit, consensus and widths on candidates that come from elsewhere.

    python experiments/credit/control.py cifar10|photos|digits|mnist results.csv [images] [skip]

Each image gets four candidates of eight gradients. They are put together as `method=diffig_field` puts its samples
together, and differ in nothing but where their progress comes from:

    prior        the trained prior
    schedule     the schedule four times, no variation
    overlaps     the schedule with four overlaps, made by hand
    powers       the schedule with four powers, made by hand
    exact        stick-breaking drawn exactly, what the prior was trained on
    single_cells the same, every place on its own
    white        a field of independent normal numbers, no distribution of paths at all

The images are the judged ones (`judge.sh`). Each image's values are kept beside the table as `<name>.npy`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from search import COLUMNS, judges
from torch import Tensor

from diffig.attribution import FieldDiffIG
from diffig.config import build, compose
from diffig.evaluation.preparation import explain_with, prepare
from diffig.evaluation.selection import select
from diffig.evaluation.statistics import bootstrap_interval
from diffig.metrics import Explained
from diffig.paths import AlphaPath, PathGenerator, Schedule, StickBreakingPath
from diffig.paths.generator import ExplainBatch, candidates
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

DATA = os.environ["DIFFIG_SHARED_DATA"]
SETS = {
    "cifar10": ["experiment=cifar10", "batch_size=50"],
    "photos": ["experiment=photos", "batch_size=8"],
    "digits": ["dataset=digits", "classifier=small_cnn", "batch_size=50"],
    "mnist": [
        "dataset=mnist",
        f"dataset.path={DATA}",
        "dataset.test_images=mnist_t10k-images-idx3-ubyte",
        "dataset.test_labels=mnist_t10k-labels-idx1-ubyte",
        "classifier=mnist_vit",
        f"classifier.checkpoint={DATA}/mnist_vit.safetensors",
        "batch_size=50",
    ],
}
OVERLAPS = [Schedule(overlap=overlap) for overlap in (0.1, 0.3, 0.5, 0.7)]
POWERS = [Schedule(power=power) for power in (0.7, 0.9, 1.1, 1.4)]


class Drawn(PathGenerator):
    """Candidates in DiffIG's field space whose whitened fields or schedules come from `draw`."""

    def __init__(self, like: FieldDiffIG, draw: Callable[[Drawn, Streams, int, int], Tensor]) -> None:
        self.guidance, self.learned, self.space = like.field.guidance, like.field.learned, like.space
        self.concentration, self.cell_size, self.draw = float(like.field.concentration), like.field.cell_size, draw

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams, region: Tensor | None = None) -> AlphaPath:
        """Return the paths that stand for what was drawn."""
        alpha = self.draw(self, streams, len(batch.images), n_paths).to(batch.images)
        images, baselines = candidates(batch.images, n_paths), candidates(batch.baselines, n_paths)
        return AlphaPath(images, baselines, alpha, self.space.basis.components(images - baselines))

    def alpha(self, field: Tensor) -> Tensor:
        """Return progress along the path `(N, T + 1, bands, h, w)` of whitened fields `(N, bands, T - 1, h, w)`."""
        progress = self.space.decode(field, torch.full((len(field),), self.concentration))
        alpha = self.space.alpha(progress, torch.linspace(0, 1, self.space.path_segments + 1)).clone()
        alpha[:, -1] = 1
        return alpha


def exact(cell_size: int | None) -> Callable[..., Tensor]:
    """Return what draws stick-breaking fields exactly, every band on its own."""

    def draw(drawn: Drawn, streams: Streams, n_images: int, n_paths: int) -> Tensor:
        law = StickBreakingPath(drawn.space.n_segments, drawn.concentration, cell_size or drawn.cell_size, "shared")
        bands, grid = drawn.space.basis.n_bands, drawn.space.grid
        rngs = (streams.numpy(image, path, "control") for image in range(n_images) for path in range(n_paths))
        progress = [np.stack([law.progress(rng, 1, *grid)[:, 0] for _ in range(bands)]) for rng in rngs]
        times = torch.linspace(0, 1, drawn.space.path_segments + 1)
        alpha = drawn.space.alpha(torch.from_numpy(np.stack(progress)), times).clone()
        alpha[:, -1] = 1
        return alpha

    return draw


def white(drawn: Drawn, streams: Streams, n_images: int, n_paths: int) -> Tensor:
    """Fields of independent numbers with the prior's mean and variance."""
    return drawn.alpha(streams.normal(drawn.space.shape, n_paths, "control").float())


def scheduled(schedules: list[Schedule]) -> Callable[..., Tensor]:
    """Return what moves candidate `p` along schedule `p`."""

    def draw(drawn: Drawn, streams: Streams, n_images: int, n_paths: int) -> Tensor:
        times = torch.linspace(0, 1, 64 + 1)
        clocks = torch.stack([schedules[path].clock(times, drawn.space.basis.n_bands) for path in range(n_paths)])
        clocks[:, -1] = 1
        return clocks.repeat(n_images, 1, 1)[..., None, None]

    return draw


CONTROLS = {
    "prior": None,
    "schedule": scheduled([Schedule()] * 4),
    "overlaps": scheduled(OVERLAPS),
    "powers": scheduled(POWERS),
    "exact": exact(None),
    "single_cells": exact(1),
    "white": white,
}


def main(pair: str, results: Path, count: int, skip: int) -> None:
    """Judge every kind of candidates on the same images and write means, and the prior's lead over each."""
    base = SETS[pair]
    cfg = compose("evaluate", base)
    datamodule, classifier = prepare(cfg)
    positions = select(datamodule, classifier, count, only_correct=True, seed=0, skip=skip)
    samples = [datamodule.test_set[position] for position in positions]
    images = torch.stack([image for image, _, _ in samples])
    targets, indices = (torch.tensor([sample[place] for sample in samples]) for place in (1, 2))
    suite, folder, found = judges(), results.with_suffix(""), {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in CONTROLS.items():
        kept = folder / f"{name}.npy"
        if not kept.exists():
            attributor = explain_with(cfg, datamodule, classifier)
            if draw is not None:
                attributor.field = Drawn(attributor, draw)
            values = []
            for rows in torch.arange(len(images)).split(cfg.batch_size):
                integral = attributor.explain(images[rows], target=targets[rows], indices=indices[rows])
                baselines = build(cfg.baseline).references(images[rows], None)[0]
                score = ScoreFunction(classifier, attributor.score.objective, attributor.score.chunk_size)
                explained = Explained(
                    images[rows], integral.attribution, targets[rows], targets[rows], baselines, score, indices[rows],
                    integral.gap, integral.absolute_mass,
                )  # fmt: skip
                measured = suite(explained)
                values.append(torch.stack([measured[metric] for metric in COLUMNS], 1))
            np.save(kept, torch.cat(values).numpy())
        found[name] = np.load(kept)
        print(name, found[name].mean(0).round(3), found[name].mean().round(3), flush=True)
    lines = []
    for name, values in found.items():
        lead = found["prior"] - values
        leads = (*lead.T, lead.mean(1))
        line = {"candidates": name, "images": len(values)}
        for column, ahead, own in zip(
            (*COLUMNS.values(), "mean"), leads, (*values.mean(0), values.mean()), strict=True
        ):
            line[column] = round(float(own), 4)
            low, high = bootstrap_interval(ahead)
            line[f"prior minus this, {column}"] = f"{ahead.mean():+.3f} [{low:.3f}, {high:.3f}]"
        lines.append(line)
    pd.DataFrame(lines).to_csv(results, index=False)


if __name__ == "__main__":
    pair, results, *rest = sys.argv[1:]
    main(pair, Path(results), int(rest[0]) if rest else 300, int(rest[1]) if len(rest) > 1 else 0)
