"""Draw what the trainings of a folder of parts came to: picture.py FOLDER leaves FOLDER/training.png.

Above, the losses of autoencoder, path model and networks; below, how well each network's prediction goes with the truth
on held-out images, over all paths and between paths of one image, at four noise levels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NETWORKS = ("faithfulness", "complexity", "faithfulness_centred", "complexity_centred")


def losses(axis: plt.Axes, folder: Path) -> None:
    """Draw training and validation loss over steps."""
    file = folder / "log" / "metrics.csv"
    axis.set_title(folder.name.replace("_", " "), fontsize=9)
    if not file.is_file():
        axis.text(0.5, 0.5, "no log", ha="center")
        return
    table = pd.read_csv(file)
    for name, style in (("train/loss", {"lw": 0.8, "alpha": 0.7}), ("val/loss", {"marker": "o", "ms": 2.5})):
        if name in table:
            kept = table[["step", name]].dropna()
            axis.plot(kept["step"], kept[name], label=name, **style)
    axis.legend(frameon=False, fontsize=7)
    axis.set_xlabel("optimiser step", fontsize=8)


def correlations(axis: plt.Axes, folder: Path) -> None:
    """Draw correlation with held-out labels over noise levels."""
    found = json.loads((folder / "correlation.json").read_text())
    axis.plot(found["times"], found["pearson"], marker="o", label="all held-out paths")
    axis.plot(found["times"], found["within_image"], marker="s", label="between paths of one image")
    axis.axhline(0, color="0.7", lw=0.8)
    axis.set_ylim(-0.3, 1)
    axis.set_title(f"{folder.name.replace('_', ' ')}: correlation", fontsize=9)
    axis.set_xlabel("noise time", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def main(folder: Path) -> None:
    """Draw `folder/training.png`."""
    there = [folder / name for name in NETWORKS if (folder / name / "correlation.json").is_file()]
    parts = [folder / "autoencoder", folder / "path_model", *there]
    columns = max(len(parts), 2)
    figure, axes = plt.subplots(2, columns, figsize=(2.6 * columns, 5), squeeze=False)
    for axis, part in zip(axes[0], parts, strict=False):
        losses(axis, part)
    for axis in axes[1, :2]:
        axis.axis("off")
    for axis, network in zip(axes[1, 2:], there, strict=False):
        correlations(axis, network)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(folder / "training.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
