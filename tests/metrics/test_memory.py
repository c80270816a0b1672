"""Memory of the metrics follows `score.chunk_size`: neither the number of copies nor that of batches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own, because the high-water mark of memory never falls; the classifier itself needs next to nothing.
PROGRAM = """
import json, sys
import torch
from diffig import Classifier
from diffig.config import build, compose
from diffig.metrics import Explained
from diffig.scores import ScoreFunction

def gigabytes(kind):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(kind)) / 2**20

batches, count, size, chunk = map(int, sys.argv[1:])
torch.set_num_threads(1)
net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 10))
score = ScoreFunction(Classifier(net, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), chunk_size=chunk)
suite = build(compose("evaluate", ["metrics=suite", "~metrics.metrics.sensitivity"]).metrics)

def explain(images, targets, indices, *, seed_shift=0, classifier=None):
    return images * ScoreFunction(classifier or net, chunk_size=chunk).value_and_grad(images, targets)[1]

peaks = []
for number in range(-1, batches):  # the first is small: libraries load, and what comes after is the metrics' own
    shape = (1, 3, size // 8, size // 8) if number < 0 else (count, 3, size, size)
    draw = torch.Generator().manual_seed(number + 1)
    images, maps = torch.rand(shape, generator=draw), torch.randn(shape, generator=draw)
    targets, indices = torch.zeros(len(images), dtype=torch.long), torch.arange(len(images))
    zeros = torch.zeros(len(images))
    explained = Explained(images, maps, targets, targets, images * 0, score, indices, zeros, zeros, None, explain)
    values = suite(explained)
    assert all(len(value) == len(images) for value in values.values())
    peaks.append(gigabytes("VmHWM"))
print(json.dumps(peaks))
"""


def peaks(batches: int, count: int, size: int, chunk: int) -> list[float]:
    """The high-water mark in GB after a warm-up and after each batch of the whole suite."""
    numbers = [str(number) for number in (batches, count, size, chunk)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *numbers], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the high-water mark from /proc")
def test_the_suite_holds_a_few_chunks_whatever_it_measures() -> None:
    # In chunks of 16 masked copies, 13 MB, the suite holds 0.4 GB; all copies of 8 images at once would take 1.3 GB.
    start, first, *_, last = peaks(batches=3, count=8, size=256, chunk=16)
    assert last - start < 0.6
    assert last - first < 0.15
