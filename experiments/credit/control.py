"""What does the prior bring? DiffIG's own credit, consensus and widths on candidates that come from elsewhere.

    python experiments/credit/control.py cifar10|photos|digits|mnist results.csv [images] [skip] [words...]

Each image gets four candidates of eight gradients, or what a word with "=" in it asks of the command line, as
`steps=128 guidance.proposals=16`. They are put together as `method=diffig_field` puts its samples together, and differ
in nothing but where their progress comes from:

    prior        the trained prior
    finer_prior  the same in 40 denoising steps instead of 10
    schedule     the schedule for every candidate, no variation
    overlaps     the schedule with four overlaps, made by hand, or with sixteen (`sixteen_overlaps`)
    powers       the schedule with four powers, made by hand
    windows      the schedule with an overlap and a power drawn for each path
    exact        stick-breaking drawn exactly, what the prior was trained on
    exact_wide   the same with concentration 1, exact_narrow with 5
    both         exact stick-breaking in drawn windows
    single_cells exact stick-breaking, every place on its own
    white        a field of independent normal numbers, no distribution of paths at all

Without names all of them are judged, and the first named is compared with the rest. The images are the judged ones
(`judge.sh`), or with `cifar10_development` and `photos_development` those of `search.py`. Each image's values are kept
beside the table as `<name>.npy`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from compare import compared
from search import DEVELOPMENT, development, drawn, judged
from torch import Tensor

from diffig.config import build, compose
from diffig.evaluation.preparation import explain_with, prepare
from diffig.evaluation.selection import select
from diffig.method import FieldPath
from diffig.method.field.space import FieldSpace
from diffig.paths import AlphaPath, PathGenerator, Schedule, StickBreakingPath
from diffig.paths.generator import ExplainBatch, candidates
from diffig.randomness import Streams

DATA = os.environ["DIFFIG_SHARED_DATA"]
SETS = {
    "cifar10": ["experiment=cifar10", "batch_size=50"],
    "photos": ["experiment=photos", "batch_size=8"],
    **{f"{pair}_development": words for pair, words in DEVELOPMENT.items()},
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
Progress = Callable[[FieldPath, Streams, int, int], Tensor]  # image, path -> (bands, T + 1, h, w) on own clocks
Windows = Callable[[Streams, int, int], Schedule]  # image, path -> when each band moves


class DrawnPath(PathGenerator):
    """Candidates in DiffIG's field space whose progress and windows come from elsewhere than the prior."""

    def __init__(self, like: FieldPath, progress: Progress, windows: Windows) -> None:
        self.like, self.progress, self.windows = like, progress, windows
        self.guidance, self.learned, self.space = like.guidance, like.learned, like.space

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams, region: Tensor | None = None) -> AlphaPath:
        """Return the paths that stand for what was drawn."""
        times, alphas = torch.linspace(0, 1, self.space.path_segments + 1), []
        for image, path in product(range(len(batch.images)), range(n_paths)):
            own = FieldSpace(self.space.basis, self.windows(streams, image, path), self.space.n_segments)
            alphas.append(own.alpha(self.progress(self.like, streams, image, path)[None], times))
        alpha = torch.cat(alphas).to(batch.images)
        alpha[:, -1] = 1
        images, baselines = candidates(batch.images, n_paths), candidates(batch.baselines, n_paths)
        return AlphaPath(images, baselines, alpha, self.space.basis.components(images - baselines))


def straight(like: FieldPath, streams: Streams, image: int, path: int) -> Tensor:
    """Every place at the pace of its band's clock."""
    clock = torch.linspace(0, 1, like.space.n_segments + 1)[None, :, None, None]
    return clock.expand(like.space.basis.n_bands, -1, *like.space.grid)


def exact(cell_size: int | None = None, concentration: float | None = None) -> Progress:
    """Return what draws stick-breaking fields exactly, every band on its own."""

    def draw(like: FieldPath, streams: Streams, image: int, path: int) -> Tensor:
        asked = concentration or float(like.concentration)  # type: ignore[arg-type]
        law = StickBreakingPath(like.space.n_segments, asked, cell_size or like.cell_size, "shared")
        rng = streams.numpy(image, path, "control")
        fields = [law.progress(rng, 1, *like.space.grid)[:, 0] for _ in range(like.space.basis.n_bands)]
        return torch.from_numpy(np.stack(fields))

    return draw


def white(like: FieldPath, streams: Streams, image: int, path: int) -> Tensor:
    """Fields of independent numbers with the prior's mean and variance."""
    field = torch.from_numpy(streams.numpy(image, path, "control").standard_normal(like.space.shape, np.float32))
    return like.space.decode(field, torch.tensor(float(like.concentration)))  # type: ignore[arg-type]


def listed(*schedules: Schedule) -> Windows:
    """Return what moves candidate `p` along schedule `p`, and on from the first where there are more."""
    return lambda streams, image, path: schedules[path % len(schedules)]


def some(streams: Streams, image: int, path: int) -> Schedule:
    """An overlap from 0 to .8 and a power from .7 to 1.4, drawn for each path."""
    overlap, power = streams.numpy(image, path, "windows").random(2)
    return Schedule(overlap=0.8 * overlap, power=2 ** (power - 0.5))


DEFAULT = listed(Schedule())
CONTROLS: dict[str, tuple[Progress, Windows] | int] = {  # or the prior, in so many denoising steps
    "prior": 10,
    "finer_prior": 40,
    "schedule": (straight, DEFAULT),
    "overlaps": (straight, listed(*(Schedule(overlap=overlap) for overlap in (0.1, 0.3, 0.5, 0.7)))),
    "sixteen_overlaps": (straight, listed(*(Schedule(overlap=0.05 * (overlap + 1)) for overlap in range(16)))),
    "powers": (straight, listed(*(Schedule(power=power) for power in (0.7, 0.9, 1.1, 1.4)))),
    "windows": (straight, some),
    "exact": (exact(), DEFAULT),
    "exact_wide": (exact(concentration=1), DEFAULT),
    "exact_narrow": (exact(concentration=5), DEFAULT),
    "both": (exact(), some),
    "single_cells": (exact(1), DEFAULT),
    "white": (white, DEFAULT),
}


def main(pair: str, results: Path, count: int, skip: int, words: list[str]) -> None:
    """Judge every kind of candidates on the same images and write means, and the first one's lead over each."""
    names = [word for word in words if "=" not in word] or list(CONTROLS)
    cfg = compose("evaluate", SETS[pair] + [word for word in words if "=" in word])
    datamodule, classifier = prepare(cfg)
    if pair.endswith("_development"):
        positions = development(pair.removesuffix("_development"), datamodule, classifier)[skip:][:count]
    else:
        positions = select(datamodule, classifier, count, only_correct=True, seed=0, skip=skip)
    batch, folder, found = drawn(datamodule, positions), results.with_suffix(""), {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        kept = folder / f"{name}.npy"
        if not kept.exists():
            attributor, control = explain_with(cfg, datamodule, classifier), CONTROLS[name]
            if isinstance(control, int):
                attributor.field.sample_steps = control
            else:
                attributor.field = DrawnPath(attributor.field, *control)
            np.save(kept, judged(attributor, build(cfg.baseline), batch, cfg.batch_size))
        found[name] = np.load(kept)
        print(name, found[name].mean(0).round(3), found[name].mean().round(4), flush=True)
    compared(found).to_csv(results, index=False)


if __name__ == "__main__":
    pair, results, *rest = sys.argv[1:]
    main(pair, Path(results), int(rest[0]) if rest else 300, int(rest[1]) if len(rest) > 1 else 0, rest[2:])
