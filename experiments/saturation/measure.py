"""Measure where the straight line spends its attribution and where the score changes: measure.py SCALE FOLDER.

SCALE is a file of conf/scale (small, cifar10). It leaves FOLDER/tenths.csv, what each tenth of the line holds, and
FOLDER/parts.csv, what the parts on either side of the split are worth as explanations.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffig.attribution import SplitIG
from diffig.config import compose
from diffig.evaluation.run import prepare
from diffig.evaluation.selection import select
from diffig.evaluation.statistics import bootstrap_interval
from diffig.metrics import DiffID, Explained, Sensitivity
from diffig.paths import StraightPath
from diffig.scores import ScoreFunction

IMAGES, STEPS, TENTHS = 64, 30, 10
PHIS = (0.5, 0.8, 0.9, 0.95)
METRICS = (
    DiffID(units=("element",), readouts=("hard",)),
    # The paper's area between perturbation curves: signed order, black pixels, response relative to the clean one.
    DiffID(units=("element",), readouts=("soft",), signed=True, fill="black"),
    Sensitivity(radius=0.05, n_draws=5),
)
ABPC = "diffid_signed_soft_black"


class Remembering(ScoreFunction):
    """A score that never computes a gradient twice: all parts and thresholds look at the same points."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.known: dict[bytes, tuple[Tensor, Tensor]] = {}

    def value_and_grad(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and gradients as `ScoreFunction` does, from memory where the images are known."""
        key = hashlib.sha256(images.contiguous().numpy().tobytes() + targets.contiguous().numpy().tobytes()).digest()
        if key not in self.known:
            self.known[key] = super().value_and_grad(images, targets)
        return self.known[key]


def tenths(score: ScoreFunction, images: Tensor, targets: Tensor) -> pd.DataFrame:
    """Return the share of mass and of the score's change in each tenth of the line, means over images."""
    path = StraightPath().generate(images, torch.zeros_like(images), targets, score)
    mass = torch.zeros(len(images), TENTHS)
    for cell in range(STEPS):
        points = path.at(torch.full((len(images), 1), (cell + 0.5) / STEPS))[:, 0]
        gradient = score.value_and_grad(points, targets)[1]
        mass[:, cell * TENTHS // STEPS] += (gradient * images).abs().flatten(1).sum(1) / STEPS
    edges = [path.at(torch.full((len(images), 1), k / TENTHS))[:, 0] for k in range(TENTHS + 1)]
    change = torch.stack([score.score(edge, targets) for edge in edges], 1).diff(dim=1)
    return pd.DataFrame(
        {
            "tenth": range(1, TENTHS + 1),
            "mass_share": (mass / mass.sum(1, keepdim=True)).mean(0).numpy(),
            # A ratio of means: single images whose score hardly changes would drown the mean of ratios.
            "change_share": (change.mean(0) / change.sum(1).mean()).numpy(),
            "movement_share": (change.abs() / change.abs().sum(1, keepdim=True)).mean(0).numpy(),
        }
    )


def parts(score: ScoreFunction, explained: dict[str, Any]) -> pd.DataFrame:
    """Return one row for each threshold and part: what it holds and what metrics say of it."""
    rows, full = [], {}
    images, targets, baselines = explained["images"], explained["targets"], explained["baselines"]
    for part, phi in [("full", 0.5), *((part, phi) for phi in PHIS for part in ("left", "right"))]:
        method = SplitIG(score, part=part, phi=phi, steps=STEPS)
        halves = method.split(images, baselines, targets)
        integral = method.explain(images, 0.0, targets)
        judged = Explained(
            **explained,
            attributions=integral.attribution,
            gap=integral.gap,
            score=score,
            explain=lambda x, t, i, *, seed_shift=0, classifier=None, method=method: method.attribute(x, 0.0, t),
        )
        values = {name: value.numpy() for metric in METRICS for name, value in metric(judged).items()}
        values["abpc"] = values.pop(ABPC)
        full = full or values
        norms = [half.attribution.flatten(1).abs().sum(1) for half in (halves.left, halves.right)]
        changes = [half.attribution.flatten(1).sum(1) - half.gap for half in (halves.left, halves.right)]
        row: dict[str, Any] = {"part": part, "phi": "" if part == "full" else phi}
        if part != "full":
            row["split"] = halves.position.mean().item()
            row["right_mass_share"] = halves.mass_share.mean().item()
            row["right_map_share"] = (norms[1] / (norms[0] + norms[1])).mean().item()
            row["right_change_share"] = (changes[1].mean() / (changes[0] + changes[1]).mean()).item()
        for name in ("diffid", "abpc", "sensitivity_max"):
            finite = np.isfinite(values[name])
            row[name] = values[name][finite].mean()
            if part != "full":
                both = finite & np.isfinite(full[name])
                row[f"{name}_minus_full"] = (values[name] - full[name])[both].mean()
                low, high = bootstrap_interval((values[name] - full[name])[both])
                row |= {f"{name}_low": low, f"{name}_high": high}
        row["never_crossed"] = int((halves.position == 1).sum())
        rows.append(row)
    return pd.DataFrame(rows)


def main(scale: str, folder: Path) -> None:
    """Measure both objectives at one scale."""
    cfg = compose("evaluate", [f"scale={scale}", "trainer=cpu"])
    datamodule, classifier = prepare(cfg)
    classifier.eval()
    positions = select(datamodule, classifier, IMAGES)
    samples = [datamodule.test_set[position] for position in positions]
    images, targets = torch.stack([image for image, _, _ in samples]), torch.tensor([label for _, label, _ in samples])
    explained = {"images": images, "targets": targets, "labels": targets, "baselines": torch.zeros_like(images)}
    explained["indices"] = torch.tensor([index for _, _, index in samples])
    tables: dict[str, list[pd.DataFrame]] = {"tenths": [], "parts": []}
    for objective in ("probability", "logit"):
        score = Remembering(classifier, objective)
        for name, table in (("tenths", tenths(score, images, targets)), ("parts", parts(score, explained))):
            table.insert(0, "dataset", datamodule.name)
            table.insert(1, "objective", objective)
            tables[name].append(table)
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in tables.items():
        pd.concat(found).to_csv(folder / f"{name}.csv", index=False, float_format="%.4f")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
