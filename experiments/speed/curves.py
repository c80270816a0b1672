"""What methods cost against steps, image side, batch, candidates and classes: processor time and peak memory.

    MALLOC_MMAP_THRESHOLD_=65536 python experiments/speed/curves.py [--short] [--output outputs/speed]

Linux only, and the environment variable, as in growth.py. One thread, random weights, chunks as the package chooses
them; each point is measured once. Writes curves.csv and curves.png. Last comes one image of 224 pixels through a
ResNet-50: IG is measured, the other methods are what their passes cost, of gradients and forwards timed by themselves.
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
    batch: int = 1
    candidates: int = 1
    classes: int = 10
    network: str = "resnet20"


def points(short: bool) -> Iterator[Point]:
    values = {"steps": (16, 32, 64), "side": (32, 64, 128, 256, 512), "batch": (1, 4, 16), "candidates": (1, 2, 4)}
    few = {"steps": (16, 32, 64), "side": (32, 128, 256), "batch": (1, 4), "candidates": (1, 2)}
    for varies, found in {**(few if short else values), "classes": (10, 1000) if short else (10, 1000, 10000)}.items():
        for value in found:
            network = {"classes": 1000, "network": "mobilenet_v3_small"} if varies == "side" else {}
            yield Point(varies, value, **{**network, varies: value})  # type: ignore[arg-type]


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


def of_resnet50(passes: dict[str, tuple[int, int]]) -> Iterator[dict[str, object]]:
    """IG of one image at 224 pixels, and what the passes `(forward, backward)` of other methods cost."""
    point = Point("resnet50", 224, side=224, classes=1000, network="resnet50")
    yield cost("ig", point)
    score, images = diffig.ScoreFunction(network_of(point)), torch.rand(4, 3, 224, 224)
    start = time.process_time()
    score.value_and_grad(images, torch.zeros(4, dtype=torch.long))
    between = time.process_time()
    score.logits(images)
    forward, gradient = (time.process_time() - between) / 4, (between - start) / 4
    for name, (forwards, backwards) in passes.items():
        seconds = backwards * gradient + (forwards - backwards) * forward
        known = {"forward_images": forwards, "backward_images": backwards, "seconds": round(seconds, 2)}
        yield {"method": name, **point._asdict(), "peak_mb": float("nan"), **known}


def draw(table: pd.DataFrame, file: Path) -> None:
    shown = [name for name in dict.fromkeys(table["varies"]) if name != "resnet50"]
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
    parser.add_argument("--short", action="store_true", help="fewer and smaller points")
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    lines: list[dict[str, object]] = []
    for point in points(asked.short):
        for name in METHODS if point.varies != "candidates" else ("diffig_field",):
            lines.append(cost(name, point))
            said = (f"{key} {lines[-1][key]}" for key in ("seconds", "peak_mb", "forward_images", "backward_images"))
            print(f"{point.varies} {point.value} {name}: {', '.join(said)}", flush=True)
            pd.DataFrame(lines).to_csv(asked.output / "curves.csv", index=False)
    usual = [line for line in lines if (line["varies"], line["value"]) == ("steps", 32) and line["method"] != "ig"]
    for line in of_resnet50({str(u["method"]): (u["forward_images"], u["backward_images"]) for u in usual}):
        lines.append(line)
        print(f"ResNet-50, 224 pixels, {line['method']}: {line['seconds']} s, {line['peak_mb']} MB", flush=True)
    table = pd.DataFrame(lines)
    table.to_csv(asked.output / "curves.csv", index=False)
    draw(table, asked.output / "curves.png")
