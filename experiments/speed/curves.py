"""What methods cost against steps, image side, batch, candidates and classes: processor time and peak memory.

    MALLOC_MMAP_THRESHOLD_=65536 python experiments/speed/curves.py [--output outputs/speed]

Linux only, and the environment variable, as in growth.py. One thread, random weights, chunks as the package chooses them;
each point is measured once. Writes curves.csv and curves.png; the last lines are one image of 224 pixels, ResNet-50.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
import torchvision
from growth import megabytes
from matplotlib.figure import Figure
from torch import nn

import diffig
from diffig.classifiers import cifar_resnet

METHODS = ("ig", "gig", "diffig_field")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Point(NamedTuple):
    """One measurement: what varies and its value, the rest as usual."""

    varies: str
    value: int
    steps: int = 32
    side: int = 32
    batch: int = 4
    candidates: int = 1
    classes: int = 10
    network: str = "resnet20"


def points() -> Iterator[Point]:
    for value in (16, 32, 64, 128):
        yield Point("steps", value, steps=value)
    for value in (32, 64, 128, 256, 512):
        yield Point("side", value, side=value, batch=1, classes=1000, network="resnet18")
    for value in (1, 4, 16, 64):
        yield Point("batch", value, batch=value)
    for value in (1, 2, 4, 8):
        yield Point("candidates", value, candidates=value)
    for value in (10, 100, 1000, 10000):
        yield Point("classes", value, classes=value)
    yield Point("one image", 224, side=224, batch=1, classes=1000, network="resnet50")


def network_of(point: Point) -> nn.Module:
    if point.network == "resnet20":
        return cifar_resnet(depth=20, num_classes=point.classes)
    net = getattr(torchvision.models, point.network)(weights=None, num_classes=point.classes)
    return diffig.Classifier(net, MEAN, STD, num_classes=point.classes).eval()


def cost(name: str, point: Point) -> dict[str, object]:
    """Seconds and images of one image and candidate's worth of work, and megabytes above what was held before."""
    torch.manual_seed(0)
    score = diffig.ScoreFunction(network_of(point))
    images, targets = torch.rand(point.batch, 3, point.side, point.side), torch.zeros(point.batch, dtype=torch.long)
    usual = diffig.from_config(name, score, ["steps=16"])
    usual.attribute(images[:1, :, : min(64, point.side), : min(64, point.side)], target=targets[:1])  # libraries load
    options = [f"steps={point.steps}"] + ([f"n_paths={point.candidates}"] if name == "diffig_field" else [])
    method = diffig.from_config(name, score, options)
    score.reset_cost()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    held, start = megabytes("VmRSS"), time.process_time()
    method.attribute(images, target=targets)
    seconds, peak = time.process_time() - start, megabytes("VmHWM") - held
    forwards, backwards = (int(count / point.batch) for count in score.cost)
    found = {"seconds": round(seconds / point.batch, 4), "peak_mb": round(peak, 1)}
    return {"method": name, **point._asdict(), **found, "forward_images": forwards, "backward_images": backwards}


def draw(table: pd.DataFrame, file: Path) -> None:
    shown = [name for name in dict.fromkeys(table["varies"]) if name != "one image"]
    figure = Figure(figsize=(2.6 * len(shown), 5), layout="constrained")
    grid = figure.subplots(2, len(shown), sharex="col", squeeze=False)
    for column, varies in enumerate(shown):
        for row, (kind, title) in enumerate((("seconds", "s / image"), ("peak_mb", "peak, MB"))):
            axes = grid[row, column]
            for name, own in table[table["varies"] == varies].groupby("method", sort=False):
                axes.plot(own["value"], own[kind], "o-", ms=4, label=name)
            axes.set_xscale("log", base=10 if varies == "classes" else 2)
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
            axes.set_ylabel(title if column == 0 else "")
        grid[1, column].set_xlabel(varies)
    grid[0, 0].legend(frameon=False)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/speed"))
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    lines: list[dict[str, object]] = []
    for point in points():
        for name in METHODS if point.varies != "candidates" else ("diffig_field",):
            lines.append(cost(name, point))
            said = (f"{key} {lines[-1][key]}" for key in ("seconds", "peak_mb", "forward_images", "backward_images"))
            print(f"{point.varies} {point.value} {name}: {', '.join(said)}", flush=True)
    table = pd.DataFrame(lines)
    table.to_csv(asked.output / "curves.csv", index=False)
    draw(table, asked.output / "curves.png")
