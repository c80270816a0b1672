"""DiffID against its bare forwards: the same number of images through the same network, in the same chunks.

    python experiments/speed/diffid.py [--size 64] [--images 16] [--repeats 5]

Processor time of one thread, ResNet-18 with random weights; metric and bare forwards in turn; the ratio
of the least times and, in brackets, the median of the ratios, which a busy machine makes larger.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.models import resnet18

from diffig import Classifier
from diffig.metrics import DiffID, Explained, InsertionDeletion, Metric, Road
from diffig.scores import ScoreFunction


def batch(size: int, count: int, score: ScoreFunction) -> Explained:
    draw = torch.Generator().manual_seed(0)
    images, maps = (torch.rand(count, 3, size, size, generator=draw) for _ in range(2))
    targets = torch.zeros(count, dtype=torch.long)
    everything = torch.arange(count)
    return Explained(images, maps - 0.5, targets, targets, images, score, everything, torch.zeros(count))


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def ratio(metric: Metric, explained: Explained, repeats: int) -> tuple[float, float, float]:
    """Milliseconds of an image by the metric and by its bare forwards, and the median of their ratios."""
    score = explained.score
    score.reset_cost()
    metric(explained)
    copies = torch.rand(score.cost.forward_images, *explained.images.shape[1:])
    kept: list[tuple[float, float]] = []

    def bare() -> list[Tensor]:
        return [score.logits(part) for part in copies.split(score.chunk_size)]

    bare()
    for turn in range(repeats):
        runs = (lambda: metric(explained), bare)
        first, second = (seconds(run) for run in (runs if turn % 2 else runs[::-1]))
        kept.append((first, second) if turn % 2 else (second, first))
    whole, forwards = (1e3 * min(times) / len(explained) for times in zip(*kept, strict=True))
    return whole, forwards, statistics.median(one / other for one, other in kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = resnet18(weights=None).eval().requires_grad_(False)
    score = ScoreFunction(Classifier(net, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), chunk_size=64)
    explained = batch(options.size, options.images, score)
    metrics = {
        "DiffID, elements": DiffID(units=("element",), readouts=("hard",)),
        "DiffID, pixels": DiffID(units=("pixel",), readouts=("hard",)),
        "DiffID, pixels, blurred fill": DiffID(units=("pixel",), readouts=("hard",), fill="blur"),
        "insertion and deletion": InsertionDeletion(),
        "ROAD": Road(),
    }
    for name, metric in metrics.items():
        whole, forwards, share = ratio(metric, explained, options.repeats)
        least = whole / forwards
        print(f"{name}: {whole:.1f} ms an image, bare {forwards:.1f} ms, ratio {least:.3f} ({share:.3f})", flush=True)
