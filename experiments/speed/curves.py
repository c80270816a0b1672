"""What methods cost against steps, image side, batch, candidates and classes: processor time and peak memory.

    MALLOC_MMAP_THRESHOLD_=65536 python experiments/speed/curves.py [--short] [--only side ...] [--output outputs/speed]

Linux only, and the environment variable, as in growth.py. One thread, random weights, chunks as the package chooses
them; each point is measured once, in seconds of this process's own work, which others on the machine change little.
Writes curves.csv, in which points of another call stay, and curves.png. `resnet50` is one image of 224 pixels.
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

METHODS = ("ig", "gig", "geodesic_ig", "diffig_field")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Point(NamedTuple):
    """One measurement: what varies and its value, the rest as usual."""

    varies: str
    value: int
    steps: int = 32
    side: int = 32
    batch: int = 1
    candidates: int = 1
    classes: int = 10
    network: str = "resnet20"


VALUES = {
    "steps": (16, 32, 64, 128, 256),
    "side": (32, 64, 128, 256, 512),
    "batch": (1, 4, 16, 64),
    "candidates": (1, 2, 4, 8),
    "classes": (10, 1000, 10000),
    "resnet50": (224,),
}
NETWORKS = {
    "side": {"network": "mobilenet_v3_small", "classes": 1000},
    "resnet50": {"network": "resnet50", "classes": 1000, "side": 224},
}


def points(varies: str, short: bool) -> Iterator[Point]:
    """Yield what is measured; the first two values where it has to be short."""
    for value in VALUES[varies][: 2 if short else None]:
        own = {} if varies == "resnet50" else {varies: value}
        yield Point(varies, value, **{**NETWORKS.get(varies, {}), **own})  # type: ignore[arg-type]


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
    score.value_and_grad(images[:1], targets[:1])  # libraries load
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
    shown = [name for name in VALUES if name != "resnet50" and name in set(table["varies"])]
    figure = Figure(figsize=(2.4 * len(shown), 5), layout="constrained")
    grid = figure.subplots(2, len(shown), sharex="col", sharey="row", squeeze=False)
    for column, varies in enumerate(shown):
        for row, (kind, title) in enumerate((("seconds", "s / image"), ("peak_mb", "peak, MB"))):
            axes = grid[row, column]
            for number, name in enumerate(METHODS):
                own = table[(table["varies"] == varies) & (table["method"] == name)]
                axes.plot(own["value"], own[kind], "o-", ms=4, color=f"C{number}", label=name)
            axes.set_xscale("log", base=10 if varies == "classes" else 2)
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
            axes.set_ylabel(title if column == 0 else "")
        grid[1, column].set_xlabel(varies)
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=len(METHODS)
    )
    figure.savefig(file, dpi=110)


def measured(file: Path, only: list[str], short: bool) -> pd.DataFrame:
    """The table so far, after each point written; what is asked for takes the place of what was there."""
    table = pd.read_csv(file) if file.is_file() else pd.DataFrame({"varies": []})
    table = table[~table["varies"].isin(only)]
    for varies in only:
        for point in points(varies, short):
            for name in METHODS if varies != "candidates" else ("diffig_field",):
                line = cost(name, point)
                table = pd.concat([table, pd.DataFrame([line])], ignore_index=True)
                table.to_csv(file, index=False)
                said = (f"{key} {line[key]}" for key in ("seconds", "peak_mb", "forward_images", "backward_images"))
                print(f"{varies} {point.value} {name}: {', '.join(said)}", flush=True)
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/speed"))
    parser.add_argument("--short", action="store_true", help="two values of each")
    parser.add_argument("--only", nargs="+", choices=VALUES, default=list(VALUES), help="what varies")
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    draw(measured(asked.output / "curves.csv", asked.only, asked.short), asked.output / "curves.png")
